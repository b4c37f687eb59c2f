"""The tables of MAESTRO, ATEPP, GiantMIDI-Piano and ASAP, and tables of one's own: what their columns are called."""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True)
class DatasetKind:
    """What a dataset's table looks like: it is one if it has the columns ``midi`` and ``signs``.

    ``midi`` names the MIDI files, to which ``ending`` is added, and ``audio`` the recordings, if there are any. Rows
    with one ``piece`` are renderings of one. ``numbers`` are read as such; a CSV has no types. Where ``chosen`` is
    given, only rows count in which it is 1.
    """

    name: str
    midi: str
    signs: tuple[str, ...] = ()
    piece: tuple[str, ...] = ()
    numbers: Mapping[str, pa.DataType] | None = None
    ending: str = ""
    chosen: str | None = None
    audio: str | None = None


KINDS = (
    DatasetKind(
        "MAESTRO",
        "midi_filename",
        ("canonical_composer", "canonical_title"),
        ("canonical_composer", "canonical_title"),
        {"year": pa.int64(), "duration": pa.float64()},
        audio="audio_filename",
    ),
    *(
        DatasetKind("ATEPP", "midi_path", ("artist", number), ("composer", number), {"track_duration": pa.float64()})
        for number in ("composition_id", "compostion_id")  # As the first version spells it.
    ),
    DatasetKind(
        "GiantMIDI-Piano",
        "audio_name",
        ("surname", "firstname", "music", "giant_midi_piano"),
        ("surname", "firstname", "music"),
        {"similarity": pa.float64(), "piano_solo_prob": pa.float64(), "audio_duration": pa.float64()},
        ending=".mid",
        chosen="giant_midi_piano",
    ),
    DatasetKind(
        "ASAP",
        "midi_performance",
        ("folder", "midi_score"),
        ("folder",),
        {"start": pa.float64(), "end": pa.float64()},
        audio="audio_performance",
    ),
    DatasetKind("your own", "midi", audio="audio"),
)
"""The kinds that are known; the first that fits."""

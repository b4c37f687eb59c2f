"""A run's settings decide how its MIDI files are read."""

from dataclasses import replace
from pathlib import Path

import pytest

from jobs.inputs.inputs import Inputs
from jobs.shard.items import read_performance
from renderer.errors import MidiError
from schemas.manifest import ManifestRow
from tests.renderer.midi.files import midi_file, note, sustain
from tests.schemas.test_run_document import SETTINGS


def read(data: bytes, folder: Path, **settings: object) -> list[float]:
    (folder / "a.mid").write_bytes(data)
    row = ManifestRow(item_id="a", midi="a.mid")
    return read_performance(row, str(folder), Inputs(), replace(SETTINGS, **settings)).notes.offset.tolist()  # type: ignore[arg-type]


@pytest.mark.parametrize(("channels", "end"), [("any", 1.0), ("each", 0.5), (None, 0.5)])
def test_the_pedal_holds_the_channels_that_the_run_says(channels: str | None, end: float, tmp_path: Path) -> None:
    data = midi_file([*note(0, 480, channel=1), sustain(0, 127), sustain(960, 0)])
    assert read(data, tmp_path, pedal_channels=channels) == [end]


def test_a_strict_run_refuses_damaged_files(tmp_path: Path) -> None:
    data = midi_file(note(0, 480)).replace(b"\0\1\0\1\1\xe0", b"\0\1\0\2\1\xe0")
    assert read(data, tmp_path) == [0.5]
    with pytest.raises(MidiError, match=r"a\.mid: damaged, and a strict reading mends nothing: tracks_miscounted 1"):
        read(data, tmp_path, strict_midi=True)

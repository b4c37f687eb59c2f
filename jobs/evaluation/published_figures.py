"""The figures that were published for MIDI-VALLE (arXiv 2507.08530), as rows of the same table.

They were taken on other recordings than a user's, with the published model and the latents of its Piano-Encodec.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedRow:
    """Means that were published, by the name of the column: no intervals and no other columns are known."""

    system: str
    figures: Mapping[str, float]


def _row(system: str, **figures: float) -> PublishedRow:
    return PublishedRow(system, figures)


def _model(
    data: str, fad: tuple[float, float], spectrogram: tuple[float, float], chroma: tuple[float, float]
) -> PublishedRow:
    return _row(
        f"MIDI-VALLE on {data} (published)",
        fad_codec_gt=fad[0],
        fad_codec_rc=fad[1],
        spectrogram_gt=spectrogram[0],
        spectrogram_rc=spectrogram[1],
        chroma_gt=chroma[0],
        chroma_rc=chroma[1],
    )


def _codec(data: str, fad: float, spectrogram: float, chroma: float) -> PublishedRow:
    name = f"Piano-Encodec on {data} (published)"
    return _row(name, fad_codec_gt=fad, spectrogram_gt=spectrogram, chroma_gt=chroma)


PUBLISHED = (
    _codec("ATEPP", 0.685, 0.123, 0.140),
    _codec("Maestro", 0.984, 0.135, 0.139),
    _codec("Pijama", 1.133, 0.143, 0.137),
    _model("ATEPP", (3.329, 2.659), (0.219, 0.199), (0.436, 0.442)),
    _model("Maestro", (11.281, 9.168), (0.231, 0.206), (0.428, 0.420)),
    _model("Pijama", (102.022, 97.634), (0.322, 0.298), (0.558, 0.584)),
)

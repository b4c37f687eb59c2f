"""The figures that were published for MIDI-VALLE (arXiv 2507.08530) and for M2A beside it, as rows of the same table.

They were taken on other recordings than a user's, with the published model and the latents of its Piano-Encodec.
"""

from collections.abc import Mapping
from dataclasses import dataclass

Figure = tuple[float, float]
"""A mean, and what was published behind its plus-minus."""


@dataclass(frozen=True)
class PublishedRow:
    """What was published, by the name of the column: of Frechet distances without intervals."""

    system: str
    distances: Mapping[str, float]
    figures: Mapping[str, Figure]


def _model(
    name: str, fad: tuple[float, float], spectrogram: tuple[Figure, Figure], chroma: tuple[Figure, Figure]
) -> PublishedRow:
    """Each against the recording and against its reconstruction."""
    measures = {"spectrogram_gt": spectrogram[0], "spectrogram_rc": spectrogram[1]}
    return PublishedRow(
        f"{name} (published)",
        {"fad_codec_gt": fad[0], "fad_codec_rc": fad[1]},
        {**measures, "chroma_gt": chroma[0], "chroma_rc": chroma[1]},
    )


def _codec(name: str, fad: float | None, spectrogram: Figure, chroma: Figure) -> PublishedRow:
    distances = {} if fad is None else {"fad_codec_gt": fad}
    return PublishedRow(f"{name} (published)", distances, {"spectrogram_gt": spectrogram, "chroma_gt": chroma})


PUBLISHED = (
    _codec("EnCodec on ATEPP", None, (0.304, 0.005), (0.478, 0.011)),
    _codec("Piano-Encodec on ATEPP", 0.685, (0.123, 0.002), (0.140, 0.002)),
    _codec("Piano-Encodec on Maestro", 0.984, (0.135, 0.002), (0.139, 0.001)),
    _codec("Piano-Encodec on Pijama", 1.133, (0.143, 0.003), (0.137, 0.001)),
    _model("M2A on ATEPP", (11.014, 11.463), ((0.218, 0.005), (0.214, 0.004)), ((0.421, 0.017), (0.464, 0.017))),
    _model("MIDI-VALLE on ATEPP", (3.329, 2.659), ((0.219, 0.005), (0.199, 0.005)), ((0.436, 0.012), (0.442, 0.012))),
    _model("M2A on Maestro", (34.479, 33.753), ((0.230, 0.003), (0.224, 0.003)), ((0.387, 0.007), (0.427, 0.007))),
    _model(
        "MIDI-VALLE on Maestro", (11.281, 9.168), ((0.231, 0.004), (0.206, 0.003)), ((0.428, 0.009), (0.420, 0.009))
    ),
    _model("M2A on Pijama", (274.153, 267.969), ((0.312, 0.010), (0.293, 0.008)), ((0.471, 0.009), (0.509, 0.010))),
    _model(
        "MIDI-VALLE on Pijama", (102.022, 97.634), ((0.322, 0.010), (0.298, 0.009)), ((0.558, 0.014), (0.584, 0.015))
    ),
)

"""A spectrogram whose rows are a piano's keys, as a small PNG."""

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from renderer.audio.audio_file import FloatSamples, resample
from renderer.midi.notes import LOWEST_KEY
from renderer.quality.power_spectrum import power_spectrum

KEYS = 96
"""How many semitones a picture is high: eight octaves from A0, so that high notes have partials above them."""

TOP_KEY = LOWEST_KEY + KEYS - 1
ROWS_PER_KEY = 2
ROWS = KEYS * ROWS_PER_KEY
COLUMNS = 600


class _Band(NamedTuple):
    """Rows from ``above`` to ``below`` Hz: the rate at which they are heard, and the samples of a window."""

    rate: int
    size: int
    above: float
    below: float


_RATE = 16_000
_BANDS = (_Band(2_000, 1024, 0.0, 130.0), _Band(4_000, 1024, 130.0, 520.0), _Band(_RATE, 2048, 520.0, 8000.0))
"""Long windows tell low keys apart, short ones strikes; a low rate makes long ones short work."""

_LONGEST_HOP = 1024
_FRAMES_AT_ONCE = 64
_RANGE_DB, _QUIETEST_DB = 60.0, -50.0
"""What is drawn lies so far below the loudest; what is quieter than -50 dBFS is no sound to be made bright."""

_LEVELS = 48
_COLOURS = ((0, 0, 4), (40, 11, 84), (101, 21, 110), (159, 42, 99), (212, 72, 66), (245, 125, 21), (252, 255, 164))
"""Matplotlib's "inferno", from silent to loud."""


@dataclass(frozen=True, eq=False)
class Spectrogram:
    """How loud each key sounds when.

    ``levels`` is uint8 (192, columns), 0 to 47 for 60 dB: two rows for each of 96 keys, the highest first, and
    columns of equal time that together last ``seconds``. Key k lies in rows 2 * (116 - k) and the next.
    """

    levels: NDArray[np.uint8]
    seconds: float

    def png(self) -> bytes:
        """The picture, a pixel for each level; equal levels give equal bytes."""
        from PIL import Image

        image = Image.fromarray(self.levels)
        image.putpalette(_palette())
        content = io.BytesIO()
        image.save(content, "PNG", compress_level=6)
        return content.getvalue()

    def data_uri(self) -> str:
        """The PNG as an address that holds it, for a page that loads nothing."""
        return f"data:image/png;base64,{base64.b64encode(self.png()).decode()}"


def spectrogram(samples: FloatSamples, sample_rate: int, columns: int = COLUMNS) -> Spectrogram:
    """The spectrogram of mono samples (N,), N >= 1, in so many columns, or fewer where they would be below 5 ms.

    A column has the loudest of its frames, so that no strike is lost in a long piece, of which some frames at a time
    are transformed.
    """
    if samples.ndim != 1 or not samples.size or columns < 1:
        raise ValueError(f"needs mono samples (N,), N >= 1, and a column or more, not {samples.shape} and {columns}")
    audio = resample(samples, sample_rate, _RATE)
    columns = max(1, min(columns, len(audio) // 80))
    per_column = -(-len(audio) // (columns * _LONGEST_HOP))
    # Frames stand in the middles of equal parts of the audio, a few parts to a column.
    centres = (np.arange(columns * per_column) + 0.5) / (columns * per_column)
    power = torch.cat([torch.cat(list(_powers(audio, centres, band))) for band in _BANDS], dim=1)
    loudest = power.T.flip(0).reshape(ROWS, columns, per_column).amax(2).numpy()
    level = 10 * np.log10(np.maximum(loudest, 1e-12))
    above = (level - max(float(level.max()), _QUIETEST_DB) + _RANGE_DB) / _RANGE_DB
    levels = np.rint(np.clip(above, 0, 1) * (_LEVELS - 1)).astype(np.uint8)
    return Spectrogram(levels, len(samples) / sample_rate)


def _powers(audio: FloatSamples, centres: NDArray[np.float64], band: _Band) -> Iterator[torch.Tensor]:
    """Power of frames in a band: (frames, rows), the lowest first; ``centres`` are 0 to 1 for all of the audio."""
    heard = torch.from_numpy(np.ascontiguousarray(resample(audio, _RATE, band.rate), np.float32))
    frames = functional.pad(heard, (band.size // 2, band.size // 2)).unfold(0, band.size, 1)
    window = torch.hann_window(band.size) * (4 / band.size)
    filters = _filters(band).T
    for part in torch.from_numpy(centres * len(heard)).long().split(_FRAMES_AT_ONCE):
        yield power_spectrum(frames[part], window) @ filters


@cache
def _filters(band: _Band) -> torch.Tensor:
    """Triangles around the rows' frequencies, a row to either side, but wide enough to hold a bin."""
    key = LOWEST_KEY - 0.5 + (np.arange(ROWS) + 0.5) / ROWS_PER_KEY
    centre = 440.0 * 2.0 ** ((key - 69) / 12)
    centre = centre[(centre >= band.above) & (centre < band.below)]
    half_width = np.maximum(centre * (2 ** (1 / 24) - 1), 1.0 * band.rate / band.size)
    frequency = np.arange(band.size // 2 + 1) * band.rate / band.size
    triangles = np.maximum(0.0, 1.0 - np.abs(frequency - centre[:, None]) / half_width[:, None])
    return torch.from_numpy(triangles.astype(np.float32))


def _palette() -> list[int]:
    place = np.linspace(0, len(_COLOURS) - 1, _LEVELS)
    channels = [np.interp(place, np.arange(len(_COLOURS)), channel) for channel in zip(*_COLOURS, strict=True)]
    return [round(value) for colour in np.stack(channels, axis=1).tolist() for value in colour]

"""Chroma distortion: whether the same pitch classes sound at the same time, as defined for MIDI-VALLE."""

import warnings

import numpy as np
from numpy.typing import NDArray

from renderer.audio.audio_file import FloatSamples
from renderer.evaluation.optional import optional_import
from renderer.evaluation.pairs import shortened
from renderer.evaluation.spectrogram import SAMPLE_RATE

_SOUNDING = 0.3
_SMALLEST = 1e-5


def chroma(samples: FloatSamples) -> NDArray[np.float32]:
    """The ``chroma_cqt`` of librosa with all its defaults: mono float32 (N,) at 24 kHz -> (12, 1 + N // 512)."""
    librosa = optional_import("librosa", "chroma distortion")
    with warnings.catch_warnings(action="ignore"):  # Of a few seconds the lowest octaves are too short for a window.
        return np.asarray(librosa.feature.chroma_cqt(y=samples, sr=SAMPLE_RATE), np.float32)


def chroma_distortion(reference: NDArray[np.float32], candidate: NDArray[np.float32]) -> float:
    """Sum of differences of two ``chroma`` results per pitch class that sounds in the reference.

    NaN where nothing sounds in the reference. The candidate is kept 1e-5 away from 0 and 1, as published, so equal
    ones are at a distance below 1e-4, not at 0. The longer one is cut to the shorter one's frames.
    """
    ours, theirs = shortened(reference.astype(np.float64), candidate.astype(np.float64))
    sounding = int((ours > _SOUNDING).sum())
    difference = np.abs(np.clip(ours, 0.0, 1.0) - np.clip(theirs, _SMALLEST, 1.0 - _SMALLEST)).sum()
    return float(difference / sounding) if sounding else float("nan")

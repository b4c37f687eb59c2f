"""The transcriber transkun (Yan and Duan, arXiv 2404.09466): slow, and right about nearly every note of a piano."""

import importlib
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from renderer.audio.audio_file import FloatSamples, resample
from renderer.evaluation.optional import optional_import
from renderer.midi.notes import Notes

INSTALL = "pip install --no-deps transkun moduleconf ncls pydub pretty_midi importlib_resources 'setuptools<81'"
"""Without its dependencies, as torchaudio's wheels need CUDA libraries, which a CPU build of torch has not."""

_WINDOW_SECONDS = 16.0
_PAD_SECONDS = 1.0
_SHORTEST_SECONDS = 0.01


class Transkun:
    """Transkun 2.0 with the weights in its package, on the CPU."""

    def __init__(self) -> None:
        with _something_called_torchaudio():
            package = optional_import("transkun", "transcription by transkun", INSTALL)
            moduleconf = optional_import("moduleconf", "transcription by transkun", INSTALL)
            folder = Path(package.__file__).parent / "pretrained"
            settings = moduleconf.parseFromFile(str(folder / "2.0.conf"))["Model"]
            self._model: Any = settings.module.TransKun(conf=settings.config)
        saved = torch.load(folder / "2.0.pt", map_location="cpu", weights_only=True)
        self._model.load_state_dict(saved.get("best_state_dict", saved.get("state_dict")), strict=False)
        self._model.eval()

    @torch.no_grad()
    def transcribe(self, samples: FloatSamples, sample_rate: int) -> Notes:
        """See ``Transcriber``. What fits one window, with silence around it, is heard as a whole, and quicker so."""
        with warnings.catch_warnings(action="ignore"):  # About checkpoints, which only training has a use for.
            return self._heard(resample(samples, sample_rate, self._model.fs))

    def _heard(self, audio: FloatSamples) -> Notes:
        pad = round(_PAD_SECONDS * self._model.fs)
        if len(audio) + 2 * pad <= _WINDOW_SECONDS * self._model.fs:
            padded = torch.from_numpy(np.pad(audio, pad))[:, None]
            events = self._model.transcribe(padded, _WINDOW_SECONDS, _WINDOW_SECONDS)
            begin = _PAD_SECONDS
        else:
            events = self._model.transcribe(torch.from_numpy(audio)[:, None])
            begin = 0.0
        notes = [event for event in events if event.pitch > 0]  # The pedals have negative numbers.
        onset = np.array([note.start for note in notes], np.float64) - begin
        offset = np.array([note.end for note in notes], np.float64) - begin
        return Notes.of(
            onset,
            np.maximum(offset, onset + _SHORTEST_SECONDS),
            [note.pitch for note in notes],
            np.clip([note.velocity for note in notes], 1, 127),
        )


@contextmanager
def _something_called_torchaudio() -> Iterator[None]:
    """A stand-in for torchaudio where it cannot be imported: transkun takes one mel filterbank from it."""
    try:
        importlib.import_module("torchaudio")
    except (ImportError, OSError):
        stand_in: Any = ModuleType("torchaudio")
        stand_in.functional = ModuleType("torchaudio.functional")
        stand_in.functional.melscale_fbanks = _mel_filterbank
        sys.modules["torchaudio"] = stand_in
        try:
            yield
        finally:
            del sys.modules["torchaudio"]
    else:
        yield


def _mel_filterbank(n_freqs: int, f_min: float, f_max: float, n_mels: int, sample_rate: int) -> torch.Tensor:
    librosa = optional_import("librosa", "transcription by transkun")
    filters = librosa.filters.mel(
        sr=sample_rate, n_fft=2 * (n_freqs - 1), n_mels=n_mels, fmin=f_min, fmax=f_max, htk=True, norm=None
    )
    return torch.from_numpy(filters.T.copy())

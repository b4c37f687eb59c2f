"""Which piano a recording is of, by its spectrum: whether a rendering sounds like its prompt's piano."""

from collections.abc import Sequence

import numpy as np
import torch

from renderer.audio.audio_file import FloatSamples, resample
from renderer.codecs.mel import mel_filters
from renderer.midi.notes import FloatArray

SAMPLE_RATE = 32000
_FFT, _HOP, _BANDS = 2048, 640, 80
_FLOOR = 1e-3
_SILENT_SHARE = 0.2
_QUANTILES = (0.1, 0.9)
_SHRINKAGE = 0.1


def timbre(samples: FloatSamples, sample_rate: int) -> FloatArray:
    """Mono float32 (N,) -> features (320,) that do not depend on the level.

    They are of log mel magnitudes: their means and two quantiles where something sounds, and how fast each decays.
    """
    audio = torch.from_numpy(np.ascontiguousarray(resample(samples, sample_rate, SAMPLE_RATE), np.float32))
    if len(audio) < 2 * _FFT:
        audio = torch.nn.functional.pad(audio, (0, 2 * _FFT - len(audio)))
    stft = torch.stft(audio, _FFT, _HOP, window=torch.hann_window(_FFT), center=False, return_complex=True)
    filters = mel_filters(_BANDS, _FFT, SAMPLE_RATE)
    log = (filters @ stft.abs()).clamp_min(_FLOOR).log().T.double().numpy()
    level = log.mean(axis=1)
    heard = log[level >= np.quantile(level, _SILENT_SHARE)]
    heard = heard - heard.mean()
    quantiles = np.quantile(heard, _QUANTILES, axis=0)
    decay = np.minimum(np.diff(log, axis=0), 0).mean(axis=0)
    return np.concatenate([heard.mean(axis=0), *(quantiles - quantiles.mean(axis=1, keepdims=True)), decay])


class Recogniser:
    """Names the class of a recording: the one whose mean is nearest, where all classes scatter alike.

    This is Fisher's linear discriminant with a shrunk covariance. ``timbres`` (N, D) are recordings of ``labels``,
    of which there are two or more; ValueError if there are not.
    """

    def __init__(self, timbres: Sequence[FloatArray], labels: Sequence[str]) -> None:
        self.names = tuple(sorted(set(labels)))
        if len(self.names) < 2:
            raise ValueError(f"recordings of {len(self.names)} class(es) leave nothing to be told apart")
        table, which = np.stack(timbres), np.array([self.names.index(label) for label in labels])
        self._centre, self._scale = table.mean(axis=0), table.std(axis=0) + 1e-9
        scaled = (table - self._centre) / self._scale
        self._means = np.stack([scaled[which == place].mean(axis=0) for place in range(len(self.names))])
        within = scaled - self._means[which]
        covariance = within.T @ within / len(within) + _SHRINKAGE * np.eye(table.shape[1])
        self._precision = np.linalg.inv(covariance)

    def name(self, timbre: FloatArray) -> str:
        """The class of one recording."""
        away = (timbre - self._centre) / self._scale - self._means
        return self.names[int((away @ self._precision * away).sum(axis=1).argmin())]

"""An embedding that knows no codec: a VGG that was trained to tag MagnaTagATune (Pons and Serra, arXiv 1909.06654).

Piano, classical, solo, quiet and ambient are among its tags. The weights are in the package ``musicnn`` (ISC).
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from renderer.audio.audio_file import FloatSamples
from renderer.evaluation.optional import MissingExtraError, optional_import
from renderer.evaluation.tensorflow_checkpoint import read_tensorflow_checkpoint
from renderer.midi.notes import FloatArray

INSTALL = "pip install --no-deps musicnn"
"""Without its dependencies, of which TensorFlow is one: only its weights are used."""

_WEIGHTS = "MTT_vgg"
_POOLS = (((4, 1), 2), ((2, 2), 2), ((2, 2), 2), ((2, 2), 2), ((4, 4), 4))
_FFT, _HOP, _BANDS = 512, 256, 96
_SHORTEST_FRAMES = 66
_EPSILON = 1e-3


def musicnn_is_installed() -> bool:
    """Whether the package with the weights is there."""
    return find_spec("musicnn") is not None


class Musicnn:
    """The last convolutional features: one frame of 128 numbers for each second, on the CPU."""

    name = "musicnn"
    sample_rate = 16_000

    def __init__(self) -> None:
        found = find_spec("musicnn")  # Importing it would import TensorFlow.
        if found is None or found.origin is None:
            raise MissingExtraError(f"the embedding musicnn needs the package musicnn: {INSTALL}")
        self._librosa = optional_import("librosa", "the embedding musicnn")
        weights = read_tensorflow_checkpoint(Path(found.origin).parent / _WEIGHTS)
        self._tensors = {name: torch.from_numpy(values.copy()) for name, values in weights.items()}

    def frames(self, samples: FloatSamples) -> FloatArray:
        """See ``Embedding``: (T, 128), T about the seconds of audio; 0 for less than 1.1 s."""
        features = self._features(samples)
        return np.asarray(features.double().numpy())

    def tags(self, samples: FloatSamples) -> FloatArray:
        """How likely each of the 50 tags of MagnaTagATune is, in the mean over the audio: (50,)."""
        features = self._features(samples)
        pairs = features[: len(features) // 2 * 2].reshape(-1, 2 * features.shape[1])
        logits = pairs @ self._tensors["dense/kernel"] + self._tensors["dense/bias"]
        return np.asarray(logits.sigmoid().mean(dim=0).double().numpy())

    @torch.inference_mode()
    def _features(self, samples: FloatSamples) -> torch.Tensor:
        mel = self._librosa.feature.melspectrogram(
            y=samples, sr=self.sample_rate, n_fft=_FFT, hop_length=_HOP, n_mels=_BANDS
        )
        levels = torch.from_numpy(np.log10(10_000 * mel.T + 1).astype(np.float32))
        if len(levels) < _SHORTEST_FRAMES:
            return torch.zeros(0, 128)
        hidden = self._normalized(levels[None, None], "batch_normalization")
        for layer, (size, stride) in enumerate(_POOLS, 1):
            kernel = self._tensors[f"{layer}CNN/kernel"].permute(3, 2, 0, 1)
            hidden = functional.conv2d(hidden, kernel, self._tensors[f"{layer}CNN/bias"], padding="same").relu()
            hidden = self._normalized(hidden, f"batch_normalization_{layer}")
            hidden = functional.max_pool2d(hidden, size, stride)
        return hidden[0, :, :, 0].T.contiguous()

    def _normalized(self, hidden: torch.Tensor, name: str) -> torch.Tensor:
        mean, variance, gamma, beta = (
            self._tensors[f"{name}/{part}"] for part in ("moving_mean", "moving_variance", "gamma", "beta")
        )
        return functional.batch_norm(hidden, mean, variance, gamma, beta, eps=_EPSILON)

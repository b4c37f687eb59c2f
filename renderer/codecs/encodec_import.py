"""The only place that imports the package `encodec`.

`encodec` imports torchaudio, which it needs to resample, to read files, and for the spectrogram of its
discriminators; we do neither of the first two with it. PyPI's wheels of torchaudio need CUDA libraries, so beside
a CPU build of torch that import fails. Then a module that has that spectrogram alone stands in for torchaudio
while `encodec` is imported, and is taken away again.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import torch
from torch import nn


@contextmanager
def _something_called_torchaudio() -> Iterator[None]:
    try:
        importlib.import_module("torchaudio")
    except (ImportError, OSError):
        sys.modules["torchaudio"] = _stand_in()
        try:
            yield
        finally:
            del sys.modules["torchaudio"]
    else:
        yield


def _stand_in() -> ModuleType:
    module = ModuleType("torchaudio")
    module.transforms = ModuleType("torchaudio.transforms")  # type: ignore[attr-defined]
    module.transforms.Spectrogram = _Spectrogram
    return module


class _Spectrogram(nn.Module):
    """Audio (..., N) -> complex spectrum (..., bins, frames), as ``encodec.msstftd`` has torchaudio make it."""

    window: torch.Tensor

    def __init__(self, n_fft: int, hop_length: int, win_length: int, **_: object) -> None:
        super().__init__()
        self.n_fft, self.hop_length = n_fft, hop_length
        self.register_buffer("window", torch.hann_window(win_length))

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        flat = audio.reshape(-1, audio.shape[-1])
        spectrum = torch.stft(
            flat, self.n_fft, self.hop_length, len(self.window), self.window, center=False, return_complex=True
        )
        # "normalized": by the window's energy.
        return (spectrum / self.window.square().sum().sqrt()).reshape(*audio.shape[:-1], *spectrum.shape[1:])


with _something_called_torchaudio():
    from encodec.modules.seanet import SEANetDecoder, SEANetEncoder
    from encodec.msstftd import MultiScaleSTFTDiscriminator
    from encodec.quantization.vq import ResidualVectorQuantizer

__all__ = ["MultiScaleSTFTDiscriminator", "ResidualVectorQuantizer", "SEANetDecoder", "SEANetEncoder"]

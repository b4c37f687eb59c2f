"""How well a codec brings back recordings that it has not learned from."""

from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

import numpy as np
import torch

from renderer.codecs.neural_codec import NeuralCodec
from renderer.evaluation.spectrogram import SAMPLE_RATE, midi_spectrogram, spectrogram_distortion
from renderer.training.crops import Crop, Crops
from renderer.training.spectral_loss import RESOLUTIONS, SpectralLoss


@dataclass(frozen=True)
class CodecValidation:
    """The first ``count`` crops of a series, always the same."""

    crops: Crops
    count: int

    @torch.no_grad()
    def figures(self, codec: NeuralCodec) -> dict[str, float]:
        """``valid_spectral``: the loss in all resolutions; the published spectrogram distortion; codebooks' perplexity.

        A note-conditioned decoder is given the notes. The perplexity is as large as the number of rows that would be
        chosen, were each chosen as often as another.
        """
        codec.eval()
        loss = SpectralLoss(codec.sample_rate)
        spectral, distortion, chosen = [], [], []
        for crop in self._crops:
            reference = torch.from_numpy(crop.audio)[None]
            codes = codec.encode(reference)
            audio = codec.decode(codes, notes=[crop.notes])[:, : reference.shape[1]].cpu()
            spectral.append(fmean(float(loss(audio, reference, r)) for r in range(len(RESOLUTIONS))))
            ours, theirs = (_midi_spectrogram(clip[0], codec.sample_rate) for clip in (audio, reference))
            distortion.append(spectrogram_distortion(theirs, ours))
            chosen.append(codes[0].cpu())
        codes = torch.cat(chosen, dim=1)
        books = {f"perplexity_{book}": _perplexity(row, codec.codebook_size) for book, row in enumerate(codes)}
        return {"valid_spectral": fmean(spectral), "valid_distortion": fmean(distortion), **books}

    @cached_property
    def _crops(self) -> list[Crop]:
        return [self.crops.crop(number) for number in range(self.count)]


def _midi_spectrogram(audio: torch.Tensor, sample_rate: int) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
    import soxr

    return midi_spectrogram(soxr.resample(audio.numpy(), sample_rate, SAMPLE_RATE))


def _perplexity(codes: torch.Tensor, size: int) -> float:
    share = torch.bincount(codes, minlength=size).double() / len(codes)
    return float(torch.special.entr(share).sum().exp())

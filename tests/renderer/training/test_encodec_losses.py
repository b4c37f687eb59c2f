"""EnCodec's losses and balance, against librosa, numpy and the package encodec."""

import librosa
import numpy as np
import pytest
import torch

from renderer.codecs.encodec_import import ResidualVectorQuantizer
from renderer.training.adversary import Adversary, AdversarySettings
from renderer.training.codebook_training import CodebookTraining
from renderer.training.gradient_balance import GradientBalance
from renderer.training.loss_recipe import LOSSES
from renderer.training.mel_loss import MelLoss
from renderer.training.team import Team
from tests.renderer.tones import melody, played

RATE = 32000


def mel_power(audio: np.ndarray, window: int) -> np.ndarray:
    """(bands, frames) of one clip, by librosa: audiocraft's ``MelSpectrogramWrapper``."""
    hop = window // 4
    padded = np.pad(audio, (window - hop) // 2, mode="reflect")
    padded = np.pad(padded, (0, -(len(padded) - window) % hop))
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    spectrum = librosa.stft(padded, n_fft=window, hop_length=hop, window=hann, center=False) / np.sqrt((hann**2).sum())
    filters = librosa.filters.mel(sr=RATE, n_fft=window, n_mels=64, fmin=64, htk=True, norm=None)
    return filters @ np.abs(spectrum) ** 2


@pytest.mark.filterwarnings("ignore:Empty filters")
def test_the_mel_loss_is_that_of_audiocrafts_configuration() -> None:
    reference = played(melody(0, 1.0), 1.0)[:16_123].astype(np.float64)
    audio = 0.7 * reference + 0.01 * np.random.default_rng(0).standard_normal(len(reference))
    expected = 0.0
    for window in (64, 128, 256, 512, 1024):
        ours, theirs = mel_power(audio, window), mel_power(reference, window)
        expected += np.abs(ours - theirs).mean() + ((np.log10(1e-5 + ours) - np.log10(1e-5 + theirs)) ** 2).mean()
    clips = (torch.from_numpy(clip.astype(np.float32))[None] for clip in (audio, reference))
    assert float(MelLoss(RATE)(*clips)) == pytest.approx(expected / 10, rel=1e-4)


def test_the_commitment_is_the_mean_of_each_codebooks_as_in_encodec() -> None:
    torch.manual_seed(0)
    theirs = ResidualVectorQuantizer(dimension=6, n_q=3, bins=16, kmeans_init=False, threshold_ema_dead_code=0).train()
    tables = [layer._codebook.embed.clone() for layer in theirs.vq.layers]  # type: ignore[operator, union-attr]
    latent = torch.randn(2, 40, 6, requires_grad=True)
    _, codes, each = theirs.vq(latent.transpose(1, 2))
    books = CodebookTraining(tables, 0.99, 0.02, Team())
    _, distances = books.quantize(latent, torch.tensor([3, 3]), None)
    torch.testing.assert_close(distances.mean(), each.mean())
    # The gradient by hand: each codebook's input is the latent less the rows before it, which are constants.
    (gradient,) = torch.autograd.grad(distances.mean(), latent)
    expected, left = torch.zeros_like(latent), latent.detach()
    for table, chosen in zip(tables, codes, strict=True):
        left = left - table[chosen]
        expected += 2 * left / left.numel() / 3
    torch.testing.assert_close(gradient, expected)


def test_a_balance_by_item_is_the_published_formula() -> None:
    weights = {"near": 2.0, "far": 0.1}
    balance = GradientBalance(weights, decay=0.999, by_item=True)
    random = np.random.default_rng(0)
    means = dict.fromkeys(weights, 0.0)
    for update in range(1, 5):
        targets = {"near": random.standard_normal((3, 50)), "far": 1e3 * random.standard_normal((3, 50))}
        output = torch.zeros(3, 50, dtype=torch.float64, requires_grad=True)
        losses = {name: (output - torch.from_numpy(target)).square().mean() for name, target in targets.items()}
        balance.backward(losses, output)
        expected = np.zeros((3, 50))
        for name, target in targets.items():
            gradient = -2 * target / target.size
            means[name] += (np.linalg.norm(gradient, axis=1).mean() - means[name]) / update
            expected += gradient / means[name] * weights[name] / 2.1
        assert output.grad is not None
        np.testing.assert_allclose(output.grad.numpy(), expected, rtol=1e-6)


def test_the_adversarys_losses_are_without_margin_and_as_large_as_the_features() -> None:
    torch.manual_seed(0)
    losses = LOSSES["encodec"]
    settings = AdversarySettings(0, filters=2, windows=(512, 256), hinge=losses.hinge, relative_features=False)
    adversary = Adversary(settings, torch.device("cpu"), Team())
    real, fake = torch.randn(2, 4000), torch.randn(2, 4000)
    (judged, seen), (_, recorded) = (adversary.network(audio[:, None]) for audio in (fake, real))
    with torch.no_grad():
        ours = adversary.losses(fake, real)
    assert float(ours["adversarial"]) == pytest.approx(-np.mean([float(j.mean()) for j in judged]), rel=1e-5)
    distances = [
        [float((f - r).abs().mean()) for f, r in zip(fakes, reals, strict=True)]
        for fakes, reals in zip(seen, recorded, strict=True)
    ]
    assert float(ours["features"]) == pytest.approx(np.mean(distances), rel=1e-5)

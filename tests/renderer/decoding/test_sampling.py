"""Codes are drawn from the right distribution, by noise that depends on its place alone."""

import math

import pytest
import torch

from renderer.decoding.sampling import Sampling, draw, gumbel_noise, keep_likely, noise_key


def keys(count: int, seed: int = 0) -> torch.Tensor:
    return torch.tensor([noise_key(seed, segment) for segment in range(count)])


def test_noise_of_a_row_does_not_depend_on_the_other_rows() -> None:
    many = gumbel_noise(keys(64), torch.arange(64), 1025)
    alone = gumbel_noise(keys(64)[7:8], torch.tensor([7]), 1025)
    assert torch.equal(many[7:8], alone)


def splitmix64_gumbel(key: int, counter: int) -> float:
    bits = (key + counter * 0x9E3779B97F4A7C15) % 2**64
    bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EB % 2**64
    return -math.log(-math.log((((bits ^ (bits >> 31)) >> 41) + 0.5) / 2**23))


def test_noise_is_splitmix64_of_key_step_and_code() -> None:
    key = noise_key(2026, 3)
    assert key == 9209927685309416705
    noise = gumbel_noise(torch.tensor([key]), torch.tensor([11]), 4)
    assert noise[0].tolist() == pytest.approx([splitmix64_gumbel(key, 44 + c) for c in range(4)], abs=1e-6)


def test_every_take_has_a_key_of_its_own_and_the_first_the_segments() -> None:
    assert noise_key(2026, 3, 0) == noise_key(2026, 3)
    made = {noise_key(seed, segment, n) for seed in (-1, 1, 11) for segment in (0, 1, 11) for n in range(5)}
    assert len(made) == 45


def test_noise_is_standard_gumbel_and_uncorrelated_between_seeds_segments_and_steps() -> None:
    noise = gumbel_noise(keys(400), torch.zeros(400, dtype=torch.int64), 500)
    assert noise.isfinite().all()
    assert noise.mean() == pytest.approx(0.5772, abs=0.01)
    assert noise.var() == pytest.approx(1.6449, abs=0.03)
    centred = noise - noise.mean()
    others = {
        "segment": centred.roll(1, 0),
        "code": centred.roll(1, 1),
        "step": gumbel_noise(keys(400), torch.ones(400, dtype=torch.int64), 500) - noise.mean(),
        "seed": gumbel_noise(keys(400, seed=1), torch.zeros(400, dtype=torch.int64), 500) - noise.mean(),
    }
    for name, other in others.items():
        assert abs(float((centred * other).mean())) / 1.6449 < 0.01, name


def test_drawn_codes_follow_the_softmax() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0]]).expand(20_000, 4)
    drawn = draw(logits, Sampling(temperature=0.7), keys(20_000), torch.zeros(20_000, dtype=torch.int64))
    shares = drawn.bincount(minlength=4) / 20_000
    assert torch.allclose(shares, (logits[0] / 0.7).softmax(-1), atol=0.012)


def test_temperature_zero_takes_the_most_likely_code() -> None:
    logits = torch.tensor([[0.0, 5.0, 4.9]])
    assert draw(logits, Sampling(temperature=0), keys(1), torch.zeros(1, dtype=torch.int64)).item() == 1


def test_top_k_keeps_ties_with_the_kth_as_published() -> None:
    kept = keep_likely(torch.tensor([[3.0, 2.0, 2.0, 1.0]]), Sampling(top_k=2))
    assert kept.isfinite().tolist() == [[True, True, True, False]]


def test_top_p_keeps_the_fewest_codes_that_reach_p_and_always_one() -> None:
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    assert keep_likely(logits, Sampling(top_p=0.8)).isfinite().tolist() == [[True, True, False, False]]
    assert keep_likely(logits, Sampling(top_p=0.81)).isfinite().tolist() == [[True, True, True, False]]
    assert keep_likely(logits, Sampling(top_p=0.01)).isfinite().tolist() == [[True, False, False, False]]


@pytest.mark.parametrize(
    "wrong",
    [{"temperature": -1.0}, {"temperature": float("nan")}, {"top_k": -1}, {"top_p": 0.0}, {"top_p": 1.1}],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Sampling(**wrong)  # type: ignore[arg-type]

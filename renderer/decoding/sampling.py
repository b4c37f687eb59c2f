"""From logits to codes: temperature, top-k, top-p, and noise that belongs to a place, not to a moment.

The noise of a code is a pure function of (item seed, segment, take of it, step, code). So a segment comes out
the same whichever batch or actor renders it.
"""

import hashlib
from dataclasses import dataclass

import torch

# SplitMix64's increment and multipliers (Steele, Lea and Flood, OOPSLA 2014), as signed 64-bit integers.
_INCREMENT = 0x9E3779B97F4A7C15 - (1 << 64)
_MULTIPLIERS = (0xBF58476D1CE4E5B9 - (1 << 64), 0x94D049BB133111EB - (1 << 64))
_SHIFTS, _LAST_SHIFT = (30, 27), 31
_NOISE_BITS = 23


@dataclass(frozen=True)
class Sampling:
    """How a code is drawn. Temperature 0 takes the most likely code; top_k 0 and top_p 1 leave every code in."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.temperature < float("inf"):
            raise ValueError(f"temperature is {self.temperature}; it must be 0 (greedy) or more")
        if self.top_k < 0:
            raise ValueError(f"top_k is {self.top_k}; it must be 0 (off) or more")
        if not 0.0 < self.top_p <= 1.0:
            raise ValueError(f"top_p is {self.top_p}; it must be above 0 and at most 1 (off)")


def noise_key(seed: int, segment: int, take: int = 0) -> int:
    """The 64-bit key of one segment's noise, from the item's seed, the segment's index and which take of it."""
    place = f"{seed}/{segment}/{take}" if take else f"{seed}/{segment}"
    digest = hashlib.blake2b(place.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def gumbel_noise(keys: torch.Tensor, steps: torch.Tensor, codes: int) -> torch.Tensor:
    """Standard Gumbel noise (B, codes) float32 for keys (B,) and steps (B,), both int64.

    SplitMix64 of the counter ``step * codes + code``; 23 bits become a uniform number strictly between 0 and 1.
    """
    first = keys + steps * codes * _INCREMENT
    bits = first[:, None] + torch.arange(codes, device=keys.device) * _INCREMENT
    for shift, multiplier in zip(_SHIFTS, _MULTIPLIERS, strict=True):
        bits = (bits ^ _shift_right(bits, shift)) * multiplier
    bits = bits ^ _shift_right(bits, _LAST_SHIFT)
    uniform = (_shift_right(bits, 64 - _NOISE_BITS).float() + 0.5) * 2.0**-_NOISE_BITS
    return -torch.log(-torch.log(uniform))


def draw(logits: torch.Tensor, sampling: Sampling, keys: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
    """Logits (B, codes) float32 -> one code a row (B,) int64, by the Gumbel-max trick."""
    if sampling.temperature == 0.0:
        return logits.argmax(-1)
    kept = keep_likely(logits / sampling.temperature, sampling)
    return (kept + gumbel_noise(keys, steps, logits.shape[-1])).argmax(-1)


def keep_likely(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Set to -inf what top-k and top-p leave out; (B, codes) -> (B, codes).

    top-k keeps every logit that is not below the k-th largest, as published; top-p then keeps the fewest codes
    whose probabilities reach p, and always the most likely one.
    """
    if 0 < sampling.top_k < logits.shape[-1]:
        floor = logits.topk(sampling.top_k).values[..., -1:]
        logits = logits.masked_fill(logits < floor, float("-inf"))
    if sampling.top_p < 1.0:
        ordered, order = logits.sort(stable=True, dim=-1, descending=True)
        probability = ordered.softmax(-1)
        beyond = probability.cumsum(-1) - probability >= sampling.top_p
        logits = logits.masked_fill(beyond.scatter(-1, order, beyond), float("-inf"))
    return logits


def _shift_right(bits: torch.Tensor, count: int) -> torch.Tensor:
    """Logical shift of 64-bit patterns; torch's own shift of int64 keeps the sign."""
    return (bits >> count) & ((1 << (64 - count)) - 1)

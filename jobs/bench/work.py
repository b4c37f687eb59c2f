"""The work that the stages cannot do without, counted from sizes alone: operations and memory traffic.

A product of (m, k) and (k, n) is 2 m k n operations; nothing else is counted: norms, softmax and activations are small.
Traffic is what no implementation can keep on the chip: the weights, once for every pass that has to wait for the
one before it, whatever the size of the batch, and every key and value that a step of decoding sees.
Only what is visible counts, not what a padded or masked product computes besides.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from renderer.model.midi_valle import MIDI_WIDTHS, ModelConfig


@dataclass(frozen=True)
class Work:
    """Operations and bytes to or from memory."""

    flops: int
    bytes: int

    def least_seconds(self, peak_flops: float, peak_bytes: float) -> float:
        """The roofline: no machine with these peaks, each a second, does this work in less time."""
        return max(self.flops / peak_flops, self.bytes / peak_bytes)


@dataclass(frozen=True)
class Span:
    """The sizes of a segment: MIDI rows (BOS and EOS included), prompt frames, frames to generate."""

    rows: int
    prompt: int
    frames: int

    @property
    def prefix(self) -> int:
        """Positions before the first step of decoding, which reads the last prompt frame."""
        return self.rows + self.prompt - 1


def prefill_work(config: ModelConfig, batch: Sequence[Span], weight_bytes: int, cache_bytes: int) -> Work:
    """MIDI rows and prompts through the AR decoder, into its cache.

    ``weight_bytes`` and ``cache_bytes`` are the sizes of one weight, and of one number of a key or value.
    """
    flops = sum(
        _midi_flops(config, span.rows)
        + span.prefix * _layers_flops(config)
        + _attention_flops(config, span.rows**2 + _staircase(span.rows + 1, span.prefix))
        for span in batch
    )
    written = sum(span.prefix for span in batch) * _position_numbers(config)
    weights = _layers_numbers(config) + _midi_numbers(config)
    return Work(flops, weights * weight_bytes + written * cache_bytes)


def decode_work(config: ModelConfig, batch: Sequence[Span], weight_bytes: int, cache_bytes: int) -> Work:
    """Codebook 0, a step of all segments at a time; a step sees all positions up to its own."""
    frames = sum(span.frames for span in batch)
    seen = sum(_staircase(span.prefix + 1, span.prefix + span.frames) for span in batch)
    head = config.d_model * (config.codebook_size + 1)
    flops = frames * (_layers_flops(config) + 2 * head) + _attention_flops(config, seen)
    weights = max(span.frames for span in batch) * (_layers_numbers(config) + head)
    return Work(flops, weights * weight_bytes + seen * _position_numbers(config) * cache_bytes)


def complete_work(config: ModelConfig, batch: Sequence[Span], weight_bytes: int) -> Work:
    """The other codebooks, a pass over whole segments each; the norms are folded, as the stages are known."""
    stages = config.codebooks - 1
    head = config.d_model * config.codebook_size
    flops = 0
    for span in batch:
        positions = span.rows + span.prompt + span.frames
        a_pass = positions * _layers_flops(config) + _attention_flops(config, positions**2) + span.frames * 2 * head
        flops += _midi_flops(config, span.rows) + stages * a_pass
    weights = stages * (_layers_numbers(config) + head) + _midi_numbers(config)
    return Work(flops, weights * weight_bytes)


def _layers_flops(config: ModelConfig) -> int:
    """Of the projections of all layers, for one position."""
    return config.layers * 24 * config.d_model**2


def _attention_flops(config: ModelConfig, pairs: int) -> int:
    """Of attention in all layers, for pairs of a query and a key that it sees."""
    return config.layers * 4 * config.d_model * pairs


def _midi_flops(config: ModelConfig, rows: int) -> int:
    return 2 * rows * sum(MIDI_WIDTHS) * config.d_model


def _layers_numbers(config: ModelConfig) -> int:
    """Weights, biases and norms of a decoder: two norms a layer and a final one."""
    width = config.d_model
    return config.layers * (12 * width**2 + 13 * width) + 2 * width


def _midi_numbers(config: ModelConfig) -> int:
    return (sum(MIDI_WIDTHS) + 1) * config.d_model


def _position_numbers(config: ModelConfig) -> int:
    """Keys and values of one position."""
    return 2 * config.layers * config.d_model


def _staircase(first: int, last: int) -> int:
    """The sum of first, first + 1, ..., last."""
    return (first + last) * (last - first + 1) // 2

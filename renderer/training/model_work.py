"""How much arithmetic training takes."""

from collections.abc import Sequence

from renderer.model.midi_valle import MIDI_WIDTHS, ModelConfig


def training_flops(config: ModelConfig, spans: Sequence[tuple[int, int]], is_ar: bool) -> float:
    """Floating-point operations of matrix products, forward and backward, for windows of (S rows, T frames).

    What a causal mask hides is not counted.
    """
    width = config.d_model
    total = 0.0
    for rows, frames in spans:
        positions = rows + frames
        seen = rows * rows + frames * rows + frames * (frames + 1) / 2 if is_ar else positions * positions
        layer = 2 * 12 * width * width * positions + 4 * width * seen
        total += config.layers * layer + 2 * sum(MIDI_WIDTHS) * width * rows + 2 * width * config.codebook_size * frames
    return 3 * total

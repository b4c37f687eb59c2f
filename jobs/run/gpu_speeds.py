"""How fast GPUs are said to render: arithmetic, explained in jobs/bench/gpu/README.md, until it is measured."""

from collections.abc import Iterator, Mapping

AUDIO_SECONDS_A_SECOND: Mapping[str, Mapping[str, float]] = {
    "midi-valle": {"H100": 800, "H200": 1000, "A100 80 GB": 440, "RTX 4090": 230, "L4": 85},
    "mini": {"H100": 2500},
}
"""By model, of one card, in bf16."""


def gpu_hours(model_id: str, seconds: float) -> Iterator[tuple[str, float]]:
    """Each card with the hours that it needs for ``seconds`` of audio; none for a model of which nothing is known."""
    for card, speed in AUDIO_SECONDS_A_SECOND.get(model_id, {}).items():
        yield card, seconds / speed / 3600

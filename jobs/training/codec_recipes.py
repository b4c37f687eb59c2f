"""Sets of options that a codec is trained by; whatever else is given comes before them."""

from collections.abc import Mapping

RECIPES: Mapping[str, Mapping[str, object]] = {
    "encodec": {
        "losses": "encodec",
        "waveform": 0.1,
        "adversary_from": 0,
        "notes": 0.0,
        "commitment": 1.0,
        "rate": 3e-4,
        "warmup": 0,
        "decay": "constant",
        "weight_decay": 0.0,
        "clip_norm": 0.0,
        "average_decay": 0.99,
        "unquantized": 0,
        "shallow": 0.0,
        "batch": 64,
        "crop_seconds": 1.0,
        "precision": "fp32",
    }
}
"""By the name that ``--recipe`` takes. ``encodec`` is audiocraft's configuration for 32 kHz; it does 400,000 steps."""

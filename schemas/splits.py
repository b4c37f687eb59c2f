"""What a clip of a corpus is for."""

from typing import Literal

Split = Literal["train", "validation", "test"]

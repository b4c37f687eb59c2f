"""What is measured."""

from dataclasses import dataclass

from renderer.device import choose_device, choose_precision
from renderer.model.tokens import MAX_SECONDS
from renderer.prompt import PROMPT_SECONDS

SIZES = ("mini", "published")
LONGEST_SECONDS = MAX_SECONDS - PROMPT_SECONDS
"""No segment can be longer: the model's clock of 32 s runs from the start of the prompt."""


@dataclass(frozen=True)
class BenchSettings:
    """A sweep over batch sizes; ``seconds`` is the length of every segment (None: the longest the model renders).

    ``published`` asks for the published way of doing the same work as well.
    """

    size: str
    device: str = "auto"
    precision: str = "auto"
    batch_sizes: tuple[int, ...] = (16,)
    threads: int = 0
    seconds: float | None = None
    published: bool = True

    def __post_init__(self) -> None:
        if self.size not in SIZES:
            raise ValueError(f"--size is {self.size!r}; it must be one of {', '.join(SIZES)}")
        if not self.batch_sizes or min(self.batch_sizes) < 1:
            raise ValueError(f"--batch is {self.batch_sizes}; every batch holds at least 1 segment")
        if self.seconds is not None and not 0.1 <= self.seconds <= LONGEST_SECONDS:
            raise ValueError(f"--seconds is {self.seconds}; a segment lasts 0.1 to {LONGEST_SECONDS:g} s")
        choose_precision(self.precision, choose_device(self.device).type)


def batch_sizes(text: str) -> tuple[int, ...]:
    """``1,4,16`` as numbers; ValueError if it is anything else."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"--batch is {text!r}; give whole numbers with commas between them, as 1,4,16,64") from None

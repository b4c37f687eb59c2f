"""What is measured."""

from dataclasses import dataclass
from typing import Annotated, Literal

from jobs.errors import JobError
from jobs.option import Option, check_choice


@dataclass(frozen=True, kw_only=True)
class BenchSettings:
    """A sweep over batch sizes; ``seconds`` is the length of every segment (None: the longest the model renders).

    ``published`` asks for the published way of doing the same work as well. JobError for a value that makes no sense.
    """

    size: Annotated[Literal["mini", "published"], Option("mini, or published: its size with random weights.")] = "mini"
    device: Annotated[str, Option("auto, cpu or cuda.")] = "auto"
    precision: Annotated[str, Option("fp32, bf16, fp16, or auto: the fastest.")] = "auto"
    batch: Annotated[
        str, Option("Segments rendered side by side; with commas: one size after another, as 1,4,16,64.")
    ] = "16"
    threads: Annotated[int, Option("CPU threads; 0: all cores.", least=0)] = 0
    seconds: Annotated[float | None, Option("Length of a segment; by default what the model renders at most.")] = None
    published: Annotated[bool, Option("Also the published way: no cache, batch 1, fp32. Slow.")] = True

    def __post_init__(self) -> None:
        from renderer.device import choose_device, choose_precision
        from renderer.model.tokens import MAX_SECONDS
        from renderer.prompt import PROMPT_SECONDS

        sizes = self.batch_sizes
        check_choice(self, "size")
        if min(sizes) < 1:
            raise JobError(f"--batch is {sizes}; every batch holds at least 1 segment")
        longest = MAX_SECONDS - PROMPT_SECONDS  # The model's clock runs from the start of the prompt.
        if self.seconds is not None and not 0.1 <= self.seconds <= longest:
            raise JobError(f"--seconds is {self.seconds}; a segment lasts 0.1 to {longest:g} s")
        try:
            choose_precision(self.precision, choose_device(self.device).type)
        except ValueError as error:
            raise JobError(str(error)) from None

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """``1,4,16`` as numbers; JobError if it is anything else."""
        try:
            return tuple(int(part) for part in self.batch.split(","))
        except ValueError:
            raise JobError(
                f"--batch is {self.batch!r}; give whole numbers with commas between them, as 1,4,16,64"
            ) from None

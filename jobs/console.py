"""What is said to a person: messages, lengths of time, a bar for downloads. A name cannot command a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO


def duration(seconds: float) -> str:
    """A length of time in the unit that fits."""
    if seconds < 90:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.2f} h"


def size(size_bytes: float) -> str:
    """A number of bytes in the unit that fits."""
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:.3g} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.3g} TB"


def say(text: str, file: TextIO | None = None) -> None:
    """Print a message for the user: on stderr, or where else it should go."""
    print(printable(text), file=file or sys.stderr, flush=True)


def say_above_bars(text: str) -> None:
    """Print a message on stderr from anywhere: above the bars that this process shows there, if it does."""
    from tqdm import tqdm

    tqdm.write(printable(text), file=sys.stderr)


def printable(text: str) -> str:
    """The text with control characters escaped; a file name must not be able to command a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def one_line(text: str) -> str:
    """The text as :func:`printable` has it, with line breaks escaped as well: no name can pass for a line of ours."""
    return printable(text).replace("\n", "\\n")


def confirmed(question: str) -> bool:
    """Ask the person at the terminal; anything but ``y`` or ``yes`` is a no."""
    print(f"{printable(question)} [y/N]: ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


@contextmanager
def download_bar() -> Iterator[tuple[Callable[[int, int], None], Callable[[str], None]]]:
    """A bar for a download that may turn out to be needless: how to move it, and how to print above it."""
    from tqdm import tqdm

    with tqdm(unit="B", unit_scale=True, delay=0.5, leave=False) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show, bar.write

"""What is measured, beside what was predicted: a line of JSON each, written as it comes, and a table of all."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = "figures.jsonl"


@dataclass(frozen=True)
class Figure:
    """A number with its unit and, where there is one, what was predicted; or only a ``note``."""

    name: str
    value: float | None = None
    unit: str = ""
    predicted: float | None = None
    note: str = ""

    @property
    def line(self) -> str:
        """For a person."""
        value = "" if self.value is None else f"{self.value:,.4g}"
        predicted = "" if self.predicted is None else f"{self.predicted:,.4g}"
        ratio = f"{self.value / self.predicted:.2f}" if self.value is not None and self.predicted else ""
        return f"  {self.name:<44} {value:>10} {predicted:>10} {ratio:>6} {self.unit:<12} {self.note}".rstrip()


class Figures:
    """Those of one folder, part by part."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder

    def add(self, part: str, figure: Figure) -> None:
        """Keep a figure, for good: what comes after may end the process."""
        with (self.folder / FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"part": part, **asdict(figure)}) + "\n")

    def read(self) -> list[tuple[str, Figure]]:
        """All so far, each with its part."""
        path = self.folder / FILE
        lines = path.read_text("utf-8").splitlines() if path.is_file() else []
        rows = [json.loads(line) for line in lines]
        return [(row.pop("part"), Figure(**row)) for row in rows]

    def value(self, name: str) -> float | None:
        """A figure that was measured before."""
        return next((figure.value for _, figure in reversed(self.read()) if figure.name == name), None)

    def table(self, parts: Iterable[str]) -> str:
        """All of them, part by part."""
        figures = self.read()
        lines = [f"  {'figure':<44} {'measured':>10} {'predicted':>10} {'ratio':>6} unit"]
        for part in parts:
            lines += [part, *(figure.line for of, figure in figures if of == part)]
        return "\n".join(lines)

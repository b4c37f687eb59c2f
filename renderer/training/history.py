"""The course of a training as JSON lines: one line a record, with its step, its seconds and any figures."""

import json
from pathlib import Path

from renderer.training.checkpoints import replace_file

Record = dict[str, float]


class History:
    """The records of a training, in a file that grows line by line.

    Opened for a training that goes on from ``step`` steps, it forgets what lies behind them: it will happen again.
    """

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        self.records = [record for record in read_history(path) if record["step"] <= step]
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, "".join(map(_line, self.records)).encode())

    @property
    def seconds(self) -> float:
        """Seconds of training until the last record."""
        return self.records[-1]["seconds"] if self.records else 0.0

    def add(self, step: int, seconds: float, **figures: float) -> None:
        """Write down figures after ``step`` steps and ``seconds`` of training in all."""
        record = {"step": step, "seconds": round(seconds, 3), **figures}
        self.records.append(record)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_line(record))


def read_history(path: Path) -> list[Record]:
    """The records in a file, none if it is not there; a last line that was cut short is left out."""
    if not path.exists():
        return []
    lines = path.read_text("utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1]]


def series(records: list[Record], name: str) -> tuple[list[float], list[float]]:
    """Steps and values of one figure."""
    having = [record for record in records if name in record]
    return [record["step"] for record in having], [record[name] for record in having]


def _line(record: Record) -> str:
    return json.dumps(record) + "\n"

"""A prompt bank in the making: what a killed ``prompts make`` has cut is gone on with."""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jobs.errors import JobError
from jobs.inputs.inputs import is_s3
from jobs.prompts.make_options import MakeOptions
from jobs.prompts.recordings import Recording

_PLAN = "plan.json"


class PartialBank:
    """A hidden folder beside a bank, with the clips so far and a file for each recording that is done.

    It is known again by what was asked for and by the sizes and times of the recordings.
    """

    def __init__(self, options: MakeOptions, recordings: Sequence[Recording]) -> None:
        self.folder = options.out.absolute().with_name(f".{options.out.stem}.partial")
        self.clips = self.folder / "clips"
        self._plan = _plan(options, recordings)

    def begin(self) -> None:
        """Make the folder, or find it. JobError if another bank is being made there."""
        plan = self.folder / _PLAN
        if plan.is_file() and plan.read_text("utf-8") != self._plan:
            raise JobError(
                f"{self.folder} holds an unfinished bank that is another one, or its recordings have changed: "
                "repeat its command, or delete it"
            )
        self.clips.mkdir(parents=True, exist_ok=True)
        _write(plan, self._plan)

    def done(self, number: int) -> dict[str, Any] | None:
        """What came of a recording, if it is done; its clips are there then."""
        record = self._record(number)
        return json.loads(record.read_text("utf-8")) if record.is_file() else None

    def finish(self, number: int, found: dict[str, Any]) -> None:
        """Remember what came of a recording, whose clips are written."""
        _write(self._record(number), json.dumps(found))

    def remove(self) -> None:
        """Delete the folder: what was wanted of it is moved out."""
        shutil.rmtree(self.folder)

    def _record(self, number: int) -> Path:
        return self.folder / f"{number:06d}.json"


def _plan(options: MakeOptions, recordings: Sequence[Recording]) -> str:
    asked = asdict(options) | {"sources": None, "processes": None}
    material = [[*asdict(each).values(), *map(_version, (each.audio, each.midi))] for each in recordings]
    plan = {
        "options": {name: value for name, value in asked.items() if value is not None},
        "recordings": len(recordings),
        "sha256": hashlib.sha256(json.dumps(material, default=str).encode()).hexdigest(),
    }
    return json.dumps(plan, indent=1, default=str, ensure_ascii=False) + "\n"


def _version(location: str | None) -> tuple[int, int] | None:
    """Size and time of a local file, by which it is known to be as it was."""
    if location is None or is_s3(location) or not Path(location).is_file():
        return None
    found = Path(location).stat()
    return found.st_size, found.st_mtime_ns


def _write(path: Path, content: str) -> None:
    temporary = path.with_name(f".tmp-{path.name}-{os.getpid()}")
    temporary.write_text(content, "utf-8")
    temporary.replace(path)

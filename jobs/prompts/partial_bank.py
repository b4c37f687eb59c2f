"""A prompt bank in the making: what a killed ``prompts make`` has cut is gone on with."""

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jobs.inputs.inputs import is_s3
from jobs.partial_folder import PartialFolder
from jobs.prompts.make_options import MakeOptions
from jobs.prompts.recordings import Recording


class PartialBank(PartialFolder):
    """A hidden folder beside a bank, with the clips so far and a file for each recording that is done.

    It is known again by what was asked for and by the sizes and times of the recordings.
    """

    def __init__(self, options: MakeOptions, recordings: Sequence[Recording]) -> None:
        folder = options.out.absolute().with_name(f".{options.out.stem}.partial")
        super().__init__(folder, "plan.json", _plan(options, recordings).encode())
        self.clips = self.path("clips")

    def begin(self) -> None:
        """Make the folder, or find it. JobError if another bank is being made there."""
        self.resume("bank that is another one, or its recordings have changed")
        self.clips.mkdir(exist_ok=True)

    def done(self, number: int) -> dict[str, Any] | None:
        """What came of a recording, if it is done; its clips are there then."""
        name = _record(number)
        return json.loads(self.path(name).read_text("utf-8")) if self.has(name) else None

    def finish(self, number: int, found: dict[str, Any]) -> None:
        """Remember what came of a recording, whose clips are written."""
        self.write(_record(number), json.dumps(found).encode())

    def remove(self) -> None:
        """Delete the folder: what was wanted of it is moved out."""
        shutil.rmtree(self.folder)


def _record(number: int) -> str:
    return f"{number:06d}.json"


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

"""Where a worker is, how much memory is left there, and what the code that it runs warns of."""

import socket
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import ray
import torch

from jobs.run.places import Place

SECONDS_BETWEEN_REPORTS = 10.0
MEMORY_FILE = Path("/proc/meminfo")


@dataclass(frozen=True)
class Vitals:
    """Used and all memory of a node, and of a worker's GPU, in bytes; None where that is not known."""

    place: Place
    memory: tuple[int, int] | None
    gpu: str = ""
    gpu_memory: tuple[int, int] | None = None


class Notes(NamedTuple):
    """What workers have noted since the last reading: how their places do, and warnings, with their places."""

    vitals: tuple[Vitals, ...]
    warnings: tuple[tuple[Place, str], ...]


def here() -> Place:
    """The node of this process."""
    return Place(socket.gethostname(), ray.get_runtime_context().get_node_id())


def vitals(place: Place) -> Vitals:
    """How much memory is used now at this place, and on the GPU of this process, if it has one."""
    memory = _memory()
    if not torch.cuda.is_initialized():
        return Vitals(place, memory)
    free, size = torch.cuda.mem_get_info()
    return Vitals(place, memory, torch.cuda.get_device_name(), (size - free, size))


class VitalsReporter:
    """Tells a place's vitals, but not too often."""

    def __init__(self, place: Place, tell: Callable[[Vitals], object]) -> None:
        self._place, self._tell = place, tell
        self._last = -SECONDS_BETWEEN_REPORTS

    def report_now_and_then(self) -> None:
        """Report, if it is time to."""
        now = time.monotonic()
        if now - self._last >= SECONDS_BETWEEN_REPORTS:
            self._last = now
            self._tell(vitals(self._place))


def tell_warnings(tell: Callable[[str], object]) -> None:
    """Hand on what Python would print as warnings of this process, where nobody reads it."""

    def show(message: Warning | str, *place: object, **more: object) -> None:
        tell(str(message))

    warnings.showwarning = show


def _memory() -> tuple[int, int] | None:
    """Used and all of this machine's memory, as Linux counts them."""
    if not MEMORY_FILE.exists():
        return None
    lines = (line.partition(":") for line in MEMORY_FILE.read_text().splitlines())
    found = {name: int(rest.split()[0]) << 10 for name, _, rest in lines}
    return found["MemTotal"] - found["MemAvailable"], found["MemTotal"]

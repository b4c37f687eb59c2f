"""Where the seconds go."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from renderer.device import synchronize


class Stopwatch:
    """Adds up seconds by stage. Waits for the device around every stage, so it is for benchmarks only.

    ``cpu_seconds`` are those of all threads of the process: unlike ``seconds``, other processes do not add to them.
    """

    def __init__(self, device: torch.device) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.cpu_seconds: dict[str, float] = defaultdict(float)
        self._device = device

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Count what happens inside as ``stage``."""
        synchronize(self._device)
        begin, cpu_begin = time.perf_counter(), time.process_time()
        yield
        synchronize(self._device)
        self.seconds[stage] += time.perf_counter() - begin
        self.cpu_seconds[stage] += time.process_time() - cpu_begin

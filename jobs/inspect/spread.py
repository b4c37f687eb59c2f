"""Work in portions that do not depend on one another, done in this process, in several, or on a Ray cluster."""

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from jobs.inspect.options import VerifyOptions
from jobs.worker_processes import worker_processes

_Portion = TypeVar("_Portion")
_Result = TypeVar("_Result")

AHEAD = 2
"""So many portions for each process wait or are under way."""


class Spread(Protocol):
    """Where the work is done."""

    @property
    def width(self) -> int:
        """How many portions are done side by side."""
        ...

    def results(self, work: Callable[[_Portion], _Result], portions: Iterator[_Portion]) -> Iterator[_Result]:
        """The results in the portions' order, few of which are in memory; what ``work`` raises is raised."""
        ...


class Here:
    """In this process, one portion after the other."""

    width = 1

    def results(self, work: Callable[[_Portion], _Result], portions: Iterator[_Portion]) -> Iterator[_Result]:
        """As they are asked for."""
        return map(work, portions)


@dataclass(frozen=True)
class Processes:
    """In so many processes on this machine; who stops listening, as Ctrl-C does, ends them."""

    width: int

    def results(self, work: Callable[[_Portion], _Result], portions: Iterator[_Portion]) -> Iterator[_Result]:
        """In processes that begin with a second portion: for a single one they would not pay."""
        first, second = next(portions, None), next(portions, None)
        if first is None or second is None:
            yield from map(work, () if first is None else (first,))
            return
        others = set(multiprocessing.active_children())
        with worker_processes(self.width) as pool:
            try:
                futures = (pool.submit(work, portion) for portion in _chained(first, second, portions))
                for future in _ahead(futures, AHEAD * self.width):
                    yield future.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                for process in set(multiprocessing.active_children()) - others:
                    process.terminate()
                raise


@dataclass(frozen=True)
class RayTasks:
    """On a Ray cluster that this process is connected to, wherever there is a CPU."""

    width: int

    def results(self, work: Callable[[_Portion], _Result], portions: Iterator[_Portion]) -> Iterator[_Result]:
        """A task for each portion; Ray repeats those whose node is lost."""
        import ray

        task = ray.remote(num_cpus=1)(_call)
        references = (task.remote(work, portion) for portion in portions)
        for reference in _ahead(references, AHEAD * self.width):
            try:
                yield ray.get(reference)
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None


@contextmanager
def spread_of(options: VerifyOptions) -> Iterator[Spread]:
    """Where the options say that the work is done."""
    if options.ray_address is None:
        yield Processes(options.processes or os.cpu_count() or 1)
        return
    import ray

    from jobs.cluster import connected_ray

    with connected_ray(options, 0, 0):
        yield RayTasks(options.processes or max(1, int(ray.cluster_resources().get("CPU", 1))))


def _call(work: Callable[[Any], Any], portion: Any) -> Any:
    return work(portion)


def _chained(first: _Portion, second: _Portion, others: Iterator[_Portion]) -> Iterator[_Portion]:
    yield first
    yield second
    yield from others


def _ahead(begun: Iterator[_Result], most: int) -> Iterator[_Result]:
    """What an iterator gives, which begins so many ahead of what is asked for."""
    waiting: deque[_Result] = deque()
    for each in begun:
        waiting.append(each)
        if len(waiting) > most:
            yield waiting.popleft()
    yield from waiting

"""Processes that work for the one that started them: they end with it, and leave Ctrl-C to it."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor


def worker_processes(
    count: int | None = None, prepare: Callable[..., object] | None = None, *arguments: object
) -> ProcessPoolExecutor:
    """A pool of so many spawned processes, by default one on each core; each begins with ``prepare(*arguments)``.

    They end when the process that started them does: killed, it could not tell them, and they would wait for ever.
    """
    return ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _begin, (prepare, arguments))


def _begin(prepare: Callable[..., object] | None, arguments: tuple[object, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    if prepare is not None:
        prepare(*arguments)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)

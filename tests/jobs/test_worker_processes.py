"""Processes that work for another end with it, however it ended."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jobs.worker_processes import worker_processes

STARTS = """
import os, time
from jobs.worker_processes import worker_processes

if __name__ == "__main__":
    pool = worker_processes(2)
    print(pool.submit(os.getpid).result(), flush=True)
    {then}
"""


@pytest.mark.parametrize("then", ["time.sleep(600)", "pool.submit(time.sleep, 600).result()"], ids=["idle", "busy"])
def test_they_end_with_the_process_that_started_them(tmp_path: Path, then: str) -> None:
    script = tmp_path / "starts.py"
    script.write_text(STARTS.format(then=then))
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, env=environment)
    assert parent.stdout is not None
    worker = Path("/proc", parent.stdout.readline().strip())
    assert worker.exists()
    parent.kill()
    parent.communicate(timeout=60)  # It waits for all who could write to its output.
    deadline = time.monotonic() + 20
    while worker.exists():
        assert time.monotonic() < deadline, "a worker goes on"
        time.sleep(0.05)


def test_they_leave_interrupts_alone_and_are_prepared_first() -> None:
    with worker_processes(1, os.umask, 0o31) as pool:
        os.kill(pool.submit(os.getpid).result(), signal.SIGINT)
        assert pool.submit(os.umask, 0o31).result() == 0o31

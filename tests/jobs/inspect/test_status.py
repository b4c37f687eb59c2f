import json
import os
import socket
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from jobs.errors import JobError
from jobs.inspect.status import status
from jobs.run_directory.lease import LEASE_KEY, Claim, Lease
from jobs.run_directory.run_directory import RunDirectory
from jobs.storage import open_storage
from tests.jobs.support.corpus import make_corpus
from tests.jobs.support.rendered import render_run


def test_what_is_done_failed_and_not_finished_is_reported(tmp_path: Path, out: Path) -> None:
    manifest = make_corpus(tmp_path, ["a", "raises-1", "b", "c", "unreadable-1", "d", "unreadable-2"])
    output = status(render_run(manifest, out, leave_out={1})).splitlines()
    assert output[0].startswith(f"{out}: begun 20") and "model dummy, layout files, format flac" in output[0]
    assert output[1] == "items: 2 of 7 rendered, 3 failed, 2 not finished"
    assert output[2] == "shards: 3 of 4 finished; not finished: 1"
    assert output[3].startswith("audio: 3.")
    assert float(output[4].removeprefix("speed: ").split()[0]) > 0
    assert output[5] == "quality: 0 items good, 2 poor (attacks_explained 2)"
    assert output[6:] == [
        "3 items failed:",
        "  MidiError: 2 (unreadable-1, unreadable-2)",
        "  RuntimeError: 1 (raises-1)",
    ]


def test_a_run_that_has_only_begun_has_no_speed(tmp_path: Path, out: Path) -> None:
    output = status(render_run(make_corpus(tmp_path, [f"i{n}" for n in range(24)]), out, leave_out=range(12)))
    assert "0 of 24 rendered, 0 failed, 24 not finished" in output and "speed" not in output
    assert "0 of 12 finished; not finished: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ..." in output


def test_shards_in_flight_are_reported_while_a_driver_is_at_work(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = render_run(make_corpus(tmp_path, [f"i{n}" for n in range(8)]), out, leave_out={1, 2, 3})
    assert "in flight" not in status(directory)
    monkeypatch.setattr("jobs.run_directory.lease.HEARTBEAT_SECONDS", 0.0)
    lease = Lease(directory.storage)
    lease.acquire(lambda text: None)
    assert f"in flight: no shard; process {os.getpid()} on " in status(directory)
    lease.renew({0: 2.0, 1: 1.53, 3: 0.0})  # Shard 0 has been finished since.
    assert "in flight: shards 1 (1.5 of 2 items), 3 (0 of 2 items); process" in status(directory)
    lease.release()
    assert "in flight" not in status(directory)


def test_a_driver_that_was_killed_has_nothing_in_flight(tmp_path: Path, out: Path) -> None:
    directory = render_run(make_corpus(tmp_path, ["a", "b", "c", "d"]), out, leave_out={1})
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    claim = Claim("x", socket.gethostname(), gone.pid, 7, "2026-01-02T00:00:00+00:00", {"1": 1.0})
    directory.storage.write(LEASE_KEY, json.dumps(asdict(claim)).encode())
    assert "in flight: nothing; process" in status(directory)
    for odd in (b"[]", b"{}", b"not JSON"):
        directory.storage.write(LEASE_KEY, odd)
        assert "in flight" not in status(directory)


def test_a_folder_without_a_run_is_an_error(out: Path) -> None:
    with pytest.raises(JobError, match="no run has begun here"):
        status(RunDirectory(open_storage(str(out))))

"""Two drivers that work on one run at once, as processes of their own."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.inputs.inputs import Inputs
from jobs.inspect.verify import find_problems
from jobs.run.beginning import OPTIONS_KEY
from jobs.run_directory.lease import LEASE_KEY
from jobs.run_directory.run_directory import RunDirectory
from jobs.storage import open_storage
from tests.jobs.support.corpus import make_corpus
from tests.jobs.support.rendered import held, render_run

ROOT = Path(__file__).parents[3]
IDS = [f"item-{i:02d}" for i in range(24)]
SHARDS = 12


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, out: Path) -> str:
    """A place for a run, on either storage."""
    return str(out) if request.param == "local" else str(request.getfixturevalue("s3").uri())


def race(manifest: Path, place: str, home: Path) -> tuple[str, str]:
    """Start two drivers at once; returns what the one that finished and the one that did not said."""
    arguments = [str(manifest), "--out", place, "--actors", "1", "--shard-items", "2", "--device", "cpu"]
    drivers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.jobs.support.dummy_cli", *arguments],
            cwd=ROOT,
            # Long enough for a driver to find out that it is not alone.
            env=os.environ | {"DUMMY_SECONDS_PER_ITEM": "0.4", "HOME": str(home)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    output = [driver.communicate(timeout=300)[1] for driver in drivers]
    assert sorted(driver.returncode for driver in drivers) == [0, 1], output
    if drivers[0].returncode:
        output.reverse()
    return output[0], output[1]


def check_is_one_run(place: str, manifest: Path, undisturbed: Path) -> RunDirectory:
    """Every item once, with the bytes of an undisturbed run, and one marker for every shard."""
    render_run(manifest, undisturbed)
    directory = RunDirectory(open_storage(place))
    assert [row for table in directory.results() for row in table["item_id"].to_pylist()] == IDS
    markers = [f"_state/done/{shard:05d}.json" for shard in range(SHARDS)]
    assert sorted(directory.storage.keys("_state")) == [*markers, OPTIONS_KEY]
    assert list(find_problems(directory, Inputs())) == []
    assert held(place) == held(str(undisturbed))
    return directory


def sessions(directory: RunDirectory) -> list[list[str]]:
    """What happened in each driver's session."""
    logs = [directory.storage.read(key).decode() for key in directory.storage.keys("events")]
    return [[json.loads(line)["event"] for line in log.splitlines()] for log in logs]


def test_of_two_drivers_that_begin_a_run_one_stops_before_it_renders_anything(place: str, tmp_path: Path) -> None:
    manifest = make_corpus(tmp_path, IDS)
    _, loser = race(manifest, place, tmp_path)
    assert f"error: {place}: another driver is at work on this run: process " in loser and "Traceback" not in loser
    (events,) = sessions(check_is_one_run(place, manifest, tmp_path / "undisturbed"))
    assert events.count("shard_finished") == SHARDS


def test_of_two_drivers_that_both_take_over_from_a_dead_one_the_first_stops_and_nothing_is_mixed(
    place: str, tmp_path: Path
) -> None:
    manifest = make_corpus(tmp_path, IDS)
    storage = render_run(manifest, place, leave_out=range(1, SHARDS)).storage
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    storage.write(LEASE_KEY, json.dumps({"id": "x", "host": socket.gethostname(), "pid": dead.pid}).encode())
    _, loser = race(manifest, place, tmp_path)
    assert "another driver has taken over" in loser or "another driver is at work on this run" in loser
    assert "Traceback" not in loser
    check_is_one_run(place, manifest, tmp_path / "undisturbed")

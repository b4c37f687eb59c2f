"""Runs with two fake GPUs that are killed at random moments, driver or worker, and resumed until they are done.

``python -m tests.jobs.kill_runs 50`` prints a line for each run and exits with 1 if any result was lost, doubled
or changed: each run must end with every item once, every byte like that of an undisturbed run, and one marker
for every shard.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.jobs.corpus import audio, make_corpus, results

ROOT = Path(__file__).parents[2]
IDS = [f"item-{i:02d}" for i in range(40)]
SHARD_ITEMS = 4
LONGEST_LIFE = 8.0


def start(manifest: Path, out: Path, pids: Path) -> subprocess.Popen[str]:
    arguments = [manifest, "--out", out, "--gpus", 2, "--shard-items", SHARD_ITEMS]
    environment = {
        **os.environ,
        "DUMMY_SECONDS_PER_ITEM": "0.1",
        "DUMMY_GPUS": "2",
        "DUMMY_PIDS": str(pids),
        "HOME": str(pids.parent),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "tests.jobs.dummy_cli", *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def kill_a_worker(pids: Path, chance: random.Random) -> bool:
    """Kill one of the workers that have loaded; False if there is none."""
    workers = sorted(pids.iterdir())
    chance.shuffle(workers)
    for worker in workers:
        worker.unlink()
        try:
            os.kill(int(worker.name), signal.SIGKILL)
        except ProcessLookupError:
            continue
        return True
    return False


def disturbed_run(manifest: Path, folder: Path, chance: random.Random) -> tuple[int, int, int]:
    """Start a run as often as it takes; returns starts, drivers killed and workers killed."""
    pids, out = folder / "pids", folder / "out"
    pids.mkdir(parents=True)
    starts, drivers, workers, kills = 0, 0, 0, chance.randint(1, 3)
    while True:
        starts += 1
        process = start(manifest, out, pids)
        # So that kills fall into the rendering, not into the start of Ray.
        while process.poll() is None and not any(pids.iterdir()):
            time.sleep(0.02)
        while kills and process.poll() is None:
            time.sleep(chance.uniform(0.0, LONGEST_LIFE / 4))
            kills -= 1
            if chance.random() < 0.5:
                process.kill()
                drivers += process.wait() == -signal.SIGKILL
            else:
                workers += kill_a_worker(pids, chance)
        _, told = process.communicate()
        for stale in pids.iterdir():
            stale.unlink()
        if process.returncode == 0:
            return starts, drivers, workers
        if process.returncode != -signal.SIGKILL or starts > 10:
            raise AssertionError(f"exit code {process.returncode} after {starts} starts:\n{told}")


def problems(out: Path, expected: dict[str, bytes]) -> list[str]:
    found = []
    rows = results(out)
    if [row["item_id"] for row in rows] != IDS:
        found.append("items are lost, doubled or out of order")
    if any(row["status"] != "ok" for row in rows):
        found.append("items failed")
    if audio(out) != expected:
        found.append("bytes differ")
    markers = sorted(path.name for path in (out / "_state/done").iterdir())
    shards = json.loads((out / "run.json").read_text())["shards"]
    if markers != [f"{index:05d}.json" for index in range(len(shards))]:
        found.append(f"markers: {markers}")
    return found


def main(runs: int, seed: int = 0) -> int:
    chance = random.Random(seed)
    bad = total_drivers = total_workers = 0
    with tempfile.TemporaryDirectory() as name:
        manifest = make_corpus(Path(name), IDS)
        calm = Path(name) / "calm"
        (calm / "pids").mkdir(parents=True)
        assert start(manifest, calm / "out", calm / "pids").wait() == 0
        expected = audio(calm / "out")
        assert len(expected) == 2 * len(IDS) and not problems(calm / "out", expected)
        for number in range(runs):
            began, folder = time.monotonic(), Path(name) / str(number)
            try:
                starts, drivers, workers = disturbed_run(manifest, folder, chance)
                found = problems(folder / "out", expected)
            except AssertionError as error:
                starts = drivers = workers = 0
                found = [str(error)]
            total_drivers, total_workers, bad = total_drivers + drivers, total_workers + workers, bad + bool(found)
            print(
                f"run {number}: {starts} starts, {drivers} drivers and {workers} workers killed, "
                f"{time.monotonic() - began:.0f} s: {'; '.join(found) or 'ok'}",
                flush=True,
            )
    print(f"{runs - bad} of {runs} runs ok; killed: {total_drivers} drivers, {total_workers} workers")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))

"""Runs that are killed at random moments, in driver, worker or storage server, and resumed until they are done.

``python -m tests.jobs.kill_runs 50`` prints a line for each run and exits with 1 if any result was lost, doubled
or changed: each run must end with every item once, all bytes like those of an undisturbed run, one marker for
every shard, and ``midi-valle verify`` must be content. Runs take turns among the layouts, on local storage and on
S3. Most render noise on two fake GPUs, every tenth plays the bundled model on the CPU.
"""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch
from typer.testing import CliRunner

from jobs.cli.commands import midi_valle_app
from jobs.run.model_backend import ModelBackend
from jobs.run.options import RenderOptions
from jobs.run_directory.run_directory import RunDirectory
from jobs.storage import open_storage
from tests.jobs.support.corpus import make_corpus
from tests.jobs.support.dummy import DummyBackend
from tests.jobs.support.rendered import held, render_run
from tests.jobs.support.s3_server import ENVIRONMENT, S3Server, running_s3_server

ROOT = Path(__file__).parents[2]
DUMMY_COMMAND = "tests.jobs.support.dummy_cli"
SHARD_ITEMS = (4, 64)
"""Small shards, each of one worker, and one that workers share, in turn."""

CASES = tuple(itertools.product(("files", "webdataset", "parquet"), ("local", "S3")))
MOST_KILLS, MOST_STARTS = 3, 12
START_SECONDS = 6.0
"""About so long after its start a driver begins to render."""

LONGEST_OUTAGE = 2.0


@dataclass(frozen=True)
class Corpus:
    """What is rendered, by which renderer, on which machine; for about so long."""

    manifest: Path
    ids: list[str]
    renderer: str
    machine: tuple[str, ...]
    seconds: float

    def undisturbed(self, layout: str, shard_items: int) -> dict[str, bytes]:
        """What a run holds to which nothing happened: in this process, without Ray."""
        options = RenderOptions(manifest=str(self.manifest))
        backend = ModelBackend.from_options(options) if self.renderer == "model" else DummyBackend()
        out = self.manifest.parent / f"undisturbed-{layout}-{shard_items}"
        render_run(self.manifest, out, backend=backend, layout=layout, shard_items=shard_items)
        return held(str(out))


def noise(folder: Path) -> Corpus:
    """Sixty-four items of noise."""
    ids = [f"item-{i:02d}" for i in range(64)]
    return Corpus(make_corpus(folder, ids), ids, "dummy", ("--gpus", "2"), 2.0)


def music(folder: Path) -> Corpus:
    """Sixteen items that the bundled model plays."""
    ids = [f"item-{i:02d}" for i in range(16)]
    manifest = make_corpus(folder, ids, prompt=["splendid-chamber"] * len(ids))
    return Corpus(manifest, ids, "model", ("--actors", "2", "--device", "cpu"), 5.0)


class DisturbedRun:
    """One run, started as often as it takes, and what was killed meanwhile."""

    def __init__(
        self, corpus: Corpus, layout: str, shard_items: int, out: str, pids: Path, chance: random.Random
    ) -> None:
        self._corpus, self._layout, self._shard_items = corpus, layout, shard_items
        self._out, self._pids, self._chance = out, pids, chance
        self._kills = chance.randint(1, MOST_KILLS)
        self.starts = 0
        self.killed: Counter[str] = Counter()

    def finish(self, server: S3Server | None) -> None:
        """Run until it is done; AssertionError if a start ends in a way that no kill explains."""
        while True:
            before = Counter(self.killed)
            process = self._start()
            while self.killed.total() < self._kills and self._wait(process):
                self._kill(process, server)
            _, printed = process.communicate()
            for stale in self._pids.iterdir():
                stale.unlink()
            if process.returncode == 0:
                return
            died = process.returncode == -signal.SIGKILL and self.killed["driver"] > before["driver"]
            refused = process.returncode == 1 and self.killed["server"] > before["server"]
            assert (died or refused) and self.starts < MOST_STARTS, f"exit code {process.returncode}:\n{printed}"

    def _start(self) -> subprocess.Popen[str]:
        self.starts += 1
        arguments = ["--out", self._out, "--layout", self._layout, "--shard-items", str(self._shard_items)]
        environment = {
            "DUMMY_SECONDS_PER_ITEM": "0.1",
            "DUMMY_GPUS": "2" if "--gpus" in self._corpus.machine else "0",
            "DUMMY_RENDERER": self._corpus.renderer,
            "DUMMY_PIDS": str(self._pids),
            "HOME": str(self._pids.parent),
        }
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.jobs.support.dummy_cli",
                self._corpus.manifest,
                *arguments,
                *self._corpus.machine,
            ],
            cwd=ROOT,
            env=os.environ | environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def _wait(self, process: subprocess.Popen[str]) -> bool:
        """Wait for a random moment: mostly while items are rendered; False if the run ends before."""
        seconds = self._chance.uniform(0.0, self._corpus.seconds)
        if self._chance.random() < 0.25:
            seconds = self._chance.uniform(0.0, START_SECONDS)
        else:
            while process.poll() is None and not any(self._pids.iterdir()):
                time.sleep(0.02)
        deadline = time.monotonic() + seconds
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        return process.poll() is None

    def _kill(self, process: subprocess.Popen[str], server: S3Server | None) -> None:
        what = self._chance.choice(("driver", "worker") if server is None else ("driver", "worker", "server"))
        if what == "driver":
            process.kill()
            process.wait()
        elif what == "worker" and not self._kill_a_worker():
            return
        elif what == "server" and server is not None:
            server.kill()
            time.sleep(self._chance.uniform(0.0, LONGEST_OUTAGE))
            server.start()
        self.killed[what] += 1

    def _kill_a_worker(self) -> bool:
        """Kill one of the workers that have loaded; False if there is none."""
        workers = sorted(self._pids.iterdir())
        self._chance.shuffle(workers)
        for worker in workers:
            worker.unlink()
            try:
                os.kill(int(worker.name), signal.SIGKILL)
            except ProcessLookupError:
                continue
            return True
        return False


def problems(out: str, ids: list[str], expected: dict[str, bytes]) -> list[str]:
    """What is wrong with a run."""
    found = []
    directory = RunDirectory(open_storage(out))
    rows = [row for table in directory.results() for row in table.to_pylist()]
    if [row["item_id"] for row in rows] != ids:
        found.append("items are lost, doubled or out of order")
    if any(row["status"] != "ok" for row in rows):
        found.append("items failed")
    if held(out) != expected:
        found.append("bytes differ")
    markers = sorted(directory.storage.keys("_state/done"))
    shards = json.loads(directory.storage.read("run.json"))["shards"]
    if markers != [f"_state/done/{index:05d}.json" for index in range(len(shards))]:
        found.append(f"markers: {markers}")
    verified = CliRunner().invoke(midi_valle_app(), ["verify", out])
    if verified.exit_code != 0 or f"clean: {len(ids)} items" not in verified.output:
        found.append(f"verify: {verified.output}")
    return found


def main(runs: int, seed: int = 0) -> int:
    """Do so many runs that are killed at least once; 1 if one of them went wrong."""
    os.environ.update(ENVIRONMENT)
    torch.set_num_threads(1)
    chance = random.Random(seed)
    bad, resumed, killed = 0, 0, Counter[str]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "s3").mkdir()
        with running_s3_server(folder / "s3") as server:
            os.environ["AWS_ENDPOINT_URL_S3"] = server.endpoint
            corpora = {"noise": noise(folder / "noise"), "mini": music(folder / "mini")}
            expected: dict[tuple[str, str, int], dict[str, bytes]] = {}
            number = counted = 0
            while counted < runs:
                (layout, place), renderer = CASES[number % len(CASES)], "mini" if number % 10 == 9 else "noise"
                corpus, began = corpora[renderer], time.monotonic()
                shard_items = SHARD_ITEMS[number // len(CASES) % len(SHARD_ITEMS)]
                if (renderer, layout, shard_items) not in expected:
                    expected[renderer, layout, shard_items] = corpus.undisturbed(layout, shard_items)
                pids = folder / str(number) / "pids"
                pids.mkdir(parents=True)
                out = server.uri("run") if place == "S3" else str(folder / str(number) / "out")
                run = DisturbedRun(corpus, layout, shard_items, out, pids, chance)
                try:
                    run.finish(server if place == "S3" else None)
                    found = problems(out, corpus.ids, expected[renderer, layout, shard_items])
                except AssertionError as error:
                    found = [str(error)]
                bad, resumed, killed = bad + bool(found), resumed + run.starts - 1, killed + run.killed
                counted += bool(run.killed or found)  # One that ended before it was killed shows nothing.
                print(
                    f"run {number} ({renderer}, {layout}, {place}, shards of {shard_items}): {run.starts} starts, "
                    f"killed: {named(run.killed)}; {time.monotonic() - began:.0f} s: {'; '.join(found) or 'ok'}",
                    flush=True,
                )
                number += 1
    print(f"{runs - bad} of {runs} runs ok; resumed {resumed} times; killed: {named(killed)}")
    return 1 if bad else 0


def named(killed: Counter[str]) -> str:
    """The kills, by kind."""
    return ", ".join(f"{count} {what}" for what, count in sorted(killed.items())) or "none"


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))

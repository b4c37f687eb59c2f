"""What a run costs beside the model: a renderer that returns noise at once, and a real S3 server.

``python -m tests.jobs.overhead`` prints, for every layout, items/s and the CPU time of one item, by who spends it:
the driver, the actors, the rest of Ray, the S3 server. CPU time says more than items/s where other work shares the
machine. An item is noise at 32 kHz with 10 notes a second, of 3 s, or of ``--seconds 2 10 180``. ``--items 1000 10000
100000 --layouts none`` shows whether an item costs the same in a large corpus, ``--planning 1000000`` how long such a
manifest is planned. ``--gpus 8 --rate 800`` has eight actors with a GPU each that is none, and gives no more than 800
audio-s/s; with ``--measured`` they are spared measuring, so that with layout ``none`` two cores reach rates that ask as
much of driver and storage as eight GPUs would.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.run.options import LayoutName
from jobs.storage import open_storage
from renderer.midi.midi_file import write_midi
from renderer.midi.notes import Notes
from tests.jobs.support.noise import NoiseBackend
from tests.jobs.support.s3_server import ENVIRONMENT, running_s3_server

ROOT = Path(__file__).parents[2]
NOTES_A_SECOND, TAIL = 10, 1.0
MIDI_FILES = 100
SAMPLING_SECONDS = 0.2
KINDS = ("driver", "actors", "Ray", "S3 server")
OURS = "OVERHEAD_RUN"
"""An environment variable by which all processes of a run are known."""

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Load:
    """What a run is asked to do, by whom; see the options."""

    layout: LayoutName
    seconds: float
    actors: int
    gpus: int
    rate: float
    is_measured: bool

    def __str__(self) -> str:
        workers = f"{self.gpus} GPUs that are none" if self.gpus else f"{self.actors} actors"
        most = f" of {self.rate:g} audio-s/s" if self.rate < float("inf") else ""
        return f"{self.layout}, {self.seconds:g} s, {workers}{most}{', measured' if self.is_measured else ''}"


def make_manifest(folder: Path, items: int, seconds: float = 3.0) -> Path:
    """A manifest of so many items, which share some MIDI files of so many seconds, audio's tail included."""
    name = f"{seconds:g}s"
    (folder / name).mkdir(parents=True, exist_ok=True)
    last, count = seconds - TAIL, round(NOTES_A_SECOND * seconds)
    for number in range(MIDI_FILES):
        chance = np.random.default_rng(number)
        onset = np.sort(chance.uniform(0.0, last - 0.3, count))
        offset = np.append(onset[:-1] + 0.25, last)
        keys = np.resize(chance.permutation(88), count) + 21
        write_midi(Notes.of(onset, offset, keys, chance.integers(30, 90, count)), folder / f"{name}/{number}.mid")
    columns = {
        "item_id": [f"item-{index:07d}" for index in range(items)],
        "midi": [f"{name}/{index % MIDI_FILES}.mid" for index in range(items)],
        "prompt": pa.repeat("plain", items),
    }
    pq.write_table(pa.table(columns), folder / f"{items}-{name}.parquet")
    return folder / f"{items}-{name}.parquet"


@dataclass(frozen=True)
class Cost:
    """What the rendering of a run took: seconds, CPU seconds by who spent them, memory of the driver at most."""

    items: int
    audio_seconds: float
    seconds: float
    cpu: dict[str, float]
    driver_bytes: int

    def __str__(self) -> str:
        each = ", ".join(f"{who} {1000 * spent / self.items:.2f}" for who, spent in self.cpu.items())
        whole = 1000 * sum(self.cpu.values())
        return (
            f"{self.items / self.seconds:.0f} items/s, {self.audio_seconds / self.seconds:.0f} audio-s/s; "
            f"CPU ms an item: {each}, in all {whole / self.items:.2f}; "
            f"{whole / self.audio_seconds:.2f} an audio-second; driver's peak {self.driver_bytes >> 20} MiB"
        )


class Meter:
    """CPU seconds of all processes of a run, by their kind, read again and again."""

    def __init__(self, name: str) -> None:
        self._mark = f"{OURS}={name}".encode()
        self._spent: dict[int, tuple[str, float]] = {}
        self._readings: list[tuple[datetime, dict[str, float]]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Meter":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def between(self, start: datetime, end: datetime) -> dict[str, float]:
        """CPU seconds that were spent, by kind of process."""
        before = next(cpu for time, cpu in reversed(self._readings) if time <= start)
        after = next(cpu for time, cpu in self._readings if time >= end)
        return {kind: after[kind] - before.get(kind, 0.0) for kind in KINDS if kind in after}

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLING_SECONDS):
            for folder in Path("/proc").glob("[0-9]*"):
                try:
                    if self._mark in (folder / "environ").read_bytes():
                        self._spent[int(folder.name)] = (self._kind(folder), self._seconds(folder))
                except (OSError, IndexError):  # It has just ended.
                    continue
            summed: dict[str, float] = defaultdict(float)
            for kind, seconds in self._spent.values():
                summed[kind] += seconds
            self._readings.append((datetime.now(UTC), summed))

    @staticmethod
    def _kind(folder: Path) -> str:
        command = (folder / "cmdline").read_bytes()
        if command.startswith(b"ray::RenderActor"):
            return "actors"
        if b"weed" in command.split(b"\0")[0]:
            return "S3 server"
        return "driver" if b"tests.jobs.overhead" in command else "Ray"

    @staticmethod
    def _seconds(folder: Path) -> float:
        values = (folder / "stat").read_text().rpartition(")")[2].split()
        return (int(values[11]) + int(values[12])) / TICKS_PER_SECOND


def measure(manifest: Path, out: str, load: Load) -> Cost:
    """Run `render-corpus` with the noise renderer as a process of its own, whose environment marks its children."""
    with Meter(os.environ[OURS]) as meter:
        time.sleep(2 * SAMPLING_SECONDS)
        command = [sys.executable, "-m", "tests.jobs.overhead", "--run", manifest, out, json.dumps(asdict(load))]
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(list(map(str, command)), cwd=ROOT, stdout=output, stderr=output)
            _, status, usage = os.wait4(process.pid, 0)
            output.seek(0)
            assert os.waitstatus_to_exitcode(status) == 0, output.read().decode()
        time.sleep(2 * SAMPLING_SECONDS)
    start, end, items = _rendered(out)
    return Cost(
        items, items * load.seconds, (end - start).total_seconds(), meter.between(start, end), usage.ru_maxrss << 10
    )


def _rendered(out: str) -> tuple[datetime, datetime, int]:
    """When all actors had loaded, when the last shard was finished, and how many items were finished in between."""
    storage = open_storage(out)
    lines = [line for key in sorted(storage.keys("events")) for line in storage.read(key).splitlines()]
    events = [json.loads(line) for line in lines]
    start = max(event["time"] for event in events if event["event"] == "actor_ready")
    finished = [event for event in events if event["event"] == "shard_finished" and event["time"] > start]
    end = max(event["time"] for event in finished)
    return datetime.fromisoformat(start), datetime.fromisoformat(end), sum(event["items"] for event in finished)


def run(manifest: str, out: str, load: Load) -> int:
    """One run, in this process."""
    from jobs.run.options import RenderOptions
    from jobs.run.render import render_corpus

    if load.gpus:
        import ray

        from jobs.cluster import OBJECT_STORE_BYTES

        ray.init(
            address="local",
            num_cpus=load.gpus,
            num_gpus=load.gpus,
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            log_to_driver=False,
        )
    where: dict[str, Any] = {"gpus": load.gpus} if load.gpus else {"actors": load.actors, "device": "cpu"}
    options = RenderOptions(manifest=manifest, out=out, layout=load.layout, overwrite=True, yes=True, **where)
    return render_corpus(options, NoiseBackend(load.seconds, load.rate, load.is_measured))


def plan(manifest: Path, out: Path) -> float:
    """Seconds until a run of this manifest could begin: all that is read, checked and planned beforehand."""
    from jobs.run.beginning import find_beginning
    from jobs.run.options import RenderOptions
    from jobs.run.preflight import prepare
    from jobs.run.row_weights import RowWeights
    from jobs.run.weigh_rows import weigh_rows
    from jobs.run_directory.run_directory import RunDirectory

    began = time.monotonic()
    job = prepare(RenderOptions(manifest=str(manifest), out=str(out), actors=2, device="cpu"), NoiseBackend())
    directory = RunDirectory(open_storage(str(out)))
    beginning = find_beginning(job, directory)
    RowWeights(weigh_rows(job.manifest, str(manifest.parent), job.inputs)).longest_first(job.run.shards)
    beginning.write(directory)
    return time.monotonic() - began


def main(arguments: argparse.Namespace) -> None:
    os.environ.update(ENVIRONMENT, RAY_USAGE_STATS_ENABLED="0", **{OURS: uuid.uuid4().hex})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["HOME"] = name
        if arguments.planning:
            manifest = make_manifest(folder, arguments.planning)
            print(f"{arguments.planning:,} items planned in {plan(manifest, folder / 'planned'):.1f} s", flush=True)
            return
        (folder / "s3").mkdir()
        with nullcontext() if arguments.local else running_s3_server(folder / "s3") as server:
            if server is not None:
                os.environ["AWS_ENDPOINT_URL_S3"] = server.endpoint
            for layout, seconds, items in product(arguments.layouts, arguments.seconds, arguments.items):
                out = str(folder / uuid.uuid4().hex) if server is None else server.uri("overhead")
                load = Load(layout, seconds, arguments.actors, arguments.gpus, arguments.rate, arguments.measured)
                cost = measure(make_manifest(folder, items, seconds), out, load)
                where = "a local disk" if server is None else "S3"
                print(f"{load}, {items:,} items, {where}, load {os.getloadavg()[0]:.1f}: {cost}", flush=True)


def _arguments(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[2000])
    parser.add_argument("--layouts", nargs="+", default=["files", "webdataset", "parquet", "none"])
    parser.add_argument("--seconds", type=float, nargs="+", default=[3.0], help="how long an item is")
    parser.add_argument("--actors", type=int, default=2)
    parser.add_argument("--gpus", type=int, default=0, help="so many actors, each on a GPU that is none")
    parser.add_argument("--rate", type=float, default=float("inf"), help="audio-s/s of an actor at most")
    parser.add_argument("--measured", action="store_true", help="renderings that need not be measured")
    parser.add_argument("--local", action="store_true", help="write to a local folder, not to an S3 server")
    parser.add_argument("--planning", type=int, default=0, metavar="ITEMS", help="measure only the planning")
    return parser.parse_args(given)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        _, _, manifest, out, load = sys.argv
        sys.exit(run(manifest, out, Load(**json.loads(load))))
    main(_arguments(sys.argv[1:]))

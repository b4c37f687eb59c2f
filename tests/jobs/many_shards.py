"""How long a run of very many finished shards takes to be read: ``python -m tests.jobs.many_shards 10000 100000``.

Prints seconds, CPU seconds and memory of ``midi-valle status``, which reads all that a resumed run does, on a real S3
server and on a local disk, with the index of markers and without it. ``--objects N`` makes larger markers.
``--verify ITEMS`` does ``verify --quick`` of a run of layout files on the S3 server, with one process and with two.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from jobs.run_directory.marker_index import INDEX_FOLDER, write_index
from jobs.run_directory.run_directory import MARKER_FOLDER, RunDirectory
from jobs.storage import Storage, open_storage
from schemas.marker_index import IndexRow
from tests.jobs.support.many_shards import Put, make_items, make_shards, past_s3, synthetic_marker
from tests.jobs.support.s3_server import ENVIRONMENT, S3Server, running_s3_server

ROOT = Path(__file__).parents[2]
COMMAND = """
import pathlib, sys
from jobs.cli.commands import midi_valle
try:
    midi_valle()
finally:
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    print(next(line for line in lines if line.startswith("VmHWM")))
"""
ROWS = 1000


def index_all(directory: RunDirectory) -> None:
    """Index a run whose markers are as they were made, without reading them."""
    found = list(directory.storage.versions(MARKER_FOLDER))
    shards = [int(listed.key.rpartition("/")[2].partition(".")[0]) for listed in found]
    rows = [
        IndexRow(listed.key, listed.version, listed.bytes, synthetic_marker(shard).summary())
        for listed, shard in zip(found, shards, strict=True)
    ]
    for start in range(0, len(rows), ROWS):
        write_index(directory.storage, rows[start : start + ROWS])


def measure(*words: str) -> str:
    """What a command costs as a process of its own, its children included."""
    began = time.monotonic()
    with tempfile.TemporaryFile() as file:
        process = subprocess.Popen([sys.executable, "-c", COMMAND, *words], cwd=ROOT, stdout=file, stderr=file)
        _, status, usage = os.wait4(process.pid, 0)
        file.seek(0)
        output = file.read().decode()
    assert os.waitstatus_to_exitcode(status) == 0 and "not finished:" not in output, output
    cpu = usage.ru_utime + usage.ru_stime
    # What the system says of a child is also what its parent had when it began.
    peak = int(output.rpartition("VmHWM:")[2].split()[0]) >> 10
    return f"{time.monotonic() - began:.1f} s, {cpu:.1f} s CPU, {peak} MiB"


def compare(folder: Path, storage: Storage, shards: int, objects: int, put: Put | None, plain: bool) -> None:
    """Print what reading a run costs with and without the index."""
    folder.mkdir()
    began = time.monotonic()
    directory = make_shards(folder, storage, shards, objects, put)
    made = time.monotonic() - began
    where = f"{shards:,} shards on {storage.uri.partition('://')[0] if '://' in storage.uri else 'a local disk'}"
    print(f"{where}: made in {made:.0f} s", flush=True)
    if plain:
        print(f"{where}, without an index: {measure('status', storage.uri)}; load {os.getloadavg()[0]:.1f}", flush=True)
    index_all(directory)
    print(f"{where}, indexed: {measure('status', storage.uri)}; load {os.getloadavg()[0]:.1f}", flush=True)
    assert len(list(storage.keys(INDEX_FOLDER))) == -(-shards // ROWS)


def verify(folder: Path, server: S3Server, items: int) -> None:
    """Print what verify --quick costs."""
    place = server.uri("verify")
    folder.mkdir()
    make_items(folder, open_storage(place), items, past_s3(server.filer, place))
    for processes in ("1", "2"):
        cost = measure("verify", place, "--quick", "--processes", processes)
        print(f"verify --quick of {items:,} items, {processes} processes: {cost}", flush=True)


def main(arguments: argparse.Namespace) -> None:
    os.environ.update(ENVIRONMENT)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        server = None
        if not arguments.local:
            (folder / "s3").mkdir()
            server = stack.enter_context(running_s3_server(folder / "s3"))
            os.environ["AWS_ENDPOINT_URL_S3"] = server.endpoint
        if server is not None and arguments.verify:
            verify(folder / "verify", server, arguments.verify)
        for shards in arguments.shards:
            place = str(folder / f"{shards}-run") if server is None else server.uri("run")
            put = None if server is None else past_s3(server.filer, place)
            plain = shards <= arguments.plain
            compare(folder / str(shards), open_storage(place), shards, arguments.objects, put, plain)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", type=int, nargs="*")
    parser.add_argument("--objects", type=int, default=0, help="that each marker names")
    parser.add_argument("--verify", type=int, default=0, metavar="ITEMS")
    parser.add_argument("--local", action="store_true", help="on a local disk, not on an S3 server")
    parser.add_argument("--plain", type=int, default=10_000, help="without an index up to so many shards")
    main(parser.parse_args())

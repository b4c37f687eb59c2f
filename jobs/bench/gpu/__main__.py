"""Measure a GPU: part by part in a process that is watched, so that what fails, hangs or dies does not hide the next.

``python -m jobs.bench.gpu --out FOLDER`` writes figures as they come, and ends with a table of all beside what was
predicted. ``--size tiny`` is a rehearsal, on a CPU as well.
"""

import argparse
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from jobs.bench.gpu.figures import Figure, Figures

PARTS: dict[str, float] = {
    "environment": 60,
    "cuda_tests": 170,
    "steps": 60,
    "complete": 30,
    "prefill": 30,
    "codec": 45,
    "steady": 150,
    "mini": 60,
    "products": 30,
    "attention": 30,
}
"""What is measured, in this order, and in how many seconds at most."""


def main() -> int:
    """The command; its exit code is 0 if every part came to its end."""
    parser = argparse.ArgumentParser(prog="python -m jobs.bench.gpu", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the folder for what is found")
    parser.add_argument("--size", choices=("full", "tiny"), default="full")
    parser.add_argument("--parts", default=",".join(PARTS), help="some of them, with commas between")
    parser.add_argument("--seconds", type=float, default=360.0, help="for everything: what comes later is left out")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    parts = options.parts.split(",")
    if unknown := [part for part in parts if part not in PARTS]:
        parser.error(f"no part {unknown[0]!r}: there are {', '.join(PARTS)}")
    if options.worker:
        return _work(options.out, options.size, parts)
    return _watch(options.out, options.size, parts, options.seconds)


def _watch(out: Path, size: str, parts: list[str], seconds: float) -> int:
    """Let a worker do the parts; where it dies or takes too long, another goes on with the next."""
    figures, end = Figures(out), time.monotonic() + seconds
    left = list(parts)
    while left and time.monotonic() < end:
        command = [sys.executable, "-m", "jobs.bench.gpu", "--worker", "--out", str(out), "--size", size]
        with (out / "log.txt").open("a") as log:
            worker = subprocess.Popen([*command, "--parts", ",".join(left)], stdout=log, stderr=subprocess.STDOUT)
        fault = _watched(worker, figures, left, end)
        if left:
            figures.add(left[0], Figure(f"{left[0]} FAILED", note=fault))
            left.pop(0)
    for part in left:
        figures.add(part, Figure(f"{part} LEFT OUT", note=f"{seconds:.0f} s were over"))
    print(figures.table(parts))
    return int(any(figure.name.endswith(("FAILED", "LEFT OUT")) for _, figure in figures.read()))


def _watched(worker: "subprocess.Popen[bytes]", figures: Figures, left: list[str], end: float) -> str:
    """Wait for a worker, and take from ``left`` the parts that came to an end; what became of it with the next."""
    begun = time.monotonic()
    while True:
        ended = {part for part, figure in figures.read() if figure.name.startswith(f"{part} took")}
        ended |= {part for part, figure in figures.read() if figure.name == f"{part} FAILED"}
        while left and left[0] in ended:
            left.pop(0)
            begun = time.monotonic()
        if worker.poll() is not None:
            return f"the process ended with {worker.returncode}: see log.txt"
        if not left:
            worker.wait()
            return ""
        if (now := time.monotonic()) > min(begun + PARTS[left[0]], end):
            worker.kill()
            worker.wait()
            return f"took more than {now - begun:.0f} s"
        time.sleep(0.2)


def _work(out: Path, size: str, parts: list[str]) -> int:
    """Do parts one after another; a part that raises is a failure of it alone, as far as the device still works."""
    import torch

    from jobs.bench.gpu import kernels, passes, whole
    from jobs.bench.gpu.bed import SIZES, Bed
    from renderer.device import choose_device, synchronize

    work: dict[str, Callable[[Bed], Iterator[Figure]]] = {
        "environment": kernels.environment,
        "products": kernels.products,
        "attention": kernels.attention,
        "steps": passes.steps,
        "prefill": passes.prefill,
        "complete": passes.complete,
        "codec": passes.codec,
        "cuda_tests": whole.cuda_tests,
        "steady": whole.steady,
        "mini": whole.mini,
    }
    bed = Bed(SIZES[size], choose_device("auto"), Figures(out))
    for part in parts:
        begin = time.perf_counter()
        try:
            for figure in work[part](bed):
                bed.figures.add(part, figure)
                print(part, figure.line, flush=True)
        except Exception as error:
            traceback.print_exc()
            lines = str(error).splitlines() or [""]
            bed.figures.add(part, Figure(f"{part} FAILED", note=f"{type(error).__name__}: {lines[0]}"))
            synchronize(bed.device)  # Raises where the device is beyond use, which ends this process.
        else:
            bed.figures.add(part, Figure(f"{part} took", time.perf_counter() - begin, "s"))
        if bed.device.type == "cuda":
            torch.cuda.empty_cache()
    return 0


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sys.exit(main())

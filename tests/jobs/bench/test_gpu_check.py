"""The check of a GPU is rehearsed where there is none: whole, at a tiny size; and what fails does not hide the next."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import jobs.bench.gpu.__main__ as check
from jobs.bench.gpu.figures import Figure, Figures
from jobs.bench.steady import middle_rate

ROOT = Path(__file__).parents[3]


def run_check(out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "jobs.bench.gpu", "--size", "tiny", "--out", str(out), *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_part_is_measured_and_the_table_comes_last(tmp_path: Path) -> None:
    parts = [part for part in check.PARTS if part != "cuda_tests"]  # Which would be skipped, after a start of its own.
    ran = run_check(tmp_path, "--parts", ",".join(parts), "--seconds", "1000")
    assert ran.returncode == 0, ran.stdout + (tmp_path / "log.txt").read_text()
    assert [line for line in ran.stdout.splitlines() if line in parts] == parts
    found = {figure.name: figure for _, figure in Figures(tmp_path).read()}
    for name in ("step, 4 slots", "complete", "prefill", "codec", "steady, 4 slots", "steady, mini, 4 slots"):
        value = found[name].value
        assert value is not None and value > 0, name
    for rows in (4, 512, 1024):
        assert "yes moved" in found[f"qkv, {rows} rows"].note
    assert found["codec, same bits in other company"].note == "yes"


WORKER = """
import sys, time, os
from pathlib import Path
from jobs.bench.gpu.figures import Figure, Figures
arguments = sys.argv
figures = Figures(Path(arguments[arguments.index("--out") + 1]))
for part in arguments[arguments.index("--parts") + 1].split(","):
    if part == "prefill":
        os._exit(7)
    if part == "complete":
        time.sleep(60)
    if part == "codec":
        figures.add(part, Figure("codec FAILED", note="ValueError: no codec"))
        continue
    figures.add(part, Figure(f"{part} took", 0.1, "s"))
"""


def test_what_dies_hangs_or_fails_does_not_hide_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begin = subprocess.Popen

    def stand_in(command: list[str], **more: object) -> object:
        return begin([sys.executable, "-c", WORKER, *command[3:]], **more)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "Popen", stand_in)
    monkeypatch.setattr(check, "PARTS", {**check.PARTS, "complete": 1.5})
    parts = ["environment", "prefill", "steps", "complete", "codec", "attention"]
    assert check._watch(tmp_path, "tiny", parts, 60.0) == 1
    found = {figure.name: figure.note for _, figure in Figures(tmp_path).read()}
    assert "ended with 7" in found["prefill FAILED"] and "took more than" in found["complete FAILED"]
    assert {"environment took", "steps took", "codec FAILED", "attention took"} <= set(found)
    assert "ValueError: no codec" in capsys.readouterr().out


def test_what_there_is_no_time_for_is_said(tmp_path: Path) -> None:
    assert check._watch(tmp_path, "tiny", ["steps", "codec"], 0.0) == 1
    assert [figure.name for _, figure in Figures(tmp_path).read()] == ["steps LEFT OUT", "codec LEFT OUT"]


def test_figures_are_kept_as_they_come_beside_what_was_predicted(tmp_path: Path) -> None:
    Figures(tmp_path).add("one", Figure("speed", 3.0, "m/s", 2.0))
    Figures(tmp_path).add("two", Figure("colour", note="blue"))
    figures = Figures(tmp_path)
    assert figures.value("speed") == 3.0 and figures.value("weight") is None
    table = figures.table(["one", "two"]).splitlines()
    assert table[2].split() == ["speed", "3", "2", "1.50", "m/s"] and table[4].split() == ["colour", "blue"]


def test_the_steady_rate_is_that_of_the_middle() -> None:
    times = [10.0 + second for second in range(20)]
    assert middle_rate(times, [5.0] * 20) == pytest.approx(5.0)
    heaps = [time for time in times for _ in range(3)]
    assert middle_rate(heaps, [5.0] * 60) == pytest.approx(15.0)
    assert middle_rate([1.0] * 60, [5.0] * 60) is None

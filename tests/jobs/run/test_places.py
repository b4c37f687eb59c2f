"""Runs in places that are as people's machines are: names, folders, modules and limits that are not ours."""

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jobs.errors import JobError
from jobs.inputs.inputs import Inputs
from jobs.inspect.verify import find_problems
from jobs.machine import short_folder
from jobs.run_directory.run_directory import RunDirectory
from jobs.storage.local_storage import LocalStorage
from tests.jobs.support.corpus import make_corpus, results
from tests.jobs.support.exfat_disk import mounted_exfat

ROOT = Path(__file__).parents[3]
CLI = ROOT / "tests/jobs/support/dummy_cli.py"


def command(*arguments: object) -> list[str]:
    return [sys.executable, str(CLI), *map(str, arguments), "--actors", "1", "--device", "cpu"]


def environment(**changes: str) -> dict[str, str]:
    dropped = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE", "RAY_TMPDIR")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return {**kept, "PYTHONPATH": str(ROOT), **changes}


def test_a_run_works_in_a_folder_of_any_name_beside_modules_of_ones_own_without_a_home(tmp_path: Path) -> None:
    folder = tmp_path / "Klavier é 音"
    make_corpus(folder, ["a", "b"])
    (folder / "jobs").mkdir()
    for name in ("jobs/__init__.py", "schemas.py", "mido.py", "queue.py"):
        (folder / name).write_text("raise ImportError('this is the user\\'s own module')\n")
    (folder / "renderer.py").write_text("import argparse\nargparse.ArgumentParser().parse_args()\n")
    long = tmp_path / ("t" * 100)
    long.mkdir()
    ran = subprocess.run(
        command("manifest.parquet", "--out", "Ausgabe é 音"),
        cwd=folder,
        env=environment(TMPDIR=str(long), HOME="/proc/nobody"),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr
    assert "Traceback" not in ran.stderr
    assert [row["status"] for row in results(folder / "Ausgabe é 音")] == ["ok", "ok"]


def test_a_run_works_on_a_real_file_system_without_hard_links(tmp_path: Path) -> None:
    with mounted_exfat(tmp_path / "stick") as stick:
        (stick / "a").touch()
        with pytest.raises(OSError):
            (stick / "b").hardlink_to(stick / "a")
        with ThreadPoolExecutor(8) as pool:
            created = list(pool.map(lambda _: LocalStorage(stick).create("marker", b""), range(8)))
        assert sum(created) == 1
        run = command(make_corpus(stick / "corpus", ["a", "b"]), "--out", stick / "out")
        for _ in range(2):
            ran = subprocess.run(run, env=environment(), capture_output=True, text=True, timeout=300)
            assert ran.returncode == 0, ran.stderr
        assert [row["status"] for row in results(stick / "out")] == ["ok", "ok"]
        assert list(find_problems(RunDirectory(LocalStorage(stick / "out")), Inputs())) == []


REFUSING = """import errno, os

def refuse(*arguments, **named):
    raise OSError(number, os.strerror(number))

number = getattr(errno, os.environ["REFUSED_WITH"])
os.link = os.fsync = refuse
"""
"""What Python imports at its start: hard links and syncing are refused, as file systems refuse what they have not."""


@pytest.mark.parametrize(
    "refusal", ["ENOTSUP", *(pytest.param(name, marks=pytest.mark.slow) for name in ("EPERM", "ENOSYS", "EINVAL"))]
)
def test_a_run_is_killed_and_resumed_where_links_and_syncing_are_refused(tmp_path: Path, refusal: str) -> None:
    ids, out, python = [f"i{number}" for number in range(8)], tmp_path / "out", tmp_path / "python"
    python.mkdir()
    (python / "sitecustomize.py").write_text(REFUSING)
    run = [*command(make_corpus(tmp_path, ids), "--out", out), "--shard-items", "1"]
    refused = environment(PYTHONPATH=f"{python}:{ROOT}", REFUSED_WITH=refusal, DUMMY_SECONDS_PER_ITEM="0.2")
    link = subprocess.run([sys.executable, "-c", "import os; os.link('.', 'x')"], env=refused, capture_output=True)
    assert os.strerror(getattr(errno, refusal)).encode() in link.stderr
    with subprocess.Popen(run, env=refused, stderr=subprocess.PIPE, start_new_session=True) as killed:
        while not list((out / "_state/done").glob("*.json")):
            assert killed.poll() is None, killed.communicate()
            time.sleep(0.02)
        os.killpg(killed.pid, signal.SIGKILL)
    kept = {path: path.stat().st_mtime_ns for path in (out / "_state/done").glob("*.json")}
    assert 1 <= len(kept) < len(ids)
    ran = subprocess.run(run, env=refused, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    assert kept.items() <= {path: path.stat().st_mtime_ns for path in (out / "_state/done").glob("*.json")}.items()
    assert [(row["item_id"], row["status"]) for row in results(out)] == [(item_id, "ok") for item_id in ids]
    assert list(find_problems(RunDirectory(LocalStorage(out)), Inputs())) == []


def test_too_little_address_space_for_ray_is_reported_at_once(tmp_path: Path) -> None:
    manifest, begun = make_corpus(tmp_path, ["a"]), time.monotonic()
    ran = subprocess.run(
        command(manifest, "--out", tmp_path / "out"),
        env=environment(),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (4 << 30, resource.RLIM_INFINITY)),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 1 and time.monotonic() - begun < 60
    assert "error: each process may have 4.0 GiB of address space (ulimit -v), and Ray's need 8" in ran.stderr


def test_a_loopback_that_is_switched_off_is_reported_at_once(tmp_path: Path) -> None:
    unshare = [shutil.which("unshare") or "unshare", "--net"]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no permission for a network of one's own")
    manifest = make_corpus(tmp_path, ["a"])
    ran = subprocess.run(
        [*unshare, *command(manifest, "--out", tmp_path / "out")],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 1
    assert "error: the loopback interface does not work (Network is unreachable)" in ran.stderr


def test_where_no_folder_is_short_enough_the_error_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "/scratch")
    monkeypatch.setattr("os.access", lambda folder, mode: folder == "/scratch")
    assert short_folder() == "/scratch/ray"
    monkeypatch.setenv("RAY_TMPDIR", "/scratch/" + "é" * 20)
    with pytest.raises(JobError, match="set RAY_TMPDIR to a folder whose path has 37 bytes at most"):
        short_folder()
    monkeypatch.setattr("os.access", lambda folder, mode: folder == "/var/tmp")
    assert short_folder() == "/var/tmp/ray"

"""What killed attempts leave behind is found and deleted, and nothing else."""

import os
import time
from pathlib import Path

import pytest

from jobs.errors import JobError, StorageError
from jobs.inputs.inputs import Inputs
from jobs.inspect.garbage import delete_garbage, find_garbage
from jobs.inspect.status import status
from jobs.inspect.verify import find_problems
from jobs.run_directory.lease import Lease
from jobs.run_directory.run_directory import RunDirectory
from jobs.storage.local_storage import LocalStorage
from tests.jobs.cli.test_commands import command
from tests.jobs.support.corpus import make_corpus
from tests.jobs.support.rendered import render_run
from tests.jobs.support.s3_server import S3Server

IDS = ["a", "b", "c"]
HOUR = 3600.0
FIRST_ATTEMPT = f"metadata/00000-{'0' * 32}.parquet"
KILLED = {"audio/c.flac", "midi/c.mid", FIRST_ATTEMPT}
AUDIO_TEMPORARY, STATE_TEMPORARY = f"audio/.tmp-{'1' * 32}", f"_state/done/.tmp-{'2' * 32}"
KILLED_TAR, HUGE_TAR = f"shards/00001-{'5' * 32}.tar", f"shards/00001-{'6' * 32}.tar"
FOREIGN = (
    *("events.jsonl", "notes.txt", "audio/NOTES.txt", "codes/analysis.py", "audio/more.wav", ".tmp-mine"),
    *("my/.tmp-notes", "audio/.tmp-notes", f"my/.tmp-{'3' * 32}", "metadata/00001.parquet", "shards/mine.tar"),
    *("_state/notes.json", "midi/.mid", "audio/sub/a.flac"),
)


@pytest.fixture
def run(tmp_path: Path, out: Path) -> RunDirectory:
    """A run of which one shard is finished, at the second attempt; the other's was killed while it wrote."""
    manifest = make_corpus(tmp_path, IDS)
    directory = render_run(manifest, out)
    (out / "_state/done/00001.json").unlink()
    next(out.glob("metadata/00001-*")).unlink()
    (out / FIRST_ATTEMPT).write_bytes(b"rows")
    (out / AUDIO_TEMPORARY).write_bytes(b"half")
    (out / STATE_TEMPORARY).write_bytes(b"{")
    for name in FOREIGN:
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text("mine")
    return directory


def files(out: Path) -> set[str]:
    return {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}


def make_older(out: Path, hours: float) -> None:
    past = time.time() - hours * HOUR
    for path in out.rglob("*"):
        os.utime(path, (past, past))


def test_exactly_the_garbage_is_deleted_and_what_is_finished_stays_clean(run: RunDirectory, out: Path) -> None:
    temporary = {AUDIO_TEMPORARY, STATE_TEMPORARY}
    make_older(out, hours=2)
    before = files(out)
    garbage = find_garbage(run, HOUR)
    assert {found.key for found in garbage.objects} == KILLED and not garbage.kept_because
    assert {found.key for found in garbage.leftovers} == temporary
    assert next(found.bytes for found in garbage.leftovers if found.key == AUDIO_TEMPORARY) == 4
    assert files(out) == before

    gone = {found.key for found in delete_garbage(run, garbage)}
    assert gone == KILLED | temporary and files(out) == before - gone
    assert list(find_problems(run, Inputs())) == ["not finished: 1 shards (1), so 1 manifest rows have no result"]
    assert not find_garbage(run, HOUR).removable


def test_a_finished_run_has_no_garbage(tmp_path: Path, out: Path) -> None:
    assert not find_garbage(render_run(make_corpus(tmp_path, IDS), out), 0.0).removable


@pytest.mark.parametrize("layout", ["files", "parquet"])
def test_when_failed_items_were_rendered_again_only_superseded_metadata_is_garbage(
    tmp_path: Path, out: Path, layout: str
) -> None:
    manifest = make_corpus(tmp_path, ["a", "missing-1"])
    superseded = [marker.metadata.key for marker in render_run(manifest, out, layout=layout).markers()]
    (tmp_path / "midi/missing-1.mid").write_bytes((tmp_path / "midi/a.mid").read_bytes())
    run = render_run(manifest, out, generation=1, layout=layout)
    garbage = find_garbage(run, 0.0)
    assert [found.key for found in garbage.objects] == superseded
    list(delete_garbage(run, garbage))
    assert list(find_problems(run, Inputs())) == []
    assert "2 of 2 rendered, 0 failed" in status(run)


def test_while_a_run_may_be_under_way_only_old_temporary_files_go(run: RunDirectory, out: Path) -> None:
    make_older(out, hours=2)
    new = f"audio/.tmp-{'4' * 32}"
    (out / new).write_bytes(b"")
    os.utime(out / "run.json")
    garbage = find_garbage(run, HOUR)
    assert len(garbage.objects) == 3 and "it may be under way" in garbage.kept_because
    gone = {found.key for found in delete_garbage(run, garbage)}
    assert gone == {AUDIO_TEMPORARY, STATE_TEMPORARY}
    assert {"audio/c.flac", "midi/c.mid", new} <= files(out)


def test_under_a_driver_at_work_no_object_is_deleted_whatever_is_asked(run: RunDirectory) -> None:
    lease = Lease(run.storage)
    lease.acquire(print)
    garbage = find_garbage(run, 0.0)
    assert len(garbage.objects) == 3 and "a driver is at work on this run" in garbage.kept_because
    assert {found.key for found in garbage.removable} == {AUDIO_TEMPORARY, STATE_TEMPORARY}
    lease.release()
    assert len(find_garbage(run, 0.0).removable) == 5


def test_what_is_committed_while_we_look_is_no_garbage(run: RunDirectory, out: Path, tmp_path: Path) -> None:
    committed = render_run(tmp_path / "manifest.parquet", tmp_path / "again")
    _, second = committed.markers()

    class Busy(LocalStorage):
        def listing(self):  # type: ignore[no-untyped-def]
            yield from super().listing()
            key = second.metadata.key
            self.write(key, b"")
            run.commit(second)

    found = find_garbage(RunDirectory(Busy(out)), 0.0).objects
    assert [each.key for each in found] == [FIRST_ATTEMPT]


def test_nothing_is_garbage_while_a_marker_cannot_be_read(run: RunDirectory, out: Path) -> None:
    (out / "_state/done/00000.json").write_text("{")
    with pytest.raises(JobError, match="not a commit marker"):
        find_garbage(run, 0.0)
    ran = command("midi_valle", "gc", out, "--yes", "--older-than", 0)
    assert ran.returncode == 1 and "not a commit marker" in ran.stderr
    assert (out / "audio/c.flac").exists()


def test_a_folder_without_a_run_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio/mine.flac").touch()
    with pytest.raises((JobError, StorageError)):
        find_garbage(RunDirectory(LocalStorage(tmp_path)), 0.0)


def test_a_bucket_is_verified_and_cleaned_of_killed_attempts_and_their_uploads(tmp_path: Path, s3: S3Server) -> None:
    import boto3

    uri = s3.uri()
    run = render_run(make_corpus(tmp_path, IDS), uri, layout="webdataset")
    assert list(find_problems(run, Inputs())) == []
    storage = run.storage
    storage.write(KILLED_TAR, bytes(3000))
    storage.write("mine.txt", b"")
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    client = boto3.client("s3")
    upload = client.create_multipart_upload(Bucket=bucket, Key=f"{prefix}/{HUGE_TAR}")

    assert find_garbage(run, HOUR).removable == []  # Too young.
    garbage = find_garbage(run, 0.0)
    assert [(found.key, found.bytes) for found in garbage.objects] == [(KILLED_TAR, 3000)]
    assert [found.key for found in garbage.leftovers] == [HUGE_TAR]
    assert len(list(delete_garbage(run, garbage))) == 2
    assert not find_garbage(run, 0.0).removable and storage.exists("mine.txt")
    uploads = client.list_multipart_uploads(Bucket=bucket, Prefix=prefix).get("Uploads", [])
    assert upload["UploadId"] not in [each["UploadId"] for each in uploads]

    (kept,) = next(run.markers()).objects
    storage.write(kept.key, storage.read(kept.key)[:-1] + b"x")
    storage.delete(list(run.markers())[1].metadata.key)
    problems = list(find_problems(run, Inputs()))
    assert len(problems) == 2 and kept.key in problems[0] and problems[1].endswith(" is missing")


def test_the_command_shows_first_and_deletes_with_yes(run: RunDirectory, out: Path) -> None:
    (out / "audio/d.flac").write_bytes(bytes(1500))
    before = files(out)
    shown = command("midi_valle", "gc", out)
    assert shown.returncode == 0 and files(out) == before
    assert shown.stdout.startswith("4 objects that no marker names, ") and "  audio/d.flac (1.5 kB)" in shown.stdout
    assert "objects are kept: the run was written to less than 1 hours ago" in shown.stderr

    shown = command("midi_valle", "gc", out, "--older-than", 0)
    assert "nothing is deleted without --yes; with it, 6 of these are" in shown.stderr and files(out) == before
    done = command("midi_valle", "gc", out, "--older-than", 0, "--yes")
    assert done.returncode == 0 and done.stdout.endswith("6 deleted\n")
    assert len(files(out)) == len(before) - 6

"""What deletes a run, or its garbage, touches nothing that is not its own, however a folder or a bucket looks."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.errors import JobError, StorageError
from jobs.inspect.garbage import delete_garbage, find_garbage
from jobs.run.beginning import overwrite
from jobs.run_directory.run_directory import RunDirectory
from jobs.storage import S3Access, open_storage
from jobs.storage.local_storage import LocalStorage
from tests.jobs.support.corpus import make_corpus
from tests.jobs.support.memory_s3 import MemoryS3, running_memory_s3
from tests.jobs.support.rendered import render_run

IDS = ["a", "b", "c"]
FOLDERS = ("_state", "_state/done", "audio", "midi", "codes", "metadata", "shards", "events", "mine", "audio/sub")
HEX = "0123456789abcdef" * 2
NAMES = (
    *("a.flac", "NOTES.txt", "00000.json", "00007.json", "run.json", "report.html", "driver.json", "x.parquet"),
    *(f"00000-{HEX}.parquet", f"00009-{HEX}.tar", ".tmp-notes", f".tmp-{HEX}", "lic.txt", "e.log", "a.npy"),
)


def tree(folder: Path) -> dict[str, bytes | str]:
    """Every file and link under a folder."""
    return {
        path.relative_to(folder).as_posix(): f"-> {path.readlink()}" if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def clear(directory: RunDirectory) -> None:
    overwrite(directory, yes=True)


def collect(directory: RunDirectory) -> None:
    list(delete_garbage(directory, find_garbage(directory, 0.0)))


DELETING: list[Callable[[RunDirectory], None]] = [clear, collect]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, to be copied."""
    folder = tmp_path_factory.mktemp("finished")
    render_run(make_corpus(folder, IDS), folder / "out", save_codes=True)
    (folder / "out/report.html").write_text("report")
    (folder / "out/events").mkdir()
    (folder / "out/events/20260102T000000-0123abcd-000.jsonl").write_text("")
    return folder / "out"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Somebody's tree, with names like those of a run."""
    folder = tmp_path / "elsewhere"
    for name in ("a.txt", "sub/b.txt", "one.flac", "00007.json", "done/x.txt", "done/00000.json", f".tmp-{HEX}"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


@pytest.mark.parametrize("name", ["_state", "_state/done", "audio", "metadata", "events", "midi", "codes"])
@pytest.mark.parametrize("deleting", DELETING)
def test_nothing_behind_a_link_in_a_folders_place_is_deleted(
    finished: Path, out: Path, elsewhere: Path, name: str, deleting: Callable[[RunDirectory], None]
) -> None:
    shutil.copytree(finished, out)
    apply(out, elsewhere, "link to folder", name)
    before, theirs = tree(out), tree(elsewhere)
    directory = RunDirectory(LocalStorage(out))
    if deleting is clear:
        with pytest.raises(JobError, match=f"{name} is a link, and what lies behind a link is never deleted"):
            clear(directory)
    else:
        try:
            collect(directory)
        except JobError as error:  # Where the link is to other markers.
            assert name.startswith("_state") and "not a commit marker" in str(error)
    assert tree(elsewhere) == theirs and tree(out) == before


def test_a_deletion_never_goes_through_a_link(tmp_path: Path, out: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/a").write_text("theirs")
    out.mkdir()
    (out / "link").symlink_to(tmp_path / "elsewhere")
    (out / "file").symlink_to(tmp_path / "elsewhere/a")
    storage = LocalStorage(out)
    assert sorted(storage.links()) == ["file", "link"] and list(storage.listing()) == []
    with pytest.raises(StorageError, match=r"cannot delete .*link/a: .*\(nothing is deleted through a link\)"):
        storage.delete("link/a")
    storage.delete("file")
    storage.delete("nothing/there")
    assert (tmp_path / "elsewhere/a").read_text() == "theirs" and not (out / "file").is_symlink()


@pytest.mark.parametrize("content", ['{"name": "maestro"}', "", "not json", "[]", '{"format": 1}', '{"format": 9}'])
def test_a_folder_whose_run_json_is_somebody_elses_is_refused(out: Path, content: str) -> None:
    for name in ("audio/2004/x.wav", "midi/2004/x.mid", "metadata/lic.txt", "events/e.log", "report.html"):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("theirs")
    (out / "run.json").write_text(content)
    before = tree(out)
    for deleting in DELETING:
        with pytest.raises(JobError, match=r"run\.json (cannot be read|has format)"):
            deleting(RunDirectory(LocalStorage(out)))
    assert tree(out) == before


@pytest.mark.parametrize("field", ["layout", "format"])
def test_a_run_of_a_kind_that_is_unknown_is_refused(finished: Path, out: Path, field: str) -> None:
    shutil.copytree(finished, out)
    values = json.loads((out / "run.json").read_text())
    values["settings"][field] = "other"
    (out / "run.json").write_text(json.dumps(values))
    before = tree(out)
    for deleting in DELETING:
        with pytest.raises(JobError, match="'other'"):
            deleting(RunDirectory(LocalStorage(out)))
    assert tree(out) == before


@pytest.mark.parametrize("lost", ["_state", "_state/done", "_state/done/00001.json"])
def test_a_run_whose_markers_were_lost_is_no_garbage(finished: Path, out: Path, lost: str) -> None:
    shutil.copytree(finished, out)
    (shutil.rmtree if (out / lost).is_dir() else Path.unlink)(out / lost)
    garbage = find_garbage(RunDirectory(LocalStorage(out)), 0.0)
    assert len(garbage.objects) >= 4 and garbage.removable == []
    assert "was _state/done lost, or left out of a copy?" in garbage.kept_because


def test_a_run_that_changed_after_it_was_said_what_is_deleted_is_kept(
    finished: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished, out)

    def confirmed(question: str) -> bool:
        (out / f"metadata/00000-{HEX}.parquet").write_text("new")
        return True

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("jobs.run.beginning.confirmed", confirmed)
    with pytest.raises(JobError, match="the run has changed in the meantime"):
        overwrite(RunDirectory(LocalStorage(out)), yes=False)
    assert tree(finished).items() <= tree(out).items()


@st.composite
def changes(draw: st.DrawFn) -> list[tuple[str, str]]:
    """What becomes of a run's folder: objects lost, files and folders of somebody's, links to elsewhere."""
    place = st.builds(lambda folder, name: f"{folder}/{name}", st.sampled_from(FOLDERS), st.sampled_from(NAMES))
    kinds = st.one_of(
        st.tuples(st.just("lose"), st.sampled_from([*FOLDERS, "run.json", "_state/done/00000.json", "audio/a.flac"])),
        st.tuples(st.just("file"), place | st.sampled_from(NAMES)),
        st.tuples(st.just("link to file"), place),
        st.tuples(st.just("link to folder"), st.sampled_from(FOLDERS) | place),
        st.tuples(st.just("link to own folder"), st.sampled_from(FOLDERS)),
    )
    return draw(st.lists(kinds, max_size=6))


def apply(out: Path, elsewhere: Path, kind: str, name: str) -> None:
    path = out / name
    if kind == "lose":
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.is_dir():
            shutil.rmtree(path)
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "file":
            if not path.exists():
                path.write_text(f"mine: {name}")
            return
        apply(out, elsewhere, "lose", name)
        target = {
            "link to file": elsewhere / "one.flac",
            "link to folder": elsewhere,
            "link to own folder": out / "midi",
        }
        path.symlink_to(target[kind])
    except (FileExistsError, NotADirectoryError, OSError):
        pass


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes(), st.sampled_from(DELETING))
def test_whatever_a_folder_looks_like_only_what_the_run_wrote_is_deleted(
    finished: Path, made: list[tuple[str, str]], deleting: Callable[[RunDirectory], None]
) -> None:
    with TemporaryDirectory() as folder:
        out, elsewhere = Path(folder) / "out", Path(folder) / "elsewhere"
        (elsewhere / "done").mkdir(parents=True)
        for name in ("one.flac", "a.flac", "done/00000.json", "00003.json", f".tmp-{HEX}", f"00000-{HEX}.parquet"):
            (elsewhere / name).write_text("theirs")
        shutil.copytree(finished, out)
        written = tree(out)
        for kind, name in made:
            apply(out, elsewhere, kind, name)
        before, theirs = tree(out), tree(elsewhere)
        could_be_written = {name for name in before if is_of_a_run(name)}
        try:
            deleting(RunDirectory(LocalStorage(out)))
        except JobError:
            assert tree(out) == before
        gone = before.keys() - tree(out).keys()
        assert tree(elsewhere) == theirs
        assert gone <= written.keys() | could_be_written and not any(
            str(before[name]).startswith("->") for name in gone
        )
        assert {name: content for name, content in before.items() if name not in gone} == tree(out)
        if deleting is collect and gone:
            named = {key for marker in RunDirectory(LocalStorage(out)).markers() for key in objects_of(marker)}
            assert not gone & named and "run.json" not in gone


def is_of_a_run(name: str) -> bool:
    """Whether a name of NAMES lies where a writer of a run with layout files would have put it."""
    folder, _, last = name.rpartition("/")
    return {
        "a.flac": folder == "audio",
        "a.npy": folder == "codes",
        "00000.json": folder == "_state/done",
        "00007.json": folder == "_state/done",
        "driver.json": folder == "_state",
        "run.json": folder == "",
        "report.html": folder == "",
        f"00000-{HEX}.parquet": folder == "metadata",
        f".tmp-{HEX}": folder in ("", "_state", "_state/done", "audio", "midi", "codes", "metadata", "events"),
    }.get(last, False)


def objects_of(marker: object) -> Iterator[str]:
    yield marker.metadata.key  # type: ignore[attr-defined]
    yield from (stored.key for stored in marker.objects)  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def bucket() -> Iterator[tuple[MemoryS3, RunDirectory]]:
    """A server that keeps keys as they are, and a run's place on it."""
    with running_memory_s3() as server:
        yield server, RunDirectory(open_storage("s3://corpus/run", S3Access(server.endpoint)))


STRANGE_KEYS = (
    *("run/audio/../../run2/audio/x.flac", "run//etc/passwd", "run/audio//a.flac", "run/../run2/run.json", "run/"),
    *("run/audio/NOTES.txt", "run/keep/own.txt", "run/audio/", "run2/run.json", "run2/_state/done/00000.json"),
    *("run2/audio/a.flac", "run-x/audio/a.flac", "runaudio/a.flac", "audio/a.flac", "run.json", "ru", "run"),
    *("run/_state/../_state/done/00000.json", "run/./audio/a.flac", "run/metadata/00000.parquet"),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sets(st.sampled_from(STRANGE_KEYS)),
    st.sets(st.integers(0, 99), max_size=4),
    st.sampled_from(DELETING),
)
def test_whatever_a_bucket_holds_only_what_the_run_wrote_is_deleted(
    finished: Path,
    bucket: tuple[MemoryS3, RunDirectory],
    strange: set[str],
    lost: set[int],
    deleting: Callable[[RunDirectory], None],
) -> None:
    memory_s3, directory = bucket
    files = (path for path in finished.rglob("*") if path.is_file())
    own = {f"corpus/run/{path.relative_to(finished).as_posix()}": path.read_bytes() for path in files}
    for index in lost:
        own.pop(sorted(own)[index % len(own)])
    theirs = {f"corpus/{key}": b"theirs" for key in strange}
    memory_s3.objects.clear()
    memory_s3.objects.update(theirs)
    memory_s3.objects.update(
        {name: str(content).encode() if isinstance(content, str) else content for name, content in own.items()}
    )
    had_run = "corpus/run/run.json" in own
    try:
        deleting(directory)
    except JobError:
        assert memory_s3.objects.keys() == theirs.keys() | own.keys()
    else:
        if deleting is clear and had_run:
            assert memory_s3.objects == theirs
    assert theirs.items() <= memory_s3.objects.items()

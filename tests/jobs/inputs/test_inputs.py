"""Where inputs are read from: what a manifest may name, and copies of what lies on S3."""

import fcntl
import os
import pickle
import tempfile
import unicodedata
from pathlib import Path
from typing import Literal

import pytest

from jobs.errors import InputError, JobError, StorageError
from jobs.inputs.input_cache import PREFIX, InputCache
from jobs.inputs.inputs import Inputs, absolute, folder_of
from jobs.storage import Patience, S3Access
from jobs.storage.s3_storage import S3Storage
from tests.jobs.support.fault_proxy import running_proxy
from tests.jobs.support.memory_s3 import running_memory_s3
from tests.jobs.support.s3_server import S3Server

Form = Literal["NFC", "NFD"]


@pytest.fixture
def corpus(tmp_path: Path) -> str:
    (tmp_path / "corpus" / "midi").mkdir(parents=True)
    (tmp_path / "corpus" / "midi" / "a.mid").write_bytes(b"a")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "secret").write_bytes(b"secret")
    return str(tmp_path / "corpus")


@pytest.fixture
def temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where caches are made in this test."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_row_may_name_files_of_the_manifests_folder(corpus: str) -> None:
    inputs = Inputs()
    for location in (
        "midi/a.mid",
        "./midi/../midi/a.mid",
        f"{corpus}/midi/a.mid",
        f"../{Path(corpus).name}/midi/a.mid",
    ):
        assert inputs.local(location, corpus).read_bytes() == b"a" and inputs.exists(location, corpus)
    assert not inputs.exists("midi/none.mid", corpus) and not inputs.exists("x" * 5000, corpus)


def test_a_row_may_name_nothing_outside_whatever_way_it_is_written(corpus: str, tmp_path: Path) -> None:
    secret = tmp_path / "elsewhere" / "secret"
    (Path(corpus) / "link").symlink_to(secret)
    (Path(corpus) / "folder").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "corpus-2").mkdir()
    (tmp_path / "corpus-2" / "x").touch()
    inputs = Inputs()
    for location in (
        *("../elsewhere/secret", "midi/../../elsewhere/secret", str(secret), "link", "folder/secret"),
        *("/etc/passwd", "//etc/passwd", "/proc/self/environ", "../corpus-2/x", "..", "../elsewhere/none"),
        *("file:///etc/passwd", f"file://{corpus}/../elsewhere/secret"),
    ):
        for call in (inputs.local, inputs.exists):
            with pytest.raises(InputError, match=r"lies outside the folders that may be read .*--allow-root"):
                call(location, corpus)
    for location in ("https://host/a.mid", "S3://b/x"):
        with pytest.raises(InputError, match="neither a file nor on S3"):
            inputs.local(location, corpus)


def test_file_uris_are_paths(corpus: str) -> None:
    (Path(corpus) / "a b.mid").write_bytes(b"ab")
    for uri in (f"file://{corpus}/a%20b.mid", f"file://localhost{corpus}/a b.mid", f"FILE://{corpus}/a%20b.mid"):
        assert Inputs().local(uri, corpus).read_bytes() == b"ab" and Inputs().exists(uri, corpus)
        assert absolute(uri) == f"{corpus}/a b.mid"
    with pytest.raises(InputError, match="names no file of this machine"):
        Inputs().local("file://server/a.mid", corpus)


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
@pytest.mark.parametrize("named", ["NFC", "NFD"])
def test_a_name_is_found_however_its_accents_are_composed(tmp_path: Path, on_disk: Form, named: Form) -> None:
    folder = tmp_path / unicodedata.normalize(on_disk, "Étüden")
    other: Form = "NFC" if on_disk == "NFD" else "NFD"
    folder.mkdir()
    (folder / unicodedata.normalize(other, "é 音が.mid")).write_bytes(b"a")
    location = unicodedata.normalize(named, "Étüden/é 音が.mid")
    assert Inputs().exists(location, str(tmp_path))
    assert Inputs().local(location, str(tmp_path)).read_bytes() == b"a"
    assert Inputs().local(f"{tmp_path}/{location}").read_bytes() == b"a"
    assert not Inputs().exists(unicodedata.normalize(named, "Étüden/è.mid"), str(tmp_path))


def test_a_name_composed_in_another_way_leads_out_no_more_than_any_other(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "secret").touch()
    (tmp_path / "corpus" / unicodedata.normalize("NFC", "é")).symlink_to(tmp_path / "secret")
    with pytest.raises(InputError, match="lies outside"):
        Inputs().local(unicodedata.normalize("NFD", "é"), str(tmp_path / "corpus"))


def test_more_roots_allow_more(corpus: str, tmp_path: Path) -> None:
    inputs = Inputs((str(tmp_path / "elsewhere"),))
    (Path(corpus) / "link").symlink_to(tmp_path / "elsewhere" / "secret")
    for location in ("../elsewhere/secret", "link", str(tmp_path / "elsewhere" / "secret")):
        assert inputs.local(location, corpus).read_bytes() == b"secret"
    assert Inputs(("/",)).local("/etc/passwd", corpus) == Path("/etc/passwd")


def test_what_the_user_names_may_lie_anywhere(tmp_path: Path) -> None:
    assert Inputs().local("/etc/passwd") == Path("/etc/passwd")


def test_what_is_no_file_is_not_waited_for(corpus: str) -> None:
    os.mkfifo(f"{corpus}/pipe")
    with pytest.raises(InputError, match="pipe: not a regular file"):
        Inputs().local("pipe", corpus)
    with pytest.raises(InputError, match="zero: not a regular file"):
        Inputs(("/dev",)).local("/dev/zero", corpus)


def test_locations_are_absolute_for_processes_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute("m.parquet") == f"{tmp_path}/m.parquet" and absolute("s3://b/m") == "s3://b/m"
    assert folder_of("/a/m") == "/a" and folder_of("/m") == "/" and folder_of("s3://b/x/m") == "s3://b/x"
    assert folder_of("s3://b/m") == "s3://b"
    with pytest.raises(JobError, match="https://x: only local files and s3://"):
        absolute("https://x")


def test_objects_are_read_relative_to_the_manifests_prefix(s3: S3Server) -> None:
    uri = s3.uri()
    storage = S3Storage.at(uri)
    storage.write("corpus/midi/a b.mid", b"a")
    storage.write("shared.mid", b"shared")
    inputs = pickle.loads(pickle.dumps(Inputs()))
    folder = f"{uri}/corpus"
    for location in ("midi/a b.mid", "./x/../midi/a b.mid", f"{uri}/corpus/midi/a b.mid"):
        found = inputs.local(location, folder)
        assert found.read_bytes() == b"a" and found.name == "a b.mid" and inputs.exists(location, folder)
    assert inputs.local("../shared.mid", folder).read_bytes() == b"shared"
    assert inputs.local(f"{uri}/shared.mid", "/local/folder").read_bytes() == b"shared"
    assert not inputs.exists("midi/none.mid", folder)
    with pytest.raises(InputError, match=rf"cannot read {uri}/corpus/midi/none.mid: there is no such object"):
        inputs.local("midi/none.mid", folder)
    with pytest.raises(InputError, match="no such bucket"):
        inputs.local("s3://no-such-bucket/a.mid", folder)
    with pytest.raises(InputError, match=r"leads out of s3://corpus"):
        inputs.local("../../../a.mid", folder)
    with pytest.raises(InputError, match="names no object"):
        inputs.local("s3://corpus/", folder)
    with pytest.raises(InputError, match="lies outside"):
        inputs.local("/etc/passwd", folder)


@pytest.mark.parametrize("stored", ["NFC", "NFD"])
def test_a_key_is_found_however_its_accents_are_composed(s3: S3Server, stored: Form) -> None:
    uri = s3.uri()
    S3Storage.at(uri).write(unicodedata.normalize(stored, "Étüden/é 音が.mid"), b"a")
    inputs = Inputs()
    forms: tuple[Form, ...] = ("NFC", "NFD")
    for location in (unicodedata.normalize(named, "Étüden/é 音が.mid") for named in forms):
        assert inputs.exists(location, uri) and inputs.local(location, uri).read_bytes() == b"a"
        assert inputs.local(f"{uri}/{location}").read_bytes() == b"a"
    absent = unicodedata.normalize("NFD", "Étüden/è.mid")
    assert not inputs.exists(absent, uri)
    with pytest.raises(InputError, match=f"cannot read {uri}/{absent}: there is no such object"):
        inputs.local(absent, uri)


def test_an_object_is_fetched_once_and_whole(s3: S3Server) -> None:
    with running_proxy(s3.endpoint, script=["truncated body"]) as proxy:
        uri = s3.uri()
        S3Storage.at(uri).write("a.mid", b"abc" * 1000)
        inputs = Inputs((), S3Access(proxy.endpoint))
        assert {inputs.local("a.mid", uri).read_bytes() for _ in range(3)} == {b"abc" * 1000}
        assert proxy.requests == 2


def test_a_server_that_is_gone_is_not_the_items_fault() -> None:
    inputs = Inputs((), S3Access("http://127.0.0.1:9", patience=Patience(seconds=0)))
    with pytest.raises(StorageError):
        inputs.local("s3://corpus/a.mid")


def test_a_model_directory_is_copied_once_and_anew_when_it_changes(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    uri = s3.uri()
    with pytest.raises(JobError, match=r"is not a model directory: it has no config\.json"):
        Inputs().directory(uri)
    storage = S3Storage.at(uri)
    storage.write("config.json", b"{}")
    storage.write("prompts/soft.mid", b"soft")
    with running_proxy(s3.endpoint, script=["", "", "truncated body"]) as proxy:
        folder = Inputs((), S3Access(proxy.endpoint)).directory(uri)
        assert (folder / "config.json").read_bytes() == b"{}" and (folder / "prompts/soft.mid").read_bytes() == b"soft"
        used = proxy.requests
        assert Inputs((), S3Access(proxy.endpoint)).directory(uri) == folder and proxy.requests == used + 1
    storage.write("config.json", b'{"new": 1}')
    assert (Inputs().directory(uri) / "config.json").read_bytes() == b'{"new": 1}'
    assert not [path for path in folder.parent.iterdir() if path.name.startswith(".partial")]


def test_the_cache_is_bounded_and_drops_what_was_used_longest_ago(temporary_folder: Path) -> None:
    cache = InputCache(max_bytes=600)
    fetched: list[str] = []

    def get(name: str) -> Path:
        def fetch(file: object) -> None:
            fetched.append(name)
            file.write(b"x" * 100)  # type: ignore[attr-defined]

        return cache.get(f"s3://b/{name}", fetch)

    for name in "abcdef":
        assert get(name).stat().st_size == 100
    get("a")
    get("g")
    assert fetched == list("abcdefg")
    assert sorted(path.name for path in cache.folder.rglob("?")) == list("acdefg")
    get("b")
    assert fetched == list("abcdefgb")


def test_a_fetch_that_fails_leaves_nothing_that_is_taken_for_the_object(temporary_folder: Path) -> None:
    cache = InputCache(max_bytes=600)

    def torn(file: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise StorageError("torn")

    with pytest.raises(StorageError):
        cache.get("s3://b/a", torn)
    assert cache.get("s3://b/a", lambda file: None).read_bytes() == b""


def test_two_caches_do_not_share_and_what_a_killed_process_left_is_removed(temporary_folder: Path) -> None:
    one, two = InputCache(100), InputCache(100)
    assert one.folder != two.folder
    left = temporary_folder / f"{PREFIX}left"
    left.mkdir()
    (left / ".lock").touch()
    three = InputCache(100)
    assert not left.exists() and one.folder.exists() and two.folder.exists() and three.folder.exists()
    with (one.folder / ".lock").open("rb") as lock, pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_of_a_model_prefix_only_what_a_model_has_is_copied_and_nothing_is_written_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    victim = tmp_path / "keys"
    victim.write_text("mine")
    wanted = {
        *("config.json", "card.json", "codec.json", "model.safetensors", "codec.safetensors", "LICENSE", "README.md"),
        *("prompts/soft.wav", "prompts/söft 2.mid"),
    }
    foreign = [
        *(
            f"{'../' * 12}{str(victim)[1:]}",
            f"/{victim}",
            str(victim),
            "prompts/../../x",
            "prompts//x",
            "../config.json",
        ),
        *("./config.json", "prompts/sub/x.wav", ".bashrc", "prompts/.hidden", "code.py", "prompts/a\\..\\b.wav", "x/"),
        *("..safetensors", "sub/model.safetensors", "prompts/", "prompts/..", "config.json/x", "../config.json"),
    ]
    with running_memory_s3() as server:
        server.objects |= {f"corpus/m/{key}": b"theirs" for key in [*wanted, *foreign]}
        folder = Inputs((), S3Access(server.endpoint)).directory("s3://corpus/m")
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == wanted
    written = {path for path in tmp_path.rglob("*") if path.is_file()} - set(folder.rglob("*"))
    assert written == {victim, folder.with_name(f"{folder.name}.lock")} and victim.read_text() == "mine"


@pytest.mark.parametrize("prefix", ["corpus", "", "/", "/corpus", "a//b", "a/"])
def test_slashes_are_part_of_s3_keys(prefix: str) -> None:
    with running_memory_s3() as server:
        names = {"m.parquet": "m.parquet", "midi/a.mid": "midi/a.mid", "midi//b.mid": "midi//b.mid"}
        folder = f"{prefix}/" if prefix else ""
        server.objects |= {f"corpus/{folder}{key}": key.encode() for key in names}
        server.objects["corpus//root.mid"] = b"root"
        inputs = Inputs((), S3Access(server.endpoint))
        manifest = f"s3://corpus/{folder}m.parquet"
        assert inputs.local(manifest).read_bytes() == b"m.parquet"
        for location in ("midi/a.mid", "./midi/x/../a.mid", "midi//b.mid"):
            assert inputs.local(location, folder_of(manifest)).read_bytes().startswith(b"midi/")
        assert inputs.local("s3://corpus//root.mid").read_bytes() == b"root"
        storage = S3Storage.at(f"s3://corpus/{folder}", S3Access(server.endpoint))
        assert sorted(storage.keys()) == sorted(["m.parquet", "midi/a.mid", "midi//b.mid", *strays(prefix)])


def strays(prefix: str) -> list[str]:
    """What else lies under a prefix of the test above: the object at the root, as seen from there."""
    return {"": ["/root.mid"], "/": []}.get(prefix, [])

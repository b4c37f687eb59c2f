import os
from pathlib import Path

import pytest

from jobs.errors import JobError
from jobs.manifests.build_manifest import build_manifest
from jobs.manifests.build_options import BuildOptions
from jobs.storage.s3_storage import S3Storage
from schemas.manifest import Manifest
from tests.jobs.manifests.midi_folder import add_midi, build, files_of, values
from tests.jobs.support.s3_server import S3Server

RUN = ("out/run.json", "out/midi/a.mid", "out/_state/done/0.json", "b/run.json")


def test_the_output_of_earlier_runs_is_no_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in RUN:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in ("a.mid", "b/b.mid"):
        add_midi(tmp_path, name)
    for number, source in enumerate((tmp_path, tmp_path / "**/*.mid", tmp_path / "*")):
        rows = build(tmp_path.with_name(f"m{number}.parquet"), source)
        assert values(rows, "item_id") == ["a", "b-b"]
        assert f"{tmp_path}/out: passed over, because it is the folder of a run" in capsys.readouterr().err
    add_midi(tmp_path, "out/midi/a.mid")
    assert len(build(tmp_path / "n.parquet", tmp_path / "out" / "midi")) == 1


def test_a_name_that_is_no_utf8_is_left_out_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in (b"good.mid", b"caf\xe9.mid", "é.mid".encode()):
        add_midi(tmp_path / "corpus", os.fsdecode(name))
    rows = build(tmp_path / "m.parquet", tmp_path / "corpus")
    assert values(rows, "midi") == ["corpus/good.mid", "corpus/é.mid"]
    output = capsys.readouterr().err
    assert "1 file(s) left out, whose names are not UTF-8: b'" in output and r"caf\xe9.mid" in output


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("*.mid", ["x"]),
        ("[ab]/*.mid", ["a-1", "b-1"]),
        ("*/1.mid", ["a-1", "b-1"]),
        ("**/*.mid", ["a-1", "a-c-2", "b-1", "x"]),
        ("a*", ["a-1", "a-c-2"]),
        ("**/c", ["a-c-2"]),
        ("a/**", ["1", "c-2"]),
    ],
)
def test_patterns(tmp_path: Path, pattern: str, wanted: list[str]) -> None:
    for name in ("x.mid", "a/1.mid", "a/c/2.mid", "b/1.mid"):
        add_midi(tmp_path / "in", name)
    (tmp_path / "in" / "a" / "notes.txt").touch()
    assert values(build(tmp_path / "m.parquet", tmp_path / "in" / pattern), "item_id") == wanted


def test_a_file_whose_name_is_a_pattern(tmp_path: Path) -> None:
    add_midi(tmp_path, "a[1].mid")
    add_midi(tmp_path, "a1.mid")
    assert values(build(tmp_path / "m.parquet", tmp_path / "a[1].mid"), "midi") == ["a[1].mid"]


def test_a_folder_that_cannot_be_read_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add_midi(tmp_path, "a.mid")
    add_midi(tmp_path, "closed/b.mid")
    (tmp_path / "closed").chmod(0)
    try:
        if os.access(tmp_path / "closed", os.R_OK):
            pytest.skip("this user may read everything")
        assert len(build(tmp_path / "m.parquet", tmp_path)) == 1
    finally:
        (tmp_path / "closed").chmod(0o700)
    assert f"{tmp_path}/closed: passed over, because it cannot be read" in capsys.readouterr().err


def test_s3_is_read_and_written(s3: S3Server, tmp_path: Path) -> None:
    uri = f"{s3.uri()}/in"
    storage = S3Storage.at(uri)
    for name in ("x.mid", "a/1.mid", "a/2.midi"):
        storage.write(name, add_midi(tmp_path, name).read_bytes())
    storage.write("bad.mid", b"MThd")
    for name in RUN:
        storage.write(name, b"")
    storage.write("own.csv", b"midi,room\na/1.mid,hall\ngone.mid,hall\n")
    out = tmp_path / "m.parquet"
    rows = build(out, uri)
    assert values(rows, "midi") == [f"{uri}/{name}" for name in ("a/1.mid", "a/2.midi", "x.mid")]
    assert values(rows, "item_id") == ["a-1", "a-2", "x"]
    assert [row["midi"] for row in files_of(out) if row["error"]] == [f"{uri}/bad.mid"]
    globbed = build(tmp_path / "g.parquet", f"{uri}/**/*.mid")
    assert values(globbed, "item_id") == ["a-1", "x"]
    tabled = build(tmp_path / "t.parquet", f"{uri}/own.csv", prompt_column="room")
    assert values(tabled, "prompt") == ["hall"]
    assert ["gone.mid" in row["error"] for row in files_of(tmp_path / "t.parquet") if row["error"]] == [True]


def test_a_manifest_on_s3_names_its_files_wholly(s3: S3Server, tmp_path: Path) -> None:
    folder = f"{s3.uri()}/lists"
    options = BuildOptions(sources=[str(add_midi(tmp_path, "a.mid"))], out=f"{folder}/m.parquet", prompt=["x"])
    assert build_manifest(options) == 1
    copy = tmp_path / "copy.parquet"
    copy.write_bytes(S3Storage.at(folder).read("m.parquet"))
    assert [row.midi for row in Manifest.open(copy).rows()] == [f"{tmp_path}/a.mid"]
    assert sorted(S3Storage.at(folder).keys()) == ["m.files.parquet", "m.parquet"]
    with pytest.raises(JobError, match=r"m.parquet exists already"):
        build_manifest(options)

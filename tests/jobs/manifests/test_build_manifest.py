import os
from pathlib import Path

import pytest

from jobs.errors import JobError
from jobs.manifests.build_manifest import build_manifest, unique_ids
from schemas.item_ids import folded, why_unsafe
from schemas.manifest import Manifest, ManifestRow


def test_every_midi_file_is_a_row_with_a_path_from_the_manifest(tmp_path: Path) -> None:
    for name in ("b.MID", "sub/deep/a.midi", "sub/._a.mid", "notes.txt"):
        path = tmp_path / "corpus" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    out = tmp_path / "lists" / "manifest.parquet"
    assert build_manifest(tmp_path / "corpus", "plain", out) == 2
    manifest = Manifest.open(out)
    manifest.validate()
    assert list(manifest.rows()) == [
        ManifestRow("b", "../corpus/b.MID", "plain"),
        ManifestRow("sub-deep-a", "../corpus/sub/deep/a.midi", "plain"),
    ]


def test_ids_are_safe_and_unique_whatever_the_files_are_called() -> None:
    names = ["a/b.mid", "a-b.mid", "A-B.mid", "con.mid", "..mid", " x .mid", "a:b?.mid", "é" * 200 + ".mid", "\n.mid"]
    ids = unique_ids([Path(name) for name in [*names, "é" * 199 + "e.mid"]])
    assert ids[:3] == ["a-b", "a-b-2", "A-B-3"]
    assert [why_unsafe(item_id) for item_id in ids] == [None] * len(ids)
    assert len({folded(item_id) for item_id in ids}) == len(ids)


def test_the_output_of_earlier_runs_is_no_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.mid", "out/run.json", "out/midi/a.mid", "out/_state/done/0.json", "b/run.json", "b/b.mid"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert build_manifest(tmp_path, "plain", tmp_path / "m.parquet") == 2
    assert [row.midi for row in Manifest.open(tmp_path / "m.parquet").rows()] == ["a.mid", "b/b.mid"]
    assert f"{tmp_path}/out: passed over, because it is the folder of a run" in capsys.readouterr().err
    assert build_manifest(tmp_path / "out" / "midi", "plain", tmp_path / "n.parquet") == 1


def test_a_name_that_is_no_utf8_is_left_out_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for name in (b"good.mid", b"caf\xe9.mid", "é.mid".encode()):
        (corpus / os.fsdecode(name)).touch()
    assert build_manifest(corpus, "plain", tmp_path / "m.parquet") == 2
    assert [row.midi for row in Manifest.open(tmp_path / "m.parquet").rows()] == ["corpus/good.mid", "corpus/é.mid"]
    told = capsys.readouterr().err
    assert "1 file(s) left out, whose names are not UTF-8: b'" in told and r"caf\xe9.mid" in told


def test_nothing_is_overwritten_and_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"holds no \.mid or \.midi files"):
        build_manifest(tmp_path, "plain", tmp_path / "m.parquet")
    (tmp_path / "a.mid").touch()
    (tmp_path / "m.parquet").write_text("precious")
    with pytest.raises(JobError, match="exists already"):
        build_manifest(tmp_path, "plain", tmp_path / "m.parquet")
    assert (tmp_path / "m.parquet").read_text() == "precious"
    with pytest.raises(JobError, match="is not a folder"):
        build_manifest(tmp_path / "none", "plain", tmp_path / "n.parquet")

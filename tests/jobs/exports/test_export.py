"""A finished run, exported and read back by the libraries that people read data sets with."""

import csv
import gzip
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from jobs.errors import JobError, StorageError
from jobs.exports.export import export_run
from jobs.exports.export_options import ExportOptions
from jobs.output.writers import store_rows
from jobs.run_directory.run_directory import RunDirectory, marker_key
from jobs.storage import open_storage
from renderer.midi.midi_file import read_midi
from renderer.weights.checkpoint import find_model
from tests.jobs.support.corpus import make_corpus, results
from tests.jobs.support.dummy import SAMPLE_RATE, DummyBackend
from tests.jobs.support.rendered import render_run
from tests.jobs.support.s3_server import S3Server

IDS = [*(f"item {index}" for index in range(6)), "raises-1"]
SPLITS = ["train", "test", "train", "train", "validation", "train", "train"]
LICENSED = {"midi_licence": "CC0 1.0", "model_licence": "MIT"}


def make_run(folder: Path, layout: str = "files", out: str | None = None, **columns: Any) -> Path:
    """A run of seven items in shards of three, one of which fails."""
    manifest = make_corpus(folder / "corpus", IDS, **({"split": SPLITS} | columns))
    render_run(manifest, out or folder / layout, layout=layout, shard_items=3)
    return folder / layout


def export(run: Path | str, out: Path, form: str, **options: Any) -> str:
    return export_run(ExportOptions(run=str(run), out=out, as_=form, **(LICENSED | options)))  # type: ignore[arg-type]


def judge(run: Path, good: list[str]) -> None:
    """Change the verdicts of a run: the dummy's noise has whatever it has."""
    directory = RunDirectory(open_storage(str(run)))
    for marker in list(directory.markers()):
        rows = directory.result_rows(marker)
        verdicts = ["good" if item_id in good else "poor" for item_id in rows["item_id"].to_pylist()]
        place = rows.schema.get_field_index("verdict")
        rows = rows.set_column(place, rows.schema.field(place), pa.array(verdicts))
        metadata = store_rows(directory.storage, f"{marker.shard:05d}-{marker.attempt}", rows)
        directory.storage.write(marker_key(marker.shard), replace(marker, metadata=metadata).to_json())


def lines(path: Path) -> list[dict[str, Any]]:
    content = path.read_bytes()
    text = gzip.decompress(content) if path.suffix == ".gz" else content
    return [json.loads(line) for line in text.splitlines()]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def load_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Any]:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    import datasets

    return lambda folder: datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))


@pytest.mark.parametrize("layout", ["files", "webdataset", "parquet"])
def test_datasets_reads_a_hugging_face_export_with_the_manifests_splits(
    tmp_path: Path, layout: str, load_dataset: Callable[[Path], Any]
) -> None:
    import datasets

    run, out = make_run(tmp_path, layout), tmp_path / "hub"
    printed = export(run, out, "huggingface")
    assert printed.endswith(f"(train 4, validation 1, test 1): {out}") and printed.startswith("6 items, ")
    loaded = load_dataset(out)
    assert {split: list(part["item_id"]) for split, part in loaded.items()} == {
        "train": ["item 0", "item 2", "item 3", "item 5"],
        "validation": ["item 4"],
        "test": ["item 1"],
    }
    assert loaded["train"].features["audio"] == datasets.Audio(sampling_rate=SAMPLE_RATE)
    rows = {row["item_id"]: row for row in results(run)}
    of_files = {row["item_id"]: row for row in results(make_run(tmp_path / "again"))}
    for part in loaded.values():
        for item in part.cast_column("audio", datasets.Audio(decode=False)):
            of_file = of_files[item["item_id"]]
            assert item["audio"]["bytes"] == (tmp_path / "again/files" / of_file["audio_path"]).read_bytes()
            assert item["midi_bytes"] == (tmp_path / "again/files" / of_file["midi_path"]).read_bytes()
            assert item["notes"] == rows[item["item_id"]]["notes"]


def test_parquet_shards_are_the_same_from_every_layout(tmp_path: Path) -> None:
    held = []
    for layout in ("files", "webdataset", "parquet"):
        export(make_run(tmp_path, layout), tmp_path / f"from-{layout}", "huggingface", title="one")
        held.append({name: data for name, data in files(tmp_path / f"from-{layout}").items() if "data/" in name})
    assert held[0] == held[1] == held[2] and len(held[0]) == 4


def test_a_parquet_shard_of_one_split_is_linked_and_not_copied(tmp_path: Path) -> None:
    run = make_run(tmp_path, "parquet", split=["train"] * 7)
    export(run, tmp_path / "hub", "huggingface")
    shards = {path.stat().st_ino for path in (run / "shards").iterdir()}
    assert {path.stat().st_ino for path in (tmp_path / "hub/data").iterdir()} == shards


@pytest.mark.parametrize("layout", ["files", "webdataset", "parquet"])
def test_maestro_names_audio_and_midi_of_each_item_in_csv_and_json(tmp_path: Path, layout: str) -> None:
    run, out = make_run(tmp_path, layout, composer=["Bach, J. S."] * 7, year=[1999] * 7), tmp_path / "maestro"
    export(run, out, "maestro")
    with (out / "maestro-v3.0.0.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["split"] for row in table] == SPLITS[:6]
    assert table[0]["canonical_composer"] == "Bach, J. S." and table[0]["canonical_title"] == "item 0"
    assert table[0]["audio_filename"] == "1999/item 0.flac" and table[0]["year"] == "1999"
    for row, result in zip(table, [row for row in results(run) if row["status"] == "ok"], strict=True):
        assert (out / row["audio_filename"]).stat().st_size == result["audio_bytes"]
        assert len(read_midi(out / row["midi_filename"], "ignore").notes) == result["note_count"]
        assert float(row["duration"]) == result["duration_s"]
    columns = json.loads((out / "maestro-v3.0.0.json").read_text())
    for name in table[0]:
        assert [str(columns[name][str(index)]) for index in range(6)] == [row[name] for row in table]


def test_files_of_a_run_on_the_same_disk_are_linked(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    export(run, tmp_path / "nemo", "nemo")
    for path in (run / "audio").iterdir():
        assert path.samefile(tmp_path / "nemo/audio" / path.name)


def test_where_the_disk_has_no_links_files_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*paths: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    run = make_run(tmp_path)
    monkeypatch.setattr("os.link", refuse)
    export(run, tmp_path / "nemo", "nemo")
    for path in (run / "audio").iterdir():
        copy = tmp_path / "nemo/audio" / path.name
        assert not path.samefile(copy) and path.read_bytes() == copy.read_bytes()
    (run / "audio/item 3.flac").unlink()
    with pytest.raises(StorageError, match=r"item 3\.flac is missing; midi-valle verify"):
        export(run, tmp_path / "other", "nemo")


def test_nemo_manifests_name_audio_beside_them(tmp_path: Path) -> None:
    out = tmp_path / "nemo"
    export(make_run(tmp_path, "webdataset"), out, "nemo")
    assert [entry["item_id"] for entry in lines(out / "train_manifest.jsonl")] == [
        "item 0",
        "item 2",
        "item 3",
        "item 5",
    ]
    (test,) = lines(out / "test_manifest.jsonl")
    assert test["audio_filepath"] == "audio/item 1.flac" and (out / test["audio_filepath"]).is_file()
    assert (out / test["midi_filepath"]).is_file() and test["duration"] > 1 and test["text"] == ""


def test_lhotse_manifests_hold_recordings_and_their_notes(tmp_path: Path) -> None:
    run, out = make_run(tmp_path), tmp_path / "lhotse"
    export(run, out, "lhotse")
    recordings, supervisions = (lines(out / f"{name}_train.jsonl.gz") for name in ("recordings", "supervisions"))
    rows = {row["item_id"]: row for row in results(run)}
    assert [entry["id"] for entry in recordings] == ["item 0", "item 2", "item 3", "item 5"]
    for recording, supervision in zip(recordings, supervisions, strict=True):
        row = rows[recording["id"]]
        (source,) = recording["sources"]
        assert Path(source["source"]).stat().st_size == row["audio_bytes"]
        assert recording["num_samples"] == row["samples"] and recording["sampling_rate"] == SAMPLE_RATE
        assert supervision["recording_id"] == recording["id"]
        notes = [[str(n["pitch"]), n["onset"], n["offset"] - n["onset"], n["velocity"]] for n in row["notes"]]
        assert supervision["alignment"]["note"] == notes


def test_lhotse_itself_reads_them(tmp_path: Path) -> None:
    lhotse = pytest.importorskip("lhotse")
    out = tmp_path / "lhotse"
    export(make_run(tmp_path), out, "lhotse")
    recordings = lhotse.RecordingSet.from_file(out / "recordings_train.jsonl.gz")
    supervisions = lhotse.SupervisionSet.from_file(out / "supervisions_train.jsonl.gz")
    lhotse.validate_recordings_and_supervisions(recordings, supervisions)
    cut = next(iter(lhotse.CutSet.from_manifests(recordings, supervisions)))
    assert cut.load_audio().shape == (1, cut.recording.num_samples)
    assert [note.symbol for note in cut.supervisions[0].alignment["note"]] == ["60", "64"]


def test_without_splits_all_is_train_and_a_row_without_one_is_unassigned(tmp_path: Path) -> None:
    assert "(train 6)" in export(make_run(tmp_path / "a", split=[None] * 7), tmp_path / "a/out", "nemo")
    some = make_run(tmp_path / "b", split=["train", *[None] * 6])
    assert "(train 1, unassigned 5)" in export(some, tmp_path / "b/out", "nemo")
    with pytest.raises(JobError, match=r"split 'a/b' cannot name files"):
        export(make_run(tmp_path / "c", split=["a/b"] * 7), tmp_path / "c/out", "nemo")


def test_only_good_leaves_out_what_is_poor_and_the_card_says_so(tmp_path: Path) -> None:
    run, good = make_run(tmp_path), ["item 0", "item 3", "item 4"]
    judge(run, good)
    export(run, tmp_path / "out", "nemo", only="good")
    listed = [entry["item_id"] for path in (tmp_path / "out").glob("*.jsonl") for entry in lines(path)]
    assert sorted(listed) == good
    card = (tmp_path / "out/README.md").read_text()
    assert "1 items that could not be rendered and 3 that were judged poor" in card


def test_a_missing_licence_is_refused_with_what_to_give(tmp_path: Path) -> None:
    run = make_run(tmp_path, licence=["CC BY 4.0", None, "", "x", "x", "x", "x"], prompt_audio=pa.nulls(7, pa.string()))
    with pytest.raises(JobError) as refused:
        export(run, tmp_path / "out", "nemo", midi_licence=None, model_licence=None)
    assert "2 items have a MIDI file without one (item 1, item 2): give --midi-licence" in str(refused.value)
    assert "licence of the weights dummy is not known, as the model is not at hand: give --model DIR" in str(
        refused.value
    )
    assert not list(tmp_path.glob("*out*"))
    export(run, tmp_path / "out", "nemo", midi_licence=None, model_licence=None, licence_unknown=True)
    licences = (tmp_path / "out/LICENCES.md").read_text()
    assert "| MIDI | MIDI files | unknown | 2 |" in licences and "| weights | model dummy | unknown | 6 |" in licences
    assert "the licence is not known" in licences
    assert "Of some the licence is not known" in (tmp_path / "out/README.md").read_text()


def test_every_source_is_named_with_its_licence(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "corpus", ["a", "b", "c"], licence=["CC0"] * 3, source=["Mutopia", "x", "x"])
    table = pq.read_table(corpus)
    for name, values in (("prompt", ["mine", "plain", None]), ("prompt_audio", [None, None, "midi/c.mid"])):
        place = table.schema.get_field_index(name)
        table = table.append_column(name, [values]) if place < 0 else table.set_column(place, name, [values])
    table = table.append_column("prompt_midi", [[None, None, "midi/c.mid"]])
    pq.write_table(table.append_column("prompt_licence", [[None, None, "my own"]]), corpus)
    bank = {"prompt_id": ["mine"], "audio": ["midi/a.mid"], "midi": ["midi/a.mid"], "licence": ["CC BY 2.0"]}
    pq.write_table(pa.table(bank | {"source": ["a | phone"]}), corpus.parent / "bank.parquet")
    render_run(corpus, tmp_path / "run", prompts=str(corpus.parent / "bank.parquet"))
    with pytest.raises(JobError, match=r"2 items have a prompt without one \(a, b\): give --prompt-licence"):
        # With a bank that is not what it was, nobody knows whose a prompt is.
        (corpus.parent / "bank.parquet").rename(tmp_path / "bank")
        export(tmp_path / "run", tmp_path / "out", "nemo")
    (tmp_path / "bank").rename(corpus.parent / "bank.parquet")
    export(tmp_path / "run", tmp_path / "out", "nemo", prompt_licence="MIT")
    assert (tmp_path / "out/LICENCES.md").read_text().splitlines()[6:12] == [
        "| MIDI | Mutopia | CC0 | 1 |",
        "| MIDI | x | CC0 | 2 |",
        "| prompt | mine: a \\| phone | CC BY 2.0 | 1 |",
        "| prompt | plain | MIT | 1 |",
        "| prompt | recording c | my own | 1 |",
        "| weights | model dummy | MIT | 3 |",
    ]


def test_the_card_has_a_head_for_the_hub_and_no_markup_of_others(tmp_path: Path) -> None:
    run = make_run(tmp_path, source=["<script>alert(1)</script> [x](y) | z"] * 7)
    export(run, tmp_path / "out", "huggingface", title="# Piano: <b>")
    head, body = (tmp_path / "out/README.md").read_text().removeprefix("---\n").split("---\n", 1)
    values = yaml.safe_load(head)
    assert values["pretty_name"] == "# Piano: <b>" and values["license_link"] == "LICENCES.md"
    assert [entry["split"] for entry in values["configs"][0]["data_files"]] == ["train", "validation", "test"]
    assert "<script" not in body and "<b>" not in body and "\\[x\\](y) \\| z" in body


def test_the_bundled_models_card_comes_into_the_export(tmp_path: Path) -> None:
    class Mini(DummyBackend):
        def describe(self) -> Any:
            mini = find_model("mini")
            facts = super().describe()
            return type(facts)("mini", mini.fingerprint(), (), "extend", mini.licence, SAMPLE_RATE)

    manifest = make_corpus(
        tmp_path / "corpus", ["a"], prompt=[None], prompt_audio=["midi/a.mid"], prompt_midi=["midi/a.mid"]
    )
    render_run(manifest, tmp_path / "run", backend=Mini())
    export(tmp_path / "run", tmp_path / "out", "nemo", model_licence=None, prompt_licence="CC0")
    assert "| weights | model mini | CC BY 4.0 | 1 |" in (tmp_path / "out/LICENCES.md").read_text()
    assert "Salamander Grand Piano" in (tmp_path / "out/LICENCES.md").read_text()
    assert "the codec is told the notes" in (tmp_path / "out/README.md").read_text().lower()


KILLED = """
import os, signal, sys
from jobs.cli.commands import midi_valle
link, left = os.link, [4]

def deadly(*paths):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    link(*paths)

os.link = deadly
midi_valle()
"""


def test_a_killed_export_leaves_nothing_of_its_name_and_the_same_command_goes_on(tmp_path: Path) -> None:
    run, out = make_run(tmp_path), tmp_path / "out"
    words = ["export", str(run), str(out), "--as", "lhotse", "--midi-licence", "CC0 1.0", "--model-licence", "MIT"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    killed = subprocess.run([sys.executable, "-c", KILLED, *words], env=environment, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL and not out.exists()
    partial = tmp_path / ".out.partial"
    before = {path: path.stat().st_mtime_ns for path in partial.rglob("*.mid")}
    assert before and not list(partial.glob("*.jsonl.gz"))
    with pytest.raises(JobError, match=r"\.out\.partial holds an unfinished export that is another one"):
        export(run, out, "nemo")
    export(run, out, "lhotse")
    assert not partial.exists() and not list(out.rglob(".tmp-*"))
    assert all((out / path.relative_to(partial)).stat().st_mtime_ns == time for path, time in before.items())
    assert len(list((out / "audio").iterdir())) == 6
    whole = files(out)
    assert export(run, out, "lhotse").startswith("exported already: 6 items")
    assert files(out) == whole
    with pytest.raises(JobError, match=r"out exists already and is not this export"):
        export(run, out, "lhotse", title="another")


def test_a_run_that_is_not_finished_or_kept_no_audio_is_refused(tmp_path: Path) -> None:
    manifest = make_corpus(tmp_path / "corpus", IDS)
    render_run(manifest, tmp_path / "half", leave_out={1})
    with pytest.raises(JobError, match=r"1 of 4 shards are not finished; give its render-corpus command again"):
        export(tmp_path / "half", tmp_path / "out", "nemo")
    render_run(manifest, tmp_path / "none", layout="none")
    with pytest.raises(JobError, match=r"has the layout none, which keeps no audio"):
        export(tmp_path / "none", tmp_path / "out", "nemo")
    render_run(make_corpus(tmp_path / "bad", ["raises"]), tmp_path / "failed")
    with pytest.raises(JobError, match=r"no item is left to export"):
        export(tmp_path / "failed", tmp_path / "out", "nemo")
    with pytest.raises(JobError, match=r"no run has begun here"):
        export(tmp_path / "nothing", tmp_path / "out", "nemo")
    with pytest.raises(JobError, match=r"--as is 'zip'; it must be one of huggingface"):
        export(tmp_path / "half", tmp_path / "out", "zip")


@pytest.mark.parametrize("layout", ["files", "webdataset", "parquet"])
def test_a_run_on_s3_is_exported_as_a_local_one(s3: S3Server, tmp_path: Path, layout: str) -> None:
    remote = s3.uri("run")
    make_run(tmp_path / "remote", layout, out=remote)
    local = make_run(tmp_path / "local", layout)
    for form in ("huggingface", "nemo"):
        export(remote, tmp_path / f"remote-{form}", form)
        export(local, tmp_path / f"local-{form}", form)
        held = [files(tmp_path / f"{place}-{form}") for place in ("remote", "local")]
        for each in held:
            del each["README.md"], each["export.json"]  # They say when the run was made.
        assert held[0] == held[1]


def test_failed_items_that_were_rendered_again_come_from_their_own_archive(tmp_path: Path) -> None:
    manifest = make_corpus(tmp_path / "corpus", ["a", "missing-1", "b"])
    render_run(manifest, tmp_path / "run", layout="webdataset", shard_items=3)
    (tmp_path / "corpus/midi/missing-1.mid").write_bytes((tmp_path / "corpus/midi/a.mid").read_bytes())
    render_run(manifest, tmp_path / "run", layout="webdataset", shard_items=3, generation=1)
    export(tmp_path / "run", tmp_path / "out", "huggingface")
    table = pq.read_table(tmp_path / "out/data/train-00000.parquet")
    names = [(row["item_id"], row["audio"]["path"]) for row in table.to_pylist()]
    assert names == [("a", "a.flac"), ("missing-1", "missing-1.flac"), ("b", "b.flac")]

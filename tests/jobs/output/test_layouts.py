"""Every layout, written by a shard and read back by the library that a user would read it with."""

import datetime
import decimal
import hashlib
import io
import json
import tarfile
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from jobs.errors import JobError, StorageError
from jobs.output import parquet_archive
from jobs.output.archive_writer import ArchiveWriter
from jobs.output.layouts import item_audio
from jobs.output.parquet_archive import write_parquet
from jobs.output.tar_archive import json_rows, write_tar
from jobs.output.writers import FilesWriter, ItemEncoder
from jobs.run.options import RenderOptions
from jobs.run.preflight import prepare
from jobs.run.render import render_corpus
from jobs.run_directory.run_directory import RunDirectory
from jobs.shard.backend import ModelFacts
from jobs.shard.shard_renderer import ShardRenderer, ShardWork
from jobs.shard.task import Task
from jobs.storage.local_storage import LocalStorage
from renderer.audio.loudness import Level
from renderer.decoding.sampling import Sampling
from renderer.midi.midi_file import read_midi
from renderer.midi.notes import NoteReport, Notes
from renderer.rendering import Rendering
from schemas.manifest import ManifestError
from schemas.marker import Marker
from tests.jobs.support.corpus import make_corpus, results
from tests.jobs.support.dummy import SAMPLE_RATE, DummyBackend, DummyRenderer

LONG = "d" * 150  # More than a tar header holds.
IDS = ["c", "a", "unreadable-1", "ü b", LONG, "raises-1"]
RENDERED = ["c", "a", "ü b", LONG]


class BackwardsBackend(DummyBackend):
    """Its renderer finishes the last item first."""

    def load(self, device: str) -> DummyRenderer:
        return BackwardsRenderer(0.0)


class BackwardsRenderer(DummyRenderer):
    @property
    def room(self) -> int:
        return 99

    def step(self, sampling: Sampling | None = None) -> list[Rendering]:
        finished: list[Rendering] = []
        while not self.is_idle:
            finished = super().step(sampling) + finished
        return finished


def render(manifest: Path, out: Path, backend: DummyBackend | None = None, **options: Any) -> Marker:
    backend = backend or DummyBackend()
    job = prepare(RenderOptions(manifest=str(manifest), actors=1, shard_items=99, device="cpu", **options), backend)
    work = ShardWork(job.run, str(manifest), job.bank, LocalStorage(out), backend, job.inputs)
    return ShardRenderer(work).render(Task(job.run.shards[0]))


def only_object(marker: Marker, out: Path, suffix: str) -> Path:
    """The path of the shard's one object, which must be what its marker says."""
    (stored,) = marker.objects
    content = (out / stored.key).read_bytes()
    assert stored.key == f"shards/00000-{marker.attempt}{suffix}"
    assert (len(content), hashlib.sha256(content).hexdigest()) == (stored.bytes, stored.sha256)
    return out / stored.key


def decoded(content: bytes) -> tuple[int, int]:
    """Samples and rate of an audio file."""
    samples, rate = soundfile.read(io.BytesIO(content))
    return len(samples), rate


def test_webdataset_reads_audio_notes_metadata_and_codes(tmp_path: Path, out: Path) -> None:
    import webdataset

    manifest = make_corpus(tmp_path, IDS, tags=[["x"], [], None, ["y", "z"], None, None])
    marker = render(manifest, out, layout="webdataset", save_codes=True)
    path = only_object(marker, out, ".tar")
    samples = list(webdataset.WebDataset(str(path), shardshuffle=False).decode())
    rows = {row["item_id"]: row for row in results(out)}
    assert list(rows) == IDS
    assert [sample["__key__"] for sample in samples] == RENDERED
    for sample in samples:
        row = rows[sample["__key__"]]
        assert sample["json"]["item_id"] == row["item_id"] and sample["json"]["tags"] == row["tags"]
        assert sample["json"]["note_report"] == dict(row["note_report"])
        assert "notes" not in sample["json"] and "render_seconds" not in sample["json"]
        assert len(read_midi(sample["mid"], "ignore").notes) == row["note_count"]
        assert sample["codes.npy"].shape == (2, 5) and sample["codes.npy"].dtype == np.uint16
        assert row["audio_path"] == f"shards/{path.name}#{row['item_id']}.flac"
        assert row["codes_path"] == f"shards/{path.name}#{row['item_id']}.codes.npy"
    with tarfile.open(path) as tar:
        for row in (rows[item_id] for item_id in RENDERED):
            for name in ("audio_path", "midi_path", "codes_path"):
                assert row[name].partition("#")[2] in tar.getnames()
            member = tar.extractfile(row["audio_path"].partition("#")[2])
            assert member is not None
            content = member.read()
            assert decoded(content) == (row["samples"], row["sample_rate"])
            assert hashlib.sha256(content).hexdigest() == row["audio_sha256"] and len(content) == row["audio_bytes"]
        assert {(member.mtime, member.uid, member.uname) for member in tar} == {(0, 0, "")}


@pytest.mark.parametrize("layout", ["files", "webdataset", "parquet"])
def test_one_item_s_audio_is_found_by_its_path(
    tmp_path: Path, out: Path, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_archive, "ROW_GROUP_BYTES", 10_000)  # Of two items.
    render(make_corpus(tmp_path, IDS), out, layout=layout)
    storage = LocalStorage(out)
    rows = {row["item_id"]: row for row in results(out)}
    for row in (rows[item_id] for item_id in RENDERED):
        with item_audio(storage, layout, row["audio_path"]) as file:
            assert hashlib.sha256(file.read()).hexdigest() == row["audio_sha256"]
    with pytest.raises(StorageError, match=r"a\.flacx"):
        item_audio(storage, layout, rows["a"]["audio_path"] + "x")


def test_datasets_reads_parquet_shards_as_audio(tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    import datasets

    composer = pa.array(["x", None, "x", "y", "y", "x"]).dictionary_encode()
    marker = render(make_corpus(tmp_path, IDS, composer=composer), out, layout="parquet", save_codes=True)
    path = only_object(marker, out, ".parquet")
    dataset = datasets.load_dataset("parquet", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    assert dataset.features["audio"] == datasets.Audio(sampling_rate=SAMPLE_RATE)
    # Its own decoder needs torchcodec.
    dataset = dataset.cast_column("audio", datasets.Audio(decode=False))
    rows = {row["item_id"]: row for row in results(out)}
    assert list(dataset["item_id"]) == RENDERED
    for item in dataset:
        row = rows[item["item_id"]]
        assert item["audio"]["path"] == f"{item['item_id']}.flac"
        assert decoded(item["audio"]["bytes"]) == (row["samples"], SAMPLE_RATE)
        assert hashlib.sha256(item["audio"]["bytes"]).hexdigest() == row["audio_sha256"]
        assert len(read_midi(item["midi_bytes"], "ignore").notes) == len(item["notes"]) == row["note_count"]
        assert np.asarray(item["codes"]).shape == (2, 5)
        assert item["composer"] == row["composer"] and item["seed"] == row["seed"] and item["midi"] == row["midi"]
        assert {entry["key"]: entry["value"] for entry in item["note_report"]} == dict(row["note_report"])
        assert row["audio_path"] == row["midi_path"].replace(".mid", ".flac")


def test_pyarrow_reads_parquet_shards_in_bounded_row_groups(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_archive, "ROW_GROUP_BYTES", 30_000)
    path = only_object(render(make_corpus(tmp_path, IDS), out, layout="parquet"), out, ".parquet")
    file = pq.ParquetFile(path)
    assert file.schema_arrow.field("audio").type == parquet_archive.AUDIO_TYPE
    assert [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)] == [2, 2]
    with path.open("rb") as stream:
        names = [name for name, _ in parquet_archive.parquet_audio(stream)]
    assert names == [f"{item_id}.flac" for item_id in RENDERED]
    assert file.read(["item_id"])["item_id"].to_pylist() == RENDERED


@pytest.mark.parametrize("layout", ["webdataset", "parquet"])
def test_archives_hold_the_same_bytes_in_whichever_order_items_finish(tmp_path: Path, layout: str) -> None:
    manifest = make_corpus(tmp_path, IDS)
    forward = render(manifest, tmp_path / "forward", layout=layout, save_codes=True)
    backward = render(manifest, tmp_path / "backward", BackwardsBackend(), layout=layout, save_codes=True)
    assert forward.attempt != backward.attempt
    assert [stored.sha256 for stored in forward.objects] == [stored.sha256 for stored in backward.objects]


@pytest.mark.usefixtures("ray_session")
def test_a_runs_archives_are_the_same_from_one_actor_and_from_three(tmp_path: Path) -> None:
    manifest = make_corpus(tmp_path, [f"item-{index}" for index in range(7)])

    def archives(actors: int) -> list[str]:
        out = str(tmp_path / str(actors))
        chosen: dict[str, Any] = {"device": "cpu", "actors": actors, "shard_items": 2, "layout": "webdataset"}
        assert render_corpus(RenderOptions(manifest=str(manifest), out=out, **chosen), DummyBackend()) == 0
        markers = RunDirectory(LocalStorage(Path(out))).markers()
        return [stored.sha256 for marker in markers for stored in marker.objects]

    one = archives(1)
    assert len(set(one)) == 4 and archives(3) == one


@pytest.mark.parametrize("layout", ["webdataset", "parquet"])
def test_a_shard_without_any_audio_has_no_archive(tmp_path: Path, out: Path, layout: str) -> None:
    marker = render(make_corpus(tmp_path, ["a", "raises-1"]), out, layout=layout, limit=1)
    assert len(marker.objects) == 1
    other = render(make_corpus(tmp_path / "bad", ["a-raises", "b-raises"]), tmp_path / "other", layout=layout)
    assert other.objects == () and other.failed == 2
    assert not (tmp_path / "other" / "shards").exists()


def test_layout_none_measures_and_keeps_nothing_else(tmp_path: Path, out: Path) -> None:
    manifest = make_corpus(tmp_path, ["a", "broken-1"])
    assert render(manifest, out, layout="none").objects == ()
    assert {path.name for path in out.iterdir()} == {"metadata", "_state"}
    row, broken = results(out)
    assert row["audio_path"] is row["midi_path"] is row["audio_bytes"] is None
    assert row["samples"] == round((row["notes"][-1]["offset"] + 1) * SAMPLE_RATE) and row["clipped_samples"] == 0
    assert broken["error_type"] == "AudioError"
    render(manifest, tmp_path / "files")
    measured = ("peak", "rms_dbfs", "samples", "duration_s", "gain_db", "note_count", "clipped_samples")
    assert {name: row[name] for name in measured} == {name: results(tmp_path / "files")[0][name] for name in measured}


def test_files_keep_codes_beside_audio_and_midi(tmp_path: Path, out: Path) -> None:
    marker = render(make_corpus(tmp_path, ["a"]), out, save_codes=True)
    (row,) = results(out)
    assert row["codes_path"] == "codes/a.npy"
    assert np.load(out / "codes" / "a.npy").shape == (2, 5)
    assert {stored.key for stored in marker.objects} == {"audio/a.flac", "midi/a.mid", "codes/a.npy"}


@pytest.mark.parametrize("audio_format", ["flac24", "wav-float", "opus", "mp3"])
@pytest.mark.parametrize("layout", ["webdataset", "parquet"])
def test_archives_hold_every_format(tmp_path: Path, out: Path, layout: str, audio_format: str) -> None:
    import webdataset

    marker = render(make_corpus(tmp_path, ["a"]), out, layout=layout, format=audio_format, sample_rate=24000)
    (row,) = results(out)
    suffix = audio_format.removesuffix("24").removesuffix("-float")
    path = only_object(marker, out, ".tar" if layout == "webdataset" else ".parquet")
    if layout == "webdataset":
        (sample,) = webdataset.WebDataset(str(path), shardshuffle=False)
        content = sample[suffix]
    else:
        (item,) = pq.read_table(path).to_pylist()
        assert item["audio"]["path"] == f"a.{suffix}"
        content = item["audio"]["bytes"]
    assert decoded(content) == (row["samples"], 24000)
    assert row["audio_path"].endswith(f"#a.{suffix}")


def test_rate_and_level_are_those_asked_for_and_metadata_says_so(tmp_path: Path, out: Path) -> None:
    manifest = make_corpus(tmp_path, ["a", "b", "c"])
    render(manifest, out, sample_rate=44100, peak="-6", format="wav-float")
    for row in results(out):
        samples, rate = soundfile.read(out / row["audio_path"], dtype="float32")
        assert rate == row["sample_rate"] == 44100
        assert len(samples) == row["samples"] == round((row["notes"][-1]["offset"] + 1) * 44100)
        assert np.abs(samples).max() == row["peak"] == np.float32(10 ** (-6 / 20))
        assert row["gain_db"] != 0 and row["gain_reason"] is None


def test_loudness_follows_the_option_and_short_items_say_why_not(tmp_path: Path, out: Path) -> None:
    manifest = make_corpus(tmp_path, ["a", "b"], end_s=[None, 0.2])
    render(manifest, out, loudness="-23", tail=0.1, format="wav-float")
    long, short = results(out)
    samples, rate = soundfile.read(out / long["audio_path"], dtype="float32")
    assert Level(loudness=-23.0).gain(samples, rate).db == pytest.approx(0, abs=1e-3)
    assert long["gain_reason"] is None
    assert (short["status"], short["gain_db"], short["gain_reason"]) == ("ok", 0.0, "shorter than 0.4 s")


def test_what_does_not_fit_a_layout_or_format_is_refused_before_anything_is_rendered(tmp_path: Path) -> None:
    def refused(error: type[Exception], match: str, ids: list[str], columns: dict[str, Any], **options: Any) -> None:
        manifest = make_corpus(tmp_path, ids, **columns)
        with pytest.raises(error, match=match):
            prepare(RenderOptions(manifest=str(manifest), device="cpu", **options), DummyBackend())

    refused(ManifestError, "'item_id'.*holds a dot.*row 1", ["a", "b.1"], {}, layout="webdataset")
    refused(
        ManifestError, "'audio': would clash with a column of --layout parquet", ["a"], {"audio": [1]}, layout="parquet"
    )
    refused(JobError, "--layout is 'zip'; it must be one of files, webdataset", ["a"], {}, layout="zip")
    refused(JobError, "--save-codes does not go with --layout none", ["a"], {}, layout="none", save_codes=True)
    refused(JobError, "'opus' cannot hold 44100 Hz: it knows 8000", ["a"], {}, format="opus", sample_rate=44100)
    refused(JobError, "must be 8000 to 192000", ["a"], {}, sample_rate=0)
    refused(JobError, "--loudness is 'loud'; it must be a number of decibels, or off", ["a"], {}, loudness="loud")
    refused(JobError, "peak is 3; it must be -60 to 0 dB", ["a"], {}, peak="3")


def test_a_format_that_cannot_hold_the_models_rate_names_the_option(tmp_path: Path) -> None:
    class OddBackend(DummyBackend):
        def describe(self) -> ModelFacts:
            return replace(super().describe(), sample_rate=32_000)

    manifest = make_corpus(tmp_path, ["a"])
    options = RenderOptions(manifest=str(manifest), device="cpu", format="opus")
    with pytest.raises(JobError, match=r"cannot hold 32000 Hz.*dummy's own rate; --sample-rate resamples"):
        prepare(options, OddBackend())


def test_json_rows_hold_what_json_can_hold() -> None:
    table = pa.table(
        {
            "time": pa.array([1, None], pa.timestamp("ns", "UTC")),
            "length": pa.array([5, None], pa.duration("ms")),
            "nested": [[{"when": datetime.date(2020, 1, 2), "raw": b"\xff"}], []],
            "number": [float("nan"), 1.5],
            "amount": [decimal.Decimal("1.50"), None],
            "map": pa.array([[("k", float("inf"))], None], pa.map_(pa.string(), pa.float64())),
        }
    )
    first, second = json.loads(json.dumps(list(json_rows(table)), allow_nan=False))
    assert first == {
        "time": "1970-01-01 00:00:00.000000001Z",
        "length": 5,
        "nested": [{"when": "2020-01-02", "raw": "/w=="}],
        "number": None,
        "amount": "1.50",
        "map": {"k": None},
    }
    assert second == {"time": None, "length": None, "nested": [], "number": 1.5, "amount": None, "map": None}


@pytest.mark.parametrize(("assemble", "suffix"), [(write_tar, "tar"), (write_parquet, "parquet")])
def test_a_shard_of_long_items_does_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, assemble: Any, suffix: str
) -> None:
    """80 items of 1 MB each."""
    monkeypatch.setattr(parquet_archive, "ROW_GROUP_BYTES", 4 << 20)
    storage, ids = LocalStorage(tmp_path), [f"item{index}" for index in range(80)]
    samples = np.zeros(500_000, np.float32)
    table = pa.table({"item_id": ids, "status": ["ok"] * 80, "sample_rate": [8000] * 80, "notes": [None] * 80})
    for name in ("audio_path", "midi_path", "codes_path", "render_seconds"):
        table = table.append_column(name, pa.nulls(80))
    tracemalloc.start()
    writer = ArchiveWriter(storage, f"shards/x.{suffix}", ItemEncoder("wav", save_codes=False), assemble)
    for item_id in ids:
        writer.write(Rendering(item_id, samples, 8000, 62.5, Notes.none(), NoteReport(), 1, 0, "p"))
    (stored,) = writer.finish(table)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (tmp_path / stored.key).stat().st_size == stored.bytes
    if suffix == "tar":
        assert stored.bytes > 80_000_000
    assert peak < 30_000_000


def test_a_full_spool_disk_is_the_machines_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    with pytest.raises(StorageError, match=r"cannot put a shard together in .*absent: .*TMPDIR"):
        ArchiveWriter(LocalStorage(tmp_path), "shards/x.tar", ItemEncoder("flac", save_codes=False), write_tar)


def test_codes_that_a_renderer_does_not_give_are_an_error(tmp_path: Path) -> None:
    rendering = Rendering("a", np.zeros(9, np.float32), 8000, 9 / 8000, Notes.none(), NoteReport(), 1, 0, "p")
    with pytest.raises(ValueError, match="this renderer gives none"):
        FilesWriter(LocalStorage(tmp_path), ItemEncoder("flac", save_codes=True), "x").write(rendering)

"""A finished run is damaged in every way we can think of; each damage is found and named."""

import io
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.errors import JobError
from jobs.inputs.inputs import Inputs
from jobs.inspect.spread import Processes, RayTasks, Spread
from jobs.inspect.verify import find_problems
from jobs.output.writers import stored_object
from jobs.run_directory.run_directory import RunDirectory
from jobs.storage import S3Access, open_storage
from schemas.marker import Marker
from tests.jobs.cli.test_commands import command
from tests.jobs.support.corpus import make_corpus
from tests.jobs.support.memory_s3 import running_memory_s3
from tests.jobs.support.rendered import render_run

IDS = ["a", "b", "c", "raises-1", "d"]


@pytest.fixture
def run(tmp_path: Path, out: Path) -> RunDirectory:
    return render_run(make_corpus(tmp_path, IDS), out)


def problems(run: RunDirectory, quick: bool = False, spread: Spread | None = None) -> list[str]:
    return list(find_problems(run, Inputs(), quick, spread=spread))


def change_marker(out: Path, shard: int, change: Callable[[dict[str, Any]], object]) -> None:
    path = out / f"_state/done/{shard:05d}.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def change_rows(run: RunDirectory, out: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Rewrite the first shard's metadata, and its marker so that it fits the new file."""
    marker = next(run.markers())
    data = io.BytesIO()
    pq.write_table(change(pq.read_table(out / marker.metadata.key)), data)
    (out / marker.metadata.key).write_bytes(data.getvalue())
    changed: Marker = replace(marker, metadata=stored_object(marker.metadata.key, data.getvalue()))
    (out / "_state/done/00000.json").write_text(json.dumps(asdict(changed)))


def test_a_run_as_it_was_written_is_clean_and_every_item_is_counted(run: RunDirectory) -> None:
    checked: list[int] = []
    assert list(find_problems(run, Inputs(), progress=checked.append)) == []
    assert sum(checked) == len(IDS)
    assert problems(run, quick=True) == []


@pytest.mark.parametrize("layout", ["webdataset", "parquet", "none"])
def test_runs_of_other_layouts_are_clean_and_their_damage_is_found(tmp_path: Path, out: Path, layout: str) -> None:
    run = render_run(make_corpus(tmp_path, IDS), out, layout=layout)
    assert problems(run) == []
    if layout == "none":
        return
    first, second, _ = (entry.objects[0].key for entry in run.markers())
    data = bytearray((out / first).read_bytes())
    data[len(data) // 2] ^= 1
    (out / first).write_bytes(data)
    (out / second).unlink()
    assert problems(run) == [
        f"{first} is not what was written: its SHA-256 is not the marker's",
        f"{second} is missing",
    ]


@pytest.mark.parametrize("layout", ["webdataset", "parquet"])
def test_audio_in_an_archive_that_its_row_does_not_describe_is_found(tmp_path: Path, out: Path, layout: str) -> None:
    run = render_run(make_corpus(tmp_path, IDS), out, layout=layout)

    def exchange(table: pa.Table) -> pa.Table:
        paths: list[Any] = table["audio_path"].to_pylist()
        place = table.schema.get_field_index("audio_path")
        return table.set_column(place, "audio_path", pa.array([paths[1], paths[0] + "x"]))

    change_rows(run, out, exchange)
    first = next(run.markers()).objects[0].key
    another, length, missing = problems(run)
    assert another == f"{first}#b.flac (item 'a') is not what its row says: its SHA-256 is another"
    assert length.startswith(f"{first}#b.flac (item 'a') has 1") and "its row says 1" in length
    assert missing == f"{first}#a.flacx is missing"


def test_a_flipped_byte_is_found_but_not_by_size_alone(run: RunDirectory, out: Path) -> None:
    data = bytearray((out / "audio/b.flac").read_bytes())
    data[len(data) // 2] ^= 1
    (out / "audio/b.flac").write_bytes(data)
    assert problems(run) == ["audio/b.flac is not what was written: its SHA-256 is not the marker's"]
    assert problems(run, quick=True) == []


@pytest.mark.parametrize("quick", [True, False])
def test_missing_and_truncated_objects_are_found(run: RunDirectory, out: Path, quick: bool) -> None:
    (out / "midi/a.mid").unlink()
    size = (out / "audio/c.flac").stat().st_size
    (out / "audio/c.flac").write_bytes((out / "audio/c.flac").read_bytes()[:-100])
    assert problems(run, quick) == [
        "midi/a.mid is missing",
        f"audio/c.flac has {size - 100:,} bytes, its marker says {size:,}",
    ]


def test_lost_metadata_is_found(run: RunDirectory, out: Path) -> None:
    key = next(run.markers()).metadata.key
    (out / key).unlink()
    assert problems(run) == [f"{key} is missing"]


def test_a_row_that_is_there_twice_and_one_that_is_not_are_found(run: RunDirectory, out: Path) -> None:
    change_rows(run, out, lambda table: pa.concat_tables([table.slice(0, 1), table.slice(0, 1)]))
    found = problems(run)
    assert any("item 'b' has no result" in problem for problem in found)
    assert any("item 'a' has 2 results" in problem for problem in found)


def test_a_missing_row_is_found(run: RunDirectory, out: Path) -> None:
    change_rows(run, out, lambda table: table.slice(0, 1))
    found = "\n".join(problems(run))
    assert "holds 1 rows for 2 rows of the manifest" in found and "item 'b' has no result" in found
    assert "1 rows, its marker counted 2" in found


def test_audio_of_another_length_than_stated_is_found(run: RunDirectory, out: Path) -> None:
    samples: list[Any] = pq.read_table(out / next(run.markers()).metadata.key).column("samples").to_pylist()

    def one_less(table: pa.Table) -> pa.Table:
        place = table.schema.get_field_index("samples")
        return table.set_column(place, "samples", pa.array([samples[0] - 1, samples[1]]))

    change_rows(run, out, one_less)
    (found,) = problems(run)
    assert found == (
        f"audio/a.flac (item 'a') has {samples[0]} samples at 8000 Hz, its row says {samples[0] - 1} at 8000 Hz"
    )
    assert problems(run, quick=True) == []


def test_counts_that_are_not_the_rows_are_found(run: RunDirectory, out: Path) -> None:
    change_marker(out, 1, lambda values: values.update(failures={}, audio_seconds=99.0))
    found = problems(run)
    assert len(found) == 2
    assert found[0].endswith("holds failures {'RuntimeError': 1}, its marker counted {}")
    assert found[1].endswith("s of audio, its marker counted 99.000 s")


def test_audio_that_no_marker_names_is_found(run: RunDirectory, out: Path) -> None:
    change_marker(out, 2, lambda values: values.update(objects=[]))
    assert problems(run) == ["audio/d.flac is not among the objects of its marker"]


def test_a_marker_that_leads_out_of_the_run_is_reported_and_not_followed(run: RunDirectory, out: Path) -> None:
    change_marker(out, 2, lambda values: values["objects"][1].update(key="../../etc/passwd"))
    assert problems(run) == ["../../etc/passwd cannot be read: key '../../etc/passwd' leads out of the storage"]


def test_shards_without_a_marker_are_reported_with_how_many_rows_that_is(tmp_path: Path, out: Path) -> None:
    run = render_run(make_corpus(tmp_path, IDS), out, leave_out={0, 2})
    assert problems(run) == ["not finished: 2 shards (0, 2), so 3 manifest rows have no result"]


def test_a_manifest_that_has_changed_since_is_reported_but_it_may_have_grown(run: RunDirectory, tmp_path: Path) -> None:
    make_corpus(tmp_path, [*IDS, "e"])
    assert problems(run) == []
    make_corpus(tmp_path, [*IDS[:-1], "e"])
    (found,) = problems(run)
    assert found == (
        f"result rows cannot be compared with the manifest: {tmp_path}/manifest.parquet is not the run's manifest "
        "any more"
    )
    (tmp_path / "manifest.parquet").unlink()
    (found,) = problems(run)
    assert found.startswith("result rows cannot be compared with the manifest: ")


def test_a_torn_marker_is_an_error(run: RunDirectory, out: Path) -> None:
    (out / "_state/done/00001.json").write_text("{")
    with pytest.raises(JobError, match=r"00001\.json: not a commit marker"):
        problems(run)


def test_the_command_lists_what_is_wrong_escaped_and_exits_with_1(tmp_path: Path, out: Path) -> None:
    manifest = make_corpus(tmp_path, IDS)
    render_run(manifest, out)
    clean = command("midi_valle", "verify", out)
    assert (clean.returncode, clean.stdout) == (0, "clean: 5 items\n")
    (out / "midi/b.mid").unlink()
    change_marker(out, 2, lambda values: values["objects"][0].update(key="audio/\x1b[2J.flac"))
    damaged = command("midi_valle", "verify", out, "--quick")
    assert damaged.returncode == 1
    assert damaged.stdout.splitlines() == [
        "midi/b.mid is missing",
        "audio/\\x1b[2J.flac is missing",
        "audio/d.flac is not among the objects of its marker",
        "3 problems",
    ]
    assert command("midi_valle", "verify", tmp_path / "nothing").returncode == 1


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("spread", [Processes(2), RayTasks(2)], ids=["processes", "Ray"])
def test_what_is_found_does_not_depend_on_where_it_is_looked_for(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch, spread: Spread
) -> None:
    monkeypatch.setattr("jobs.inspect.verify.LEAST_ITEMS", 2)
    ids = [f"item-{number:02d}" for number in range(20)]
    run = render_run(make_corpus(tmp_path, ids), out, leave_out={4})
    for number in (0, 7, 19):
        (out / f"audio/item-{number:02d}.flac").unlink()
    (out / "midi/item-11.mid").write_bytes(b"")
    checked: list[int] = []
    found = list(find_problems(run, Inputs(), False, checked.append, spread))
    assert len(found) == 5 and found == problems(run)
    assert sum(checked) == 18 and len(checked) == 9
    assert problems(run, True, spread) == problems(run, True)
    change_marker(out, 7, lambda values: values.update(shard=8))
    assert "_state/done/00007.json is the marker of another shard, 8" in problems(run, True, spread)
    (out / "_state/done/00007.json").write_text("{")
    with pytest.raises(JobError, match=r"00007\.json: not a commit marker"):
        problems(run, False, spread)


def test_sizes_are_listed_and_not_asked_for_one_by_one(tmp_path: Path, out: Path) -> None:
    ids = [f"item-{number:02d}" for number in range(60)]
    local = render_run(make_corpus(tmp_path, ids), out, shard_items=20)
    with running_memory_s3() as server:
        for path in out.rglob("*"):
            if path.is_file():
                server.objects[f"corpus/out/{path.relative_to(out).as_posix()}"] = path.read_bytes()
        run = RunDirectory(open_storage("s3://corpus/out", S3Access(server.endpoint)))
        assert problems(run, quick=True) == []
        assert server.requests["HEAD"] <= 4 and server.requests.total() < 30
        del server.objects["corpus/out/audio/item-33.flac"]
        server.objects["corpus/out/midi/item-40.mid"] += b"x"
        (size,) = (stored.bytes for m in local.markers() for stored in m.objects if stored.key == "midi/item-40.mid")
        assert problems(run, quick=True) == [
            "audio/item-33.flac is missing",
            f"midi/item-40.mid has {size + 1:,} bytes, its marker says {size:,}",
        ]

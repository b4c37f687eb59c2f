import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.errors import JobError
from jobs.inputs.inputs import Inputs
from jobs.inputs.manifest_files import ManifestFiles
from jobs.manifests.item_ids import ItemIds
from jobs.run.options import RenderOptions
from renderer.midi.midi_file import midi_bytes, read_midi
from renderer.midi.notes import Excerpt, Notes
from schemas.item_ids import folded, why_unsafe
from schemas.manifest import Manifest, ManifestRow
from schemas.results import RESULT_SCHEMA
from tests.jobs.manifests.midi_folder import add_midi, build, files_of, melody, values


def test_every_midi_file_is_a_row_with_a_path_from_the_manifest(tmp_path: Path) -> None:
    for name in ("b.MID", "sub/deep/a.midi"):
        add_midi(tmp_path / "corpus", name)
    for name in ("sub/._a.mid", "notes.txt"):
        (tmp_path / "corpus" / name).touch()
    out = tmp_path / "lists" / "manifest.parquet"
    build(out, tmp_path / "corpus")
    manifest = Manifest.open(out)
    manifest.validate()
    assert list(manifest.rows()) == [
        ManifestRow("b", "../corpus/b.MID", "plain"),
        ManifestRow("sub-deep-a", "../corpus/sub/deep/a.midi", "plain"),
    ]


def test_ids_are_safe_and_unique_whatever_the_files_are_called() -> None:
    names = ["a/b.mid", "a-b.mid", "A-B.mid", "con.mid", "..mid", " x .mid", "a:b?.mid", "é" * 200 + ".mid", "\n.mid"]
    made = ItemIds()
    ids = [made.of_file(name) for name in [*names, "é" * 199 + "e.mid"]]
    assert ids[:3] == ["a-b", "a-b-2", "A-B-3"]
    assert [why_unsafe(item_id) for item_id in ids] == [None] * len(ids)
    assert len({folded(item_id) for item_id in ids}) == len(ids)


def test_each_file_is_measured(tmp_path: Path) -> None:
    notes = Notes.of([0, 1, 1, 3], [2, 2, 1.5, 4], [60, 64, 21, 108], [10, 127, 50, 64])
    add_midi(tmp_path, "a.mid", notes)
    build(tmp_path / "m.parquet", tmp_path)
    (file,) = files_of(tmp_path / "m.parquet")
    report = dict(file.pop("note_report"))
    assert file == {
        "midi": "a.mid",
        "error": None,
        "rows": 1,
        "piece": "a",
        "split": None,
        "duplicate_of": None,
        "duration_s": 4.0,
        "note_count": 4,
        "polyphony": 3,
        "pedalled": 0.0,
        "lowest_key": 21,
        "highest_key": 108,
        "lowest_velocity": 10,
        "highest_velocity": 127,
    }
    assert set(report.values()) == {0}


def test_the_pedal_is_measured_as_the_run_will_take_it(tmp_path: Path) -> None:
    pedalled = Path("tests/fixtures/tok/pedal.mid").resolve()
    for pedal, some in (("extend", True), ("ignore", False)):
        out = tmp_path / f"{pedal}.parquet"
        build(out, pedalled, pedal=pedal)
        assert (files_of(out)[0]["pedalled"] > 0) == some
        assert files_of(out)[0]["duration_s"] == read_midi(pedalled, "extend" if some else "ignore").notes.end


def test_what_cannot_be_rendered_is_no_row_and_it_is_said_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = midi_bytes(melody(1))
    for name, content in (("cut.mid", good[:-40]), ("empty.mid", b""), ("good.mid", good), ("text.mid", b"not MIDI")):
        (tmp_path / name).write_bytes(content)
    damaged = bytearray(good)
    damaged[11] += 1  # One track more than there is.
    (tmp_path / "mended.mid").write_bytes(damaged)
    rows = build(tmp_path / "m.parquet", tmp_path)
    assert values(rows, "item_id") == ["good", "mended"]
    files = {row["midi"]: row for row in files_of(tmp_path / "m.parquet")}
    assert list(files) == ["cut.mid", "empty.mid", "good.mid", "mended.mid", "text.mid"]
    assert "truncated" in files["cut.mid"]["error"] and files["cut.mid"]["rows"] == 0
    assert files["cut.mid"]["duration_s"] is None and files["good.mid"]["error"] is None
    assert dict(files["mended.mid"]["note_report"])["tracks_miscounted"] == 1
    output = capsys.readouterr().err
    assert "5 files read" in output and "2 can be rendered, 3 cannot" in output
    assert "(cut.mid)" in output and "damaged, and mended: 1" in output


def test_the_expected_duration_is_that_of_the_audio(tmp_path: Path) -> None:
    path = add_midi(tmp_path, "a.mid", melody(3, 30))
    rows = build(tmp_path / "m.parquet", path, excerpt=7, augment=["tempo=.8..1.25"], copies=2)
    notes = read_midi(path)
    for row in rows:
        part = notes.excerpt(Excerpt(row["start_s"], row["end_s"], 0, 1.0, row["tempo_scale"])).notes
        assert row["expected_duration_s"] == pytest.approx(part.end + RenderOptions.tail, abs=0.002)
    assert {"expected_duration_s", "piece"}.isdisjoint(RESULT_SCHEMA.names)


def test_duplicates_are_found_by_their_notes_not_their_bytes(tmp_path: Path) -> None:
    notes = melody(1, 20)
    add_midi(tmp_path, "a.mid", notes)
    add_midi(tmp_path, "later.mid", notes.shifted(1.7))
    rounded = Notes.of(np.round(notes.onset, 2) + 0.003, notes.offset + 0.05, notes.pitch, notes.velocity)
    add_midi(tmp_path, "rounded.mid", rounded)
    add_midi(tmp_path, "slower.mid", Notes.of(notes.onset * 1.2, notes.offset * 1.2, notes.pitch, notes.velocity))
    add_midi(tmp_path, "softer.mid", Notes.of(notes.onset, notes.offset, notes.pitch, notes.velocity - 1))
    rows = build(tmp_path / "m.parquet", tmp_path)
    assert len(rows) == 5
    files = files_of(tmp_path / "m.parquet")
    assert {row["midi"]: row["duplicate_of"] for row in files} == {
        "a.mid": None,
        "later.mid": "a.mid",
        "rounded.mid": "a.mid",
        "slower.mid": None,
        "softer.mid": None,
    }
    kept = build(tmp_path / "n.parquet", tmp_path, drop_duplicates=True)
    assert values(kept, "item_id") == ["a", "slower", "softer"]
    assert values(files_of(tmp_path / "n.parquet"), "rows") == [1, 0, 0, 1, 1]


def test_excerpts_have_the_length_asked_for_and_every_note_is_in_one(tmp_path: Path) -> None:
    parts = [melody(1, 31).shifted(5), melody(1, 3).shifted(90)]
    add_midi(tmp_path, "a.mid", Notes.joined(*parts))
    add_midi(tmp_path, "short.mid", melody(2, 3))
    rows = build(tmp_path / "m.parquet", tmp_path, excerpt=10)
    long = [row for row in rows if row["piece"] == "a"]
    assert values(long, "item_id") == ["a-e001", "a-e002", "a-e003", "a-e004", "a-e005"]
    assert {round(row["end_s"] - row["start_s"], 6) for row in rows} == {10.0}
    onset = Notes.joined(*parts).onset
    counts = [int(((onset >= row["start_s"]) & (onset < row["end_s"])).sum()) for row in long]
    covered = np.any([(onset >= row["start_s"]) & (onset < row["end_s"]) for row in long], axis=0)
    assert covered.all() and min(counts) > 0
    assert long[0]["start_s"] == pytest.approx(4.9, abs=0.002)  # Silence before the first note is left out.
    assert [row["end_s"] for row in rows if row["piece"] == "short"] == [10.0]


def test_prompts_in_turn_at_random_several_for_each_and_of_a_bank(tmp_path: Path) -> None:
    for number in range(12):
        add_midi(tmp_path / "in", f"{number:02d}.mid")
    turn = build(tmp_path / "a.parquet", tmp_path / "in", prompt=["x", "y", "z"])
    assert values(turn, "prompt") == ["x", "y", "z"] * 4
    drawn = build(tmp_path / "b.parquet", tmp_path / "in", prompt=["x", "y", "z"], prompt_order="random")
    again = build(tmp_path / "c.parquet", tmp_path / "in", prompt=["x", "y", "z"], prompt_order="random", seed=1)
    assert set(values(drawn, "prompt")) == {"x", "y", "z"} and values(drawn, "prompt") != values(again, "prompt")
    both = build(tmp_path / "d.parquet", tmp_path / "in", prompt=["x", "y", "z"], prompts_each=2)
    assert values(both, "item_id")[:3] == ["00-p1", "00-p2", "01-p1"]
    assert all(one["prompt"] != other["prompt"] for one, other in zip(both[::2], both[1::2], strict=True))
    assert sorted(values(both, "prompt")) == ["x"] * 8 + ["y"] * 8 + ["z"] * 8
    bank = tmp_path / "bank.parquet"
    table = {"prompt_id": ["p", "q"], "audio": ["p.wav", "q.wav"], "midi": ["p.mid", "q.mid"]}
    pq.write_table(pa.table(table), bank)
    banked = build(tmp_path / "e.parquet", tmp_path / "in", prompts=str(bank))
    assert values(banked, "prompt") == ["p", "q"] * 6
    with pytest.raises(JobError, match="has no such prompt, but p, q"):
        build(tmp_path / "f.parquet", tmp_path / "in", prompts=str(bank), prompt=["r"])


def test_a_suffix_never_makes_two_ids_one(tmp_path: Path) -> None:
    for name in ("a.mid", "a-c1.mid", "A-C1-p2.mid"):
        add_midi(tmp_path, name)
    rows = build(tmp_path / "m.parquet", tmp_path, prompt=["x", "y"], prompts_each=2, augment=["transpose=1"])
    assert len(rows) == 12
    Manifest.open(tmp_path / "m.parquet").validate()


def test_the_same_bytes_whatever_the_processes_and_the_order_of_the_folder(tmp_path: Path) -> None:
    names = [f"{number % 7}/{number:03d}.mid" for number in range(80)]
    options = {"split": "0.8,0.1,0.1", "augment": ["transpose=-3..3", "velocity=.8..1.1"], "copies": 2, "excerpt": 3.0}
    made = []
    for processes, order in ((1, names), (2, names[::-1])):
        folder = tmp_path / str(processes)
        for name in order:
            add_midi(folder / "in", name)
        rows = build(folder / "m.parquet", folder / "in", prompt=["x", "y"], processes=processes, **options)
        made.append([(folder / name).read_bytes() for name in ("m.parquet", "m.files.parquet")])
    assert made[0] == made[1] and len(rows) > 300
    other = build(tmp_path / "n.parquet", tmp_path / "1" / "in", seed=1, **options)
    assert values(other, "transpose") != values(rows, "transpose")


def test_nothing_is_overwritten_and_nothing_half_written(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"holds no \.mid or \.midi files"):
        build(tmp_path / "m.parquet", tmp_path)
    add_midi(tmp_path, "a.mid")
    for name in ("m.parquet", "m.files.parquet"):
        (tmp_path / name).write_text("precious")
        with pytest.raises(JobError, match=f"{name} exists already; choose another --out, or remove it"):
            build(tmp_path / "m.parquet", tmp_path)
        assert (tmp_path / name).read_text() == "precious"
        (tmp_path / name).unlink()
    (tmp_path / "b.mid").write_bytes(b"")
    with pytest.raises(JobError, match="none of 1 MIDI files can be rendered"):
        build(tmp_path / "m.parquet", tmp_path / "b.mid")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mid", "b.mid"]


def test_a_folder_of_manifests_is_rendered_without_the_tables_beside_them(tmp_path: Path) -> None:
    for part in ("a", "b"):
        build(tmp_path / "lists" / f"{part}.parquet", add_midi(tmp_path, f"{part}.mid"))
    for location in (tmp_path / "lists", tmp_path / "lists" / "*.parquet"):
        manifest = ManifestFiles.find(str(location), Inputs()).open()
        assert [row.item_id for row in manifest.rows()] == ["a", "b"]


def test_what_is_said_can_be_typed(tmp_path: Path) -> None:
    add_midi(tmp_path / "in put", "a.mid")
    script = "from jobs.cli.commands import midi_valle; midi_valle()"
    words = ["manifest", "build", str(tmp_path / "in put"), "--prompt", "splendid-close", "--out", "lists/m.parquet"]
    built = subprocess.run(
        [sys.executable, "-c", script, *words],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        check=False,
    )
    assert built.stdout == "1 rows: lists/m.parquet\n" and built.returncode == 0, built.stderr
    assert f"render-corpus lists/m.parquet --allow-root '{tmp_path}/in put' --dry-run" in built.stderr

"""Which clips a corpus is made of: decided by the sources and the seed, before anything sounds."""

import io
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from jobs.corpora.conditions import Conditions
from jobs.corpora.plan import Augmentation, PlanSettings, plan_clips, split_pieces
from jobs.corpora.prepare import prepare_corpus
from jobs.corpora.prepare_options import PrepareOptions
from jobs.corpora.sources import SourcePiece, names_held_out, read_source, without
from jobs.errors import JobError
from jobs.inputs.inputs import Inputs
from renderer.pianos.clips import ClipLengths
from tests.jobs.support.prepared import prepare_options, write_performances, write_recorded

SETTINGS = PlanSettings(
    hours=0.1,
    validation=0.2,
    test=0.1,
    lengths=ClipLengths(5.0, 12.0),
    pedal="extend",
    conditions=Conditions(("grand@close", "grand@hall", "upright@close")),
    augmentation=Augmentation(3, (0.8, 1.2), (0.9, 1.1)),
    tail=1.0,
    seed=0,
)


def plan(sources: list[list[SourcePiece]], **changes: Any) -> pa.Table:
    table, faults = plan_clips(sources, [1 / len(sources)] * len(sources), replace(SETTINGS, **changes), Inputs())
    assert not faults
    return table


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> list[SourcePiece]:
    return read_source(str(write_performances(tmp_path_factory.mktemp("midi"), 10)), Inputs())


def test_no_piece_is_in_two_splits_and_every_split_has_its_share(source: list[SourcePiece]) -> None:
    rows = plan([source]).to_pylist()
    pieces: dict[str, set[str]] = defaultdict(set)
    seconds: dict[str, float] = defaultdict(float)
    for row in rows:
        pieces[row["split"]].add(row["piece"])
        seconds[row["split"]] += row["end_s"] - row["start_s"]
    assert {split: len(found) for split, found in pieces.items()} == {"train": 7, "validation": 2, "test": 1}
    assert len(set.union(*pieces.values())) == 10
    for split, share in (("train", 0.7), ("validation", 0.2), ("test", 0.1)):
        assert share * 360 <= seconds[split] < share * 360 + 12


def test_a_seed_is_one_plan(source: list[SourcePiece]) -> None:
    assert plan([source]).equals(plan([source]))
    assert not plan([source]).equals(plan([source], seed=1))


def test_without_hours_every_clip_is_there_once(source: list[SourcePiece]) -> None:
    rows = plan([source], hours=None).to_pylist()
    places = [(row["midi"], row["start_s"]) for row in rows]
    assert len(set(places)) == len(places)
    assert len({row["midi"] for row in rows}) == 10


def test_a_second_time_a_piece_is_cut_elsewhere(source: list[SourcePiece]) -> None:
    rows = plan([source], hours=0.5).to_pylist()
    assert sum(row["end_s"] - row["start_s"] for row in rows) >= 1800
    starts = {(row["midi"], row["start_s"], row["end_s"]) for row in rows}
    assert len(starts) > 2 * len(plan([source], hours=None))


def test_only_training_clips_are_changed_and_within_bounds(source: list[SourcePiece]) -> None:
    changes = defaultdict(set)
    for row in plan([source], hours=0.5).to_pylist():
        changes[row["split"]].add((row["transpose"], row["velocity_scale"], row["tempo_scale"]))
        length = (row["end_s"] - row["start_s"]) / row["tempo_scale"]
        assert 5.0 - 1e-6 <= length <= 12.0
    assert changes["validation"] == changes["test"] == {(0, 1.0, 1.0)}
    transposed, velocities, tempi = (set(values) for values in zip(*changes["train"], strict=True))
    assert transposed == set(range(-3, 4))
    assert 0.8 <= min(velocities) < 0.85 and 1.15 < max(velocities) <= 1.2
    assert 0.9 <= min(tempi) < 0.92 and 1.08 < max(tempi) <= 1.1


def test_every_clip_has_another_piece_to_prompt_it_and_training_has_nothing_held_out(
    source: list[SourcePiece],
) -> None:
    conditions = Conditions.drawn(["grand", "upright", "old"], 40, {"old"}, 0.2, seed=3)
    assert len(conditions.seen) == 32 and len(conditions.held_out) == 8
    assert {name.partition("@")[0] for name in conditions.seen} == {"grand", "upright"}
    assert {name.partition("@")[0] for name in conditions.held_out} == {"grand", "upright", "old"}
    rows = plan([source], hours=0.6, conditions=conditions).to_pylist()
    groups = defaultdict(set)
    for row in rows:
        groups[row["split"], row["condition"]].add(row["piece"])
    used = {split: {name for each, name in groups if each == split} for split in ("train", "validation", "test")}
    assert used["train"] == set(conditions.seen)
    for split in ("validation", "test"):
        assert len(used[split] & set(conditions.held_out)) == len(used[split] & set(conditions.seen)) > 1
    assert all(len(pieces) > 1 for (split, _), pieces in groups.items() if split == "train")


def test_sources_have_their_shares(tmp_path: Path, source: list[SourcePiece]) -> None:
    other = read_source(str(write_performances(tmp_path / "other", 10, 40.0)), Inputs())
    table, _ = plan_clips([source, other], [0.75, 0.25], SETTINGS, Inputs())
    seconds = sum(row["end_s"] - row["start_s"] for row in table.to_pylist() if "/other/" in row["midi"])
    assert seconds == pytest.approx(90, abs=36)


def test_files_that_cannot_be_read_are_left_out_and_named(tmp_path: Path) -> None:
    folder = write_performances(tmp_path / "midi", 6)
    (folder / "piece-3.mid").write_text("no MIDI")
    table, faults = plan_clips([read_source(str(folder), Inputs())], [1.0], SETTINGS, Inputs())
    assert len(faults) == 1 and "piece-3.mid" in faults[0]
    assert "piece-3" not in table["piece"].to_pylist()


def test_what_is_held_out_is_never_used(tmp_path: Path) -> None:
    source = read_source(str(write_performances(tmp_path / "midi", 6)), Inputs())
    (tmp_path / "list.txt").write_text("# judged\n/elsewhere/piece-1.mid\npiece-4\n")
    left = without(source, names_held_out(tmp_path / "list.txt"))
    assert sorted(piece.piece for piece in left) == ["piece-0", "piece-2", "piece-3", "piece-5"]
    with pytest.raises(JobError, match="cannot be read"):
        names_held_out(tmp_path / "none.txt")


def test_lists_and_tables_name_files_relative_to_themselves(tmp_path: Path) -> None:
    write_performances(tmp_path / "midi", 2)
    (tmp_path / "list.txt").write_text("midi/piece-1.mid\n")
    assert [piece.midi for piece in read_source(str(tmp_path / "list.txt"), Inputs())] == [
        f"{tmp_path}/midi/piece-1.mid"
    ]
    first = read_source(str(write_recorded(tmp_path / "recorded", 2, 6.0)), Inputs())[0]
    assert (first.midi, first.audio, first.condition) == (
        f"{tmp_path}/recorded/piece-0.mid",
        f"{tmp_path}/recorded/piece-0.wav",
        "right",
    )


def test_a_tables_own_splits_are_kept_and_may_not_divide_a_piece() -> None:
    def piece(number: int, name: str, split: str | None) -> SourcePiece:
        return SourcePiece(f"{number}.mid", name, split=split)

    pieces = [piece(number, f"drawn-{number}", None) for number in range(10)]
    given = [piece(20, "given", "test"), piece(21, "given", "test")]
    splits = split_pieces([*pieces, *given], SETTINGS)
    assert splits["given"] == "test"
    with pytest.raises(JobError, match="'given' is in two splits"):
        split_pieces([*given, piece(22, "given", "train")], SETTINGS)
    with pytest.raises(JobError, match="too few"):
        split_pieces(pieces[:2], SETTINGS)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"piano": ["grand"]}, "give NAME=FOLDER"),
        ({"piano": ["a=x.sf2#1"]}, "give NAME=FOLDER"),
        ({"piano": ["a=x", "a=y"]}, "given twice"),
        ({"room": ["cave"]}, "room 'cave' is unknown"),
        ({"conditions": 0}, "--conditions is 0"),
        ({"hold_out_rooms": 1.0}, "--hold-out-rooms is 1"),
        ({"hold_out_piano": ["harp"]}, "--hold-out-piano harp is none of the pianos: grand"),
        ({"hold_out_piano": ["grand"]}, "no condition is left to train on"),
        ({"share": [1.0, 2.0]}, "2 times for 1 sources"),
        ({"share": [-1.0]}, "more than 0"),
        ({"hours": 0.0}, "--hours"),
        ({"validation": 0.7, "test": 0.3}, "leave something"),
        (
            {"shortest": 20.0},
            "--shortest 20 --longest 30: cannot be cut: .* at least 37.7: 1.83 times",
        ),
        (
            {"shortest": 8.0, "longest": 12.0},
            "--shortest 8 --longest 12: .* at least 15.7: .* 0.9 to 1.1 times",
        ),
        ({"shortest": 8.0, "longest": 15.0}, "--shortest 8 --longest 15: .* and 1 s to ring"),
        ({"tempo_scale": (1.1, 0.9)}, "--tempo-scale"),
        ({"format": "mp3"}, "--format"),
        ({"pedal": "model"}, "--pedal is 'model'; it must be one of ignore, extend"),
        ({"sources": []}, "at least one"),
    ],
)
def test_options_that_make_no_sense_are_refused(tmp_path: Path, change: dict[str, Any], complaint: str) -> None:
    values: dict[str, Any] = {"sources": ["midi"], "out": str(tmp_path / "out"), "piano": ["grand=x"]}
    with pytest.raises(JobError, match=complaint):
        PrepareOptions(**(values | change))


def test_presets_of_soundfonts_are_understood(tmp_path: Path) -> None:
    options = PrepareOptions(sources=["midi"], out="out", piano=[f"a={tmp_path}/x.sf2#8:4", f"b={tmp_path}/y#1"])
    pianos = options.pianos()
    assert (pianos["a"].path, pianos["a"].bank, pianos["a"].preset) == (tmp_path / "x.sf2", 8, 4)
    assert pianos["b"].path == tmp_path / "y#1"


def test_material_that_does_not_fit_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    options = prepare_options(tmp_path)
    table = str(write_recorded(tmp_path / "recorded", 2, 6.0))
    for change, complaint in (
        ({"piano": ()}, "need at least one --piano"),
        ({"sources": [table]}, "does not go with a table"),
        ({"sources": [table, *options.sources], "piano": ()}, "two corpora"),
        ({"sources": [str(tmp_path / "none")]}, "neither a folder"),
    ):
        with pytest.raises(JobError, match=complaint):
            prepare_corpus(prepare_options(tmp_path, **change))
    assert not (tmp_path / "corpus").exists()


def test_a_plan_can_be_read_back(source: list[SourcePiece]) -> None:
    file = io.BytesIO()
    pa.parquet.write_table(plan([source]), file)
    assert pa.parquet.read_table(file).equals(plan([source]))

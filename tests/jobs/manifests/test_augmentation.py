from pathlib import Path

import pytest

from jobs.manifests.augmentation import Augmentation, Change
from jobs.seeded import generator
from renderer.midi.midi_file import read_midi
from renderer.midi.notes import Excerpt, Notes
from schemas.manifest import Manifest
from tests.jobs.manifests.midi_folder import add_midi, build, values


def test_bounds_are_read_in_one_word_or_several() -> None:
    wanted = Augmentation((-2, 2), (0.8, 1.2), (0.95, 1.05))
    assert Augmentation.parsed(["transpose=-2..2 tempo=.95..1.05", "velocity=.8..1.2"]) == wanted
    assert Augmentation.parsed(["transpose=-2..2,velocity=0.8..1.2,tempo=.95..1.05"]) == wanted
    assert Augmentation.parsed(["transpose=+3"]) == Augmentation((3, 3))


def test_changes_stay_within_bounds_and_are_never_the_same() -> None:
    bounds = Augmentation((-2, 2), (0.8, 1.2), (0.95, 1.05))
    changes = list(bounds.changes(generator(1), 200, 40, 80))
    assert len(set(changes)) == 200 and Change() not in changes
    assert {change.transpose for change in changes} == {-2, -1, 0, 1, 2}
    for change in changes:
        assert 0.8 <= change.velocity_scale <= 1.2 and 0.95 <= change.tempo_scale <= 1.05
    few = list(Augmentation((-1, 1)).changes(generator(1), 5, 40, 80))
    assert sorted(change.transpose for change in few) == [-1, 1]


@pytest.mark.parametrize(("lowest", "highest", "wanted"), [(21, 60, {1, 2}), (22, 107, {-1, 1}), (21, 108, set())])
def test_no_key_leaves_the_piano(lowest: int, highest: int, wanted: set[int]) -> None:
    changes = Augmentation((-2, 2)).changes(generator(1), 9, lowest, highest)
    assert {change.transpose for change in changes} == wanted


def test_copies_lose_no_note(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    notes = Notes.of([0, 1, 6, 7], [1, 2, 7, 8], [22, 60, 60, 107], [60, 70, 80, 90])
    path = add_midi(tmp_path, "a.mid", notes)
    rows = build(tmp_path / "m.parquet", path, augment=["transpose=-12..12", "velocity=.9..1.1"], copies=4, excerpt=4)
    Manifest.open(tmp_path / "m.parquet").validate()
    assert values(rows, "item_id")[:6] == ["a-e001", *(f"a-e001-c{copy}" for copy in range(1, 5)), "a-e002"]
    for row in rows:
        part = Excerpt(row["start_s"], row["end_s"], row["transpose"], row["velocity_scale"], row["tempo_scale"])
        assert read_midi(path).excerpt(part).report.out_of_range == 0
    assert max(values(rows, "transpose")) > 1  # The first excerpt has no high notes.
    assert "copies left out" not in capsys.readouterr().err
    few = build(tmp_path / "n.parquet", path, augment=["transpose=-12..12"], copies=4)
    assert values(few, "transpose")[0] == 0 and sorted(values(few, "transpose")) == [-1, 0, 1]
    assert "copies left out, because --augment has no other change: 2" in capsys.readouterr().err

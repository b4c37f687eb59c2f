from collections import defaultdict
from pathlib import Path

import pytest

from jobs.errors import JobError
from jobs.manifests.splits import draw_splits
from tests.jobs.manifests.midi_folder import add_midi, build, melody, values


def test_renderings_of_a_piece_and_duplicates_are_never_parted(tmp_path: Path) -> None:
    for piece in range(30):
        for player in range(3):
            add_midi(tmp_path, f"{piece:02d}/{player}.mid", melody(3 * piece + player, 4 + piece))
    add_midi(tmp_path, "other/copy.mid", melody(0, 4))  # The same as 00/0.mid, in another folder.
    rows = build(tmp_path / "m.parquet", tmp_path, piece="folder", split="0.6,0.2,0.2", excerpt=2.0)
    of_piece = defaultdict(set)
    for row in rows:
        of_piece["00" if row["piece"] == "other" else row["piece"]].add(row["split"])
    assert len(of_piece) == 30 and {len(splits) for splits in of_piece.values()} == {1}
    audio: defaultdict[str, float] = defaultdict(float)
    for row in rows:
        audio[row["split"]] += row["expected_duration_s"]
    assert audio["train"] / sum(audio.values()) == pytest.approx(0.6, abs=0.05)
    assert audio["test"] / sum(audio.values()) == pytest.approx(0.2, abs=0.05)


def test_training_alone_is_augmented(tmp_path: Path) -> None:
    for number in range(10):
        add_midi(tmp_path, f"{number}.mid", melody(number))
    rows = build(tmp_path / "m.parquet", tmp_path, split="0.8,0.1,0.1", augment=["transpose=-6..6"], copies=3)
    assert sorted(values(rows, "split")).count("train") == 8 * 4 and len(rows) == 8 * 4 + 2
    assert {row["transpose"] for row in rows if row["split"] != "train"} == {0}


def test_the_seed_draws_and_shares_are_met_with_few_pieces_and_with_many() -> None:
    for count in (3, 10, 1000):
        names = [f"piece {number}" for number in range(count)]
        groups, seconds = [[number] for number in range(count)], [60.0] * count
        splits = draw_splits(groups, names, seconds, (0.8, 0.1, 0.1), 0)
        wanted = max(1, round(0.1 * count))
        assert (splits.count("validation"), splits.count("test")) == (wanted, wanted)
        assert draw_splits(groups[::-1], names, seconds, (0.8, 0.1, 0.1), 0) == splits
        assert count < 1000 or draw_splits(groups, names, seconds, (0.8, 0.1, 0.1), 1) != splits
    assert draw_splits([[0], [1]], ["a", "b"], [1.0, 1.0], (0.5, 0.0, 0.5), 0).count("test") == 1
    assert draw_splits([[0]], ["a"], [1.0], (1.0, 0.0, 0.0), 0) == ["train"]
    with pytest.raises(JobError, match=r"2 piece\(s\) are too few for 3 splits"):
        draw_splits([[0], [1, 2]], ["a", "b", "b"], [1.0] * 3, (0.8, 0.1, 0.1), 0)


def test_a_piece_that_a_table_parts_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.mid", "b.mid", "c.mid"):
        add_midi(tmp_path, name, melody(5))
    (tmp_path / "t.csv").write_text("midi,split\na.mid,train\nb.mid,test\nc.mid,train\n")
    assert values(build(tmp_path / "m.parquet", tmp_path / "t.csv"), "split") == ["train", "test", "train"]
    assert "1 piece(s) are in several splits, as the table says; the first is 'a'" in capsys.readouterr().err

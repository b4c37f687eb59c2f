"""A corpus at random access: what it gives is what was rendered."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from jobs.corpora.corpus import Corpus, CorpusError
from tests.jobs.support.corpus import make_corpus, results
from tests.jobs.support.dummy import SAMPLE_RATE
from tests.jobs.support.rendered import render_run

IDS = [f"clip-{number}" for number in range(5)]


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """A finished corpus of 5 clips in 3 shards: two pianos, three pieces."""
    manifest = make_corpus(
        tmp_path,
        IDS,
        split=["train", "train", "train", "train", "validation"],
        condition=["salon", "salon", "hall", "salon", "salon"],
        piece=["prelude", "prelude", "fugue", "fugue", "toccata"],
        codec=["abc"] * 5,
    )
    render_run(manifest, tmp_path / "out", layout="parquet", save_codes=True)
    return tmp_path / "out"


def test_the_index_tells_the_clips_in_the_manifests_order(prepared: Path) -> None:
    corpus = Corpus.open(str(prepared))
    assert [clip.item_id for clip in corpus.clips] == IDS
    assert [clip.split for clip in corpus.clips] == ["train"] * 4 + ["validation"]
    assert corpus.clips[2].condition == "hall"
    assert corpus.sample_rate == SAMPLE_RATE
    assert corpus.codec == "abc"
    assert [clip.samples for clip in corpus.clips] == [row["samples"] for row in results(prepared)]


def test_a_part_of_a_clip_is_that_part_of_the_whole(prepared: Path) -> None:
    corpus = Corpus.open(str(prepared))
    for index, clip in enumerate(corpus.clips):
        whole = corpus.audio(index)
        assert whole.shape == (clip.samples,)
        assert whole.dtype == np.float32
        assert np.abs(whole).max() > 0.4
        np.testing.assert_array_equal(corpus.audio(index, 1234, 777), whole[1234 : 1234 + 777])
        np.testing.assert_array_equal(corpus.audio(index, clip.samples - 3), whole[-3:])


def test_audio_beyond_a_clip_is_refused(prepared: Path) -> None:
    corpus = Corpus.open(str(prepared))
    length = corpus.clips[0].samples
    for start, samples in ((0, length + 1), (-1, 10), (length, 1), (5, 0)):
        with pytest.raises(ValueError, match=f"clip 0 has {length} samples"):
            corpus.audio(0, start, samples)


def test_notes_are_those_of_the_results(prepared: Path) -> None:
    corpus = Corpus.open(str(prepared))
    for index, row in enumerate(results(prepared)):
        notes = corpus.notes(index)
        assert notes.onset.tolist() == [note["onset"] for note in row["notes"]]
        assert notes.offset.tolist() == [note["offset"] for note in row["notes"]]
        assert notes.pitch.tolist() == [note["pitch"] for note in row["notes"]]
        assert notes.velocity.tolist() == [note["velocity"] for note in row["notes"]]


def test_codes_are_frames_by_codebooks(prepared: Path) -> None:
    corpus = Corpus.open(str(prepared))
    seed = results(prepared)[3]["seed"]
    np.testing.assert_array_equal(corpus.codes(3), np.full((5, 2), seed % 1024))
    assert corpus.codes(3).dtype == np.int64


def test_a_corpus_without_codes_says_so(tmp_path: Path) -> None:
    render_run(make_corpus(tmp_path, ["a"]), tmp_path / "out", layout="parquet")
    corpus = Corpus.open(str(tmp_path / "out"))
    assert corpus.codec is None
    with pytest.raises(CorpusError, match="--codec"):
        corpus.codes(0)


def test_prompts_are_other_pieces_of_the_same_condition_and_split(prepared: Path) -> None:
    corpus = Corpus.open(str(prepared))
    assert [corpus.prompts_for(index).tolist() for index in range(5)] == [[3], [3], [], [0, 1], []]


def test_an_unfinished_corpus_can_be_read_as_far_as_it_is(tmp_path: Path) -> None:
    manifest = make_corpus(tmp_path, IDS)
    render_run(manifest, tmp_path / "part", layout="parquet", leave_out={1})
    render_run(manifest, tmp_path / "whole", layout="parquet")
    part, whole = Corpus.open(str(tmp_path / "part")), Corpus.open(str(tmp_path / "whole"))
    assert [clip.item_id for clip in part.clips] == ["clip-0", "clip-1", "clip-4"]
    assert part.fingerprint != whole.fingerprint
    np.testing.assert_array_equal(part.audio(2), whole.audio(4))


def test_equal_corpora_have_equal_fingerprints(tmp_path: Path) -> None:
    manifest = make_corpus(tmp_path, IDS)
    found = set()
    for name in ("one", "two"):
        render_run(manifest, tmp_path / name, layout="parquet")
        found.add(Corpus.open(str(tmp_path / name)).fingerprint)
    assert len(found) == 1


def test_failed_items_are_left_out(tmp_path: Path) -> None:
    render_run(make_corpus(tmp_path, ["a", "raises", "b"]), tmp_path / "out", layout="parquet")
    corpus = Corpus.open(str(tmp_path / "out"))
    assert [clip.item_id for clip in corpus.clips] == ["a", "b"]
    assert corpus.audio(1).shape == (corpus.clips[1].samples,)


def test_a_pickled_corpus_reads_on(prepared: Path) -> None:
    corpus = Corpus.open(str(prepared))
    expected = corpus.audio(4, 10, 100)
    again = pickle.loads(pickle.dumps(corpus))
    np.testing.assert_array_equal(again.audio(4, 10, 100), expected)
    assert again.fingerprint == corpus.fingerprint


def test_other_layouts_are_refused(tmp_path: Path) -> None:
    render_run(make_corpus(tmp_path, ["a"]), tmp_path / "out", layout="webdataset")
    with pytest.raises(CorpusError, match="layout is webdataset"):
        Corpus.open(str(tmp_path / "out"))

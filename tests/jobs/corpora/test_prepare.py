"""`midi-valle prepare`: a run that makes a training corpus."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from jobs.corpora.backend import CodecFiles
from jobs.corpora.corpus import Corpus
from jobs.corpora.prepare import PLAN_KEY, prepare_corpus
from jobs.errors import JobError
from jobs.inputs.inputs import Inputs
from jobs.inspect.verify import find_problems
from renderer.audio.audio_file import resample
from renderer.pianos.setting import Setting
from renderer.pianos.studio import Condition, encode
from renderer.weights.checkpoint import find_model, load_codec
from schemas.manifest import Manifest
from tests.jobs.support.prepared import RATE, performance, prepare_here, prepare_options, write_recorded
from tests.jobs.support.s3_server import BUCKET, S3Server


@pytest.fixture(scope="session", autouse=True)
def banks(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Pianos' banks go to a folder of the tests; set before Ray starts."""
    patch = pytest.MonkeyPatch()
    patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, banks: None) -> Corpus:
    """A corpus of two minutes with codes."""
    folder = tmp_path_factory.mktemp("prepared")
    prepare_here(prepare_options(folder, hours=0.04, codec="mini"))
    return Corpus.open(str(folder / "corpus"))


def test_a_corpus_has_the_hours_splits_and_conditions_that_were_asked_for(corpus: Corpus) -> None:
    seconds: dict[str, float] = dict.fromkeys(("train", "validation", "test"), 0.0)
    for clip in corpus.clips:
        seconds[clip.split] += clip.samples / corpus.sample_rate
    for split, share in (("train", 0.7), ("validation", 0.2), ("test", 0.1)):
        clips = sum(clip.split == split for clip in corpus.clips)
        music = seconds[split] - clips  # A second follows the last note of each.
        assert share * 144 * 0.9 <= music <= share * 144 * 1.1 + 12
    rooms = ("close", "chamber", "hall")
    conditions = Counter(clip.condition for clip in corpus.clips if clip.split == "train")
    assert set(conditions) == {f"{piano}@{room}" for piano in ("grand", "upright") for room in rooms}
    assert max(conditions.values()) - min(conditions.values()) <= 1
    assert min(Counter((clip.split, clip.condition) for clip in corpus.clips).values()) >= 2


def test_a_corpus_says_what_its_conditions_are(corpus: Corpus) -> None:
    assert set(corpus.conditions) == {clip.condition for clip in corpus.clips}
    facts = corpus.conditions["upright@chamber"]
    assert (facts["piano"], facts["held_out"], facts["room"]["decay"]) == ("upright", False, 0.8)


def test_drawn_conditions_are_recorded_with_all_parameters_and_heard(tmp_path: Path) -> None:
    options = prepare_options(
        tmp_path, hours=0.05, conditions=8, hold_out_piano=["upright"], hold_out_rooms=0.25, validation=0.3
    )
    prepare_here(options)
    corpus = Corpus.open(str(tmp_path / "corpus"))
    for index, clip in enumerate(corpus.clips):
        facts = corpus.conditions[clip.condition]
        expected = Setting.named(Condition.from_id(clip.condition).setting).facts()
        assert {name: facts[name] for name in expected} == json.loads(json.dumps(expected))
        assert clip.samples == round((corpus.notes(index).end + 1.0) * 32_000)
        if clip.split == "train":
            assert clip.condition.startswith("grand@drawn-0-") and not facts["held_out"]
    validated = {clip.condition for clip in corpus.clips if clip.split == "validation"}
    assert {corpus.conditions[name]["held_out"] for name in validated} == {True, False}
    assert any(name.startswith("upright@") for name in validated)


def test_clips_are_as_long_as_allowed_and_exactly_as_their_labels_say(corpus: Corpus) -> None:
    for index, clip in enumerate(corpus.clips):
        notes = corpus.notes(index)
        assert 5.0 <= clip.samples / 32_000 <= 12.0
        assert clip.samples == round((notes.end + 1.0) * 32_000)
        assert notes.onset[0] >= 0


def test_sound_rises_within_five_milliseconds_of_labels(corpus: Corpus) -> None:
    for index, clip in enumerate(corpus.clips):
        audio, notes = np.abs(corpus.audio(index)), corpus.notes(index)
        rises = []
        for onset in notes.onset.tolist():
            label = round(onset * 32_000)
            before = audio[max(0, label - 320) : label].max(initial=0.0)
            rises.append(audio[label : label + 160].max() / (before + 1e-3))
        assert rises[0] > 3.0, clip
        if clip.condition.endswith("close"):  # Elsewhere, notes before sound on.
            assert np.median(rises) > 1.5, clip


def test_codes_are_the_codecs_of_that_audio(corpus: Corpus) -> None:
    assert corpus.codec == CodecFiles("mini").sha256()
    codec = load_codec(find_model("mini")).for_inference()
    codes, expected = corpus.codes(0), encode(codec, corpus.audio(0)).T
    assert codes.shape == expected.shape
    assert (codes == expected).mean() > 0.9  # The audio was rounded to 16 bits after it was encoded.


def test_a_prompt_is_another_piece_in_the_same_condition(corpus: Corpus) -> None:
    found = 0
    for index, clip in enumerate(corpus.clips):
        for other in corpus.prompts_for(index).tolist():
            found += 1
            assert corpus.clips[other].condition == clip.condition
            assert corpus.clips[other].split == clip.split
            assert corpus.clips[other].piece != clip.piece
    assert found > 0


def test_what_was_interrupted_is_finished_with_the_same_bytes(tmp_path: Path) -> None:
    prepare_here(prepare_options(tmp_path, hours=0.02))
    prepare_here(prepare_options(tmp_path, hours=0.02, out=str(tmp_path / "other")), leave_out={0, 2})
    whole, part = Corpus.open(str(tmp_path / "corpus")), Corpus.open(str(tmp_path / "other"))
    assert 0 < len(part) < len(whole)
    directory = prepare_here(prepare_options(tmp_path, hours=0.02, out=str(tmp_path / "other")))
    assert Corpus.open(str(tmp_path / "other")).fingerprint == whole.fingerprint
    assert not list(find_problems(directory, Inputs()))


@pytest.mark.usefixtures("ray_session")
def test_actors_prepare_what_one_process_would(tmp_path: Path) -> None:
    prepare_here(prepare_options(tmp_path, hours=0.02))
    options = prepare_options(tmp_path, hours=0.02, out=str(tmp_path / "other"), actors=2)
    assert prepare_corpus(options) == 0
    assert prepare_corpus(options) == 0
    assert Corpus.open(str(tmp_path / "other")).fingerprint == Corpus.open(str(tmp_path / "corpus")).fingerprint


def test_a_corpus_is_prepared_on_s3_and_read_from_there(tmp_path: Path, s3: S3Server) -> None:
    uri = f"s3://{BUCKET}/prepared"
    prepare_here(prepare_options(tmp_path, hours=0.01))
    prepare_here(prepare_options(tmp_path, hours=0.01, out=uri))
    remote, local = Corpus.open(uri, cache_bytes=1), Corpus.open(str(tmp_path / "corpus"))
    assert remote.clips == local.clips
    assert remote.fingerprint == local.fingerprint
    for index in range(len(local)):
        np.testing.assert_array_equal(remote.audio(index, 1000, 2000), local.audio(index, 1000, 2000))


def test_another_corpus_is_not_mixed_into_one(tmp_path: Path) -> None:
    prepare_here(prepare_options(tmp_path, hours=0.01))
    with pytest.raises(JobError, match=r"holds another corpus:\n  - seed: 0 there, 1 now\n"):
        prepare_here(prepare_options(tmp_path, hours=0.01, seed=1))
    with pytest.raises(JobError, match="model_id: 'grand\\+upright' in the run, 'grand\\+other' now"):
        pianos = [f"grand={tmp_path / 'grand'}", f"other={tmp_path / 'upright'}"]
        (tmp_path / "corpus" / PLAN_KEY).unlink()
        prepare_here(prepare_options(tmp_path, hours=0.01, piano=pianos))


def test_recordings_become_clips_of_their_own_audio_and_notes(tmp_path: Path) -> None:
    table = write_recorded(tmp_path / "recorded")
    options = prepare_options(tmp_path, sources=[str(table)], piano=(), validation=0.25, test=0.25)
    prepare_here(options)
    corpus = Corpus.open(str(tmp_path / "corpus"))
    rows = {row.item_id: row for row in Manifest.open(tmp_path / "corpus" / PLAN_KEY).rows()}
    assert {clip.condition for clip in corpus.clips} == {"left", "right"}
    for index, clip in enumerate(corpus.clips):
        row = rows[clip.item_id]
        assert row.start_s is not None and row.end_s is not None and row.prompt_audio is not None
        assert clip.samples == round((row.end_s - row.start_s) * 32_000)
        recording, _ = soundfile.read(row.prompt_audio, dtype="float32")
        part = recording[round(row.start_s * RATE) : round(row.end_s * RATE), 0]
        expected = resample(part, RATE, 32_000)[: clip.samples]
        np.testing.assert_allclose(corpus.audio(index), expected, atol=1e-3)
        number = int(clip.piece.removeprefix("piece-"))
        played = performance(25.0, number)
        # Without those that are struck at a cut, which MIDI's grid may move across it.
        inside = (played.onset > row.start_s + 0.01) & (played.onset < row.end_s - 0.01)
        labels = corpus.notes(index).onset
        labels = labels[(labels > 0.01) & (labels < row.end_s - row.start_s - 0.01)]
        np.testing.assert_allclose(labels, played.onset[inside] - row.start_s, atol=2e-3)


def test_a_recording_that_ends_too_early_is_a_failed_clip(tmp_path: Path) -> None:
    table = write_recorded(tmp_path / "recorded")
    audio, rate = soundfile.read(tmp_path / "recorded/piece-1.wav")
    soundfile.write(tmp_path / "recorded/piece-1.wav", audio[: 8 * rate], rate)
    options = prepare_options(tmp_path, sources=[str(table)], piano=(), validation=0, test=0)
    prepare_here(options)
    corpus = Corpus.open(str(tmp_path / "corpus"))
    ends = [row.end_s for row in Manifest.open(tmp_path / "corpus" / PLAN_KEY).rows() if "piece-1" in row.midi]
    missing = sum(end is not None and end > 8.1 for end in ends)
    assert missing and len(corpus) == Manifest.open(tmp_path / "corpus" / PLAN_KEY).row_count - missing

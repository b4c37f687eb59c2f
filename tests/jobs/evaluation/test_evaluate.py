"""``midi-valle evaluate``: from a corpus or a run to rows and a table, resumable by groups of clips."""

import io
import os
import pickle
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import jobs.evaluation.evaluate as module
from jobs.errors import JobError
from jobs.evaluation.evaluate import evaluate
from jobs.evaluation.evaluation_options import EvaluationOptions
from jobs.evaluation.judge import Judge
from jobs.evaluation.part import Part
from jobs.evaluation.subjects import RunSubjects
from jobs.evaluation.systems import GT, RC
from renderer.audio.audio_file import read_audio, write_audio
from renderer.evaluation.frechet import Gaussian
from renderer.pianos.soundfont import installed_soundfont
from schemas.evaluation import EVALUATION_SCHEMA
from tests.jobs.support.corpus import results
from tests.jobs.support.played import make_played_corpus
from tests.renderer.tones import played

pytest.importorskip("librosa")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_played_corpus(tmp_path_factory.mktemp("played"), 3)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_played_corpus(tmp_path_factory.mktemp("run"), 2, layout="files")


def options(out: Path, **changes: Any) -> EvaluationOptions:
    return EvaluationOptions(out=str(out), **{"musicnn": False, "fluidsynth": False, **changes})


def rows(out: Path, system: str | None = None) -> list[dict[str, Any]]:
    table = pq.read_table(out / "clips.parquet")
    assert table.schema.equals(EVALUATION_SCHEMA)
    return [row for row in table.to_pylist() if system in (None, row["system"])]


@pytest.fixture(scope="module")
def of_codec(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("evaluation")
    evaluate(options(out, corpus=str(corpus), codec="mini", batch_size=2))
    return out


def test_the_recording_is_at_distance_0_from_itself(of_codec: Path) -> None:
    found = rows(of_codec, GT)
    assert [row["item_id"] for row in found] == ["clip-0", "clip-1", "clip-2"]
    for row in found:
        assert row["spectrogram_gt"] == 0.0
        assert row["chroma_gt"] < 1e-4
        assert row["spectrogram_rc"] is None


def test_the_codec_is_compared_with_the_recording_behind_the_prompt(of_codec: Path) -> None:
    for row in rows(of_codec, RC):
        assert 0.01 < row["spectrogram_gt"] < 1
        assert row["chroma_gt"] > 0
        assert 1.5 < row["seconds"] < 2.5  # Of about 5 s, without the first 3.


def test_pianos_are_recognised_where_the_corpus_has_several(of_codec: Path, tmp_path: Path) -> None:
    assert {row["piano_recognised"] for row in rows(of_codec)} == {None}
    assert "| piano |" not in (of_codec / "table.md").read_text()
    corpus = make_played_corpus(tmp_path, 16, train=12, dull=True)
    evaluate(options(tmp_path / "out", corpus=str(corpus), codec="mini"))
    found = rows(tmp_path / "out", GT)
    assert [row["condition"] for row in found] == ["tones", "dull@far"] * 2
    for kind in ("piano", "room", "condition"):
        assert [row[f"{kind}_recognised"] for row in found] == [1.0] * 4
    table = (tmp_path / "out" / "table.md").read_text()
    assert "| piano | room | condition |" in table
    assert "taken for the recording's, among 2, 2 and 2." in table
    assert {row["held_out"] for row in rows(tmp_path / "out")} == {False}
    assert "Conditions apart" not in table


def test_the_table_has_all_systems_and_the_published_figures(of_codec: Path) -> None:
    table = (of_codec / "table.md").read_text()
    tables = [part.splitlines() for part in table.split("\n\n") if part.startswith("|")]
    lines = tables[0]
    assert lines[0].startswith("| system | clips | FAD codec, GT | spectrogram, GT |")
    assert [len({line.count("|") for line in lines}) for lines in tables] == [1, 1, 1]
    assert lines[2].startswith("| recording | 3 | 0.000 | 0.000 ± 0.000 |")
    assert any(line.startswith("| codec | 3 |") for line in lines)
    assert any("Piano-Encodec on ATEPP (published) |  | 0.685 | 0.123 ± 0.002 |" in line for line in lines)
    assert any(line.startswith("| M2A on ATEPP (published) |  | 11.014 | 0.218 ± 0.005 |") for line in lines)
    sound, octaves = tables[1:]
    assert sound[0].startswith("| system | level, dB | above 4 kHz, dB |")
    assert sound[2].startswith("| recording | 0.0 ± 0.0 | 0.0 ± 0.0 |")
    assert octaves[0].endswith("| 2000 Hz | 4000 Hz | 8000 Hz |")


def test_plots_are_drawn_where_matplotlib_is_installed(of_codec: Path) -> None:
    pytest.importorskip("matplotlib")
    for name in ("spectrogram_gt.png", "chroma_gt.png", "above_4_khz.png", "octaves.png"):
        assert (of_codec / "plots" / name).read_bytes().startswith(b"\x89PNG")


def test_the_same_command_goes_on_where_it_stopped(
    of_codec: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "again"
    shutil.copytree(of_codec, out)
    (out / "parts" / "00001.npz").unlink()
    judged: list[list[int]] = []

    class Counting(Judge):
        def judge(self, indexes: Any) -> bytes:
            judged.append(list(indexes))
            return super().judge(indexes)

    monkeypatch.setattr(module, "Judge", Counting)
    table = evaluate(options(out, corpus=str(corpus), codec="mini", batch_size=2))
    assert judged == [[1]]
    assert table == (of_codec / "table.md").read_text()
    assert rows(out) == rows(of_codec)
    # Nothing is left to do; the groups are those with which it began.
    evaluate(options(out, corpus=str(corpus), codec="mini", batch_size=9))
    assert judged == [[1]]


def test_another_evaluation_in_the_same_folder_is_refused(of_codec: Path, corpus: Path) -> None:
    with pytest.raises(JobError, match="differs in: seed"):
        evaluate(options(of_codec, corpus=str(corpus), codec="mini", batch_size=2, seed=1))
    with pytest.raises(JobError, match="differs in: subjects"):
        evaluate(options(of_codec, corpus=str(corpus), codec="mini", batch_size=2, limit=2))


def test_several_actors_give_the_same_rows(of_codec: Path, corpus: Path, tmp_path: Path) -> None:
    evaluate(options(tmp_path, corpus=str(corpus), codec="mini", batch_size=2, actors=2))
    assert rows(tmp_path) == rows(of_codec)


def test_a_model_is_prompted_by_itself_and_by_another_piece(corpus: Path, tmp_path: Path) -> None:
    evaluate(options(tmp_path, corpus=str(corpus), model="mini", limit=1))
    own, cross = rows(tmp_path)[2:]
    assert own["system"].endswith(", self-prompt")
    assert cross["system"].endswith(", cross-prompt")
    assert own["prompt_id"] == "clip-0"
    assert cross["prompt_id"] in ("clip-1", "clip-2")
    for row in (own, cross):
        assert row["error"] is None
        assert row["length_error_frames"] == 0.0
        assert row["spectrogram_gt"] > 0.05
        assert row["spectrogram_rc"] > 0.05
    assert own["spectrogram_gt"] != cross["spectrogram_gt"]


def test_a_run_is_compared_with_recordings_of_the_same_names(run: Path, tmp_path: Path) -> None:
    references = tmp_path / "references"
    references.mkdir()
    for row, gain in zip(results(run), (1.0, 0.1), strict=True):
        samples = read_audio(run / row["audio_path"], 32000) * np.float32(gain)
        write_audio(references / f"{row['item_id']}.wav", samples, 32000, "wav-float")
    evaluate(options(tmp_path / "out", run=str(run), references=references))
    first, second = rows(tmp_path / "out", f"run {run.name}")
    assert first["spectrogram_gt"] == 0.0
    assert second["spectrogram_gt"] > 0.1
    assert (first["length_error_frames"], second["length_error_frames"]) == (0.0, 0.0)


def test_a_rendering_that_is_duller_than_the_recording_is_so_by_the_decibels_that_it_lacks(
    run: Path, tmp_path: Path
) -> None:
    references = tmp_path / "references"
    references.mkdir()
    for row in results(run):
        samples = read_audio(run / row["audio_path"], 32000)
        spectrum = np.fft.rfft(samples)
        spectrum[np.fft.rfftfreq(len(samples), 1 / 32000) >= 4000] *= 10 ** (6 / 20)
        brighter = np.fft.irfft(spectrum, len(samples)).astype(np.float32)
        write_audio(references / f"{row['item_id']}.wav", brighter, 32000, "wav-float")
    table = evaluate(options(tmp_path / "out", run=str(run), references=references))
    for row in rows(tmp_path / "out", f"run {run.name}"):
        assert row["above_4_khz"] + row["level"] == pytest.approx(-6.0, abs=0.2)
        assert row["octave_8000_hz"] + row["level"] == pytest.approx(-6.0, abs=0.2)
        assert row["octave_250_hz"] + row["level"] == pytest.approx(0.0, abs=0.1)
    assert "above 4 kHz, dB" in table


@pytest.mark.skipif(installed_soundfont() is None, reason="needs FluidSynth and a soundfont")
def test_fluidsynth_is_a_row_where_it_is_installed(corpus: Path, tmp_path: Path) -> None:
    evaluate(options(tmp_path, corpus=str(corpus), codec="mini", fluidsynth=None, limit=1))
    played_by = rows(tmp_path)[-1]
    assert played_by["system"].startswith("FluidSynth, ")
    assert 0 < played_by["spectrogram_gt"] < 1
    assert played_by["level"] == pytest.approx(0.0, abs=1.0)


def test_fluidsynth_that_is_not_installed_is_reported_or_refused(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "installed_soundfont", lambda: None)
    with pytest.raises(JobError, match="apt-get install fluidsynth"):
        evaluate(options(tmp_path, corpus=str(corpus), codec="mini", fluidsynth=True, limit=1))
    evaluate(options(tmp_path, corpus=str(corpus), codec="mini", fluidsynth=None, limit=1))
    assert "FluidSynth is not among the rows" in capsys.readouterr().err
    assert {row["system"] for row in rows(tmp_path)} == {GT, RC}


def test_recordings_that_were_replaced_are_measured_anew_and_one_that_cannot_be_read_fails_its_row(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    references = tmp_path / "references"
    references.mkdir()
    whole = [(row["item_id"], read_audio(run / row["audio_path"], 32000)) for row in results(run)]
    for item_id, samples in whole:
        write_audio(references / f"{item_id}.wav", np.float32(0.1) * samples[: len(samples) // 4], 32000, "wav-float")
    chosen = options(tmp_path / "out", run=str(run), references=references)
    evaluate(chosen)
    system = f"run {run.name}"
    before = rows(tmp_path / "out", system)
    assert all(row["spectrogram_gt"] > 0.1 for row in before)
    assert "2 of 2 recordings are more than" in capsys.readouterr().err
    for item_id, samples in whole:
        write_audio(references / f"{item_id}.wav", samples, 32000, "wav-float")
    evaluate(chosen)
    assert [row["spectrogram_gt"] for row in rows(tmp_path / "out", system)] == [0.0, 0.0]
    assert "warning" not in capsys.readouterr().err

    (references / f"{whole[0][0]}.wav").write_bytes(b"no audio")
    evaluate(chosen)
    first, second = rows(tmp_path / "out", system)
    assert "cannot be read as audio" in first["error"] and first["spectrogram_gt"] is None
    assert second["error"] is None and second["spectrogram_gt"] == 0.0


def test_a_run_without_recordings_still_has_its_lengths_checked(run: Path, tmp_path: Path) -> None:
    evaluate(options(tmp_path, run=str(run)))
    assert [row["system"] for row in rows(tmp_path)] == [f"run {run.name}"] * 2
    assert [row["length_error_frames"] for row in rows(tmp_path)] == [0.0, 0.0]


@pytest.mark.parametrize("layout", ["files", "webdataset", "parquet"])
def test_items_of_any_layout_are_read_in_any_order(layout: str, tmp_path: Path) -> None:
    run = make_played_corpus(tmp_path, 3, seconds=1.5, layout=layout)
    subjects = pickle.loads(pickle.dumps(RunSubjects(str(run), None, None, None)))
    for index in (0, 1, 2, 0, 2, 1):
        subject, row = subjects.read(index), results(run)[index]
        assert subject.item_id == row["item_id"]
        assert len(subject.rendered) == row["samples"]
        assert subject.notes.onset.tolist() == [note["onset"] for note in row["notes"]]
        np.testing.assert_allclose(subject.rendered, played(subject.notes, subject.seconds), atol=1e-4)
    assert len(RunSubjects(str(run), None, None, 2)) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "give --corpus"),
        ({"corpus": "c", "run": "r"}, "give --corpus"),
        ({"corpus": "c"}, "--corpus needs --model"),
        ({"corpus": "c", "model": "mini", "codec": "mini"}, "brings its own codec"),
        ({"corpus": "c", "model": "mini", "references": Path("x")}, "--references goes with --run"),
        ({"run": "r", "transcriber": "ear"}, "one of transkun, basic-pitch"),
        ({"run": "r", "protocol": ["none"]}, "one of self, cross"),
        ({"run": "r", "actors": 0}, "--actors is 0"),
        ({"run": "r", "precision": "fp8"}, "fp8"),
        ({"run": "r", "piano": ["grand"]}, "--piano grand"),
    ],
)
def test_options_that_make_no_sense_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(JobError, match=message):
        EvaluationOptions(out="out", **changes)


def test_a_split_that_is_not_there_is_named(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(JobError, match="no clip of split 'dev' is long enough; its splits: test"):
        evaluate(options(tmp_path, corpus=str(corpus), codec="mini", split="dev"))


def test_a_part_is_what_was_written() -> None:
    gaussian = Gaussian.of(np.random.default_rng(0).normal(size=(9, 3)))
    part = Part([{"item_id": "ä", "system": "s", "onset_f1": None}], {("a, b", "codec"): gaussian})
    read = Part.from_bytes(part.to_bytes())
    assert read.rows == part.rows
    np.testing.assert_array_equal(read.gaussians["a, b", "codec"].scatter, gaussian.scatter)
    assert read.gaussians["a, b", "codec"].count == 9
    assert np.load(io.BytesIO(part.to_bytes()), allow_pickle=False)["rows"].dtype.kind == "U"


def mortal(letters: Path, deaths: int) -> type[Judge]:
    """A judge whose worker is killed over the first group of clips, so often; each time it adds a letter to a file."""

    class MortalJudge(Judge):
        def judge_numbered(self, number: int, indexes: Sequence[int]) -> tuple[int, bytes]:
            if number == 0 and len(letters.read_text()) < deaths:
                with letters.open("a") as file:
                    file.write("x")
                os.kill(os.getpid(), signal.SIGKILL)
            return super().judge_numbered(number, indexes)

    return MortalJudge


def test_a_worker_that_dies_costs_nothing_and_one_that_always_does_is_reported(
    of_codec: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters = tmp_path / "letters"
    asked = options(tmp_path / "out", corpus=str(corpus), codec="mini", batch_size=2, actors=2)
    letters.write_text("")
    monkeypatch.setattr(module, "Judge", mortal(letters, 9))
    with pytest.raises(JobError, match="a worker died 3 times over the same clips"):
        evaluate(asked)
    assert letters.read_text() == "xxx"
    letters.write_text("")
    monkeypatch.setattr(module, "Judge", mortal(letters, 1))
    evaluate(asked)
    assert letters.read_text() == "x"
    assert rows(tmp_path / "out") == rows(of_codec)

"""Banks made from recordings: what is taken, what is refused and why, and that it is what was played."""

import csv
import re
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from typer.testing import CliRunner

from jobs.cli.commands import midi_valle_app
from jobs.errors import JobError
from jobs.prompts import cutting
from jobs.prompts import make as make_module
from jobs.prompts.cutting import Cut, Cutter
from jobs.prompts.make import Made, make_prompts
from jobs.prompts.make_options import MakeOptions
from jobs.prompts.recordings import Recording
from renderer.audio.audio_file import FloatSamples
from renderer.evaluation.optional import MissingExtraError
from renderer.midi.midi_file import read_midi
from renderer.midi.notes import Notes
from renderer.prompt import prompt_from_files
from renderer.weights.checkpoint import find_model, load_codec
from schemas.prompts import read_prompt_bank
from tests.jobs.prompts.recordings import RATE, sound, write


def make(*sources: Path, out: Path, **options: Any) -> Made:
    return make_prompts(MakeOptions(sources=[str(s) for s in sources], out=out, **options), lambda done, total: None)


def rows(bank: Path) -> list[dict[str, Any]]:
    return pq.read_table(bank).to_pylist()


def refusals(bank: Path) -> Mapping[str, str]:
    """The last reason for each recording's name."""
    with bank.with_name(f"{bank.stem}-refused.csv").open(encoding="utf-8", newline="") as file:
        return {Path(row["recording"]).stem: row["reason"] for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings with their MIDI, one in a folder of its own."""
    top = tmp_path_factory.mktemp("recordings")
    write(top / "first.wav", *sound(1))
    write(top / "2004" / "second.flac", *sound(2))
    return top


def test_a_bank_holds_what_was_played_and_a_renderer_takes_it(folder: Path, tmp_path: Path) -> None:
    bank = tmp_path / "bank.parquet"
    make(folder, out=bank, per_recording=2, licence="CC BY 4.0", source="https://example.org")
    prompts = read_prompt_bank(bank)
    assert sorted(prompts) == ["2004-second-1", "2004-second-2", "first-1", "first-2"]
    codec = load_codec(find_model("mini")).for_inference()
    for row, prompt in zip(rows(bank), prompts.values(), strict=True):
        assert (prompt.licence, prompt.source, prompt.transcriber) == ("CC BY 4.0", "https://example.org", None)
        whole, notes = sound(1 if "first" in prompt.prompt_id else 2)
        begin = round(row["start_s"] * RATE)
        samples, rate = soundfile.read(tmp_path / prompt.audio, dtype="float32")
        assert (rate, len(samples)) == (RATE, 3 * RATE)
        np.testing.assert_allclose(samples, whole[begin : begin + 3 * RATE], atol=2**-15)
        inside = (notes.onset >= row["start_s"]) & (notes.onset < row["start_s"] + 3)
        heard = read_midi(tmp_path / prompt.midi).notes
        assert heard.pitch.tolist() == notes.pitch[inside].tolist()
        np.testing.assert_allclose(heard.onset, notes.onset[inside] - row["start_s"], atol=0.003)
        assert (row["notes"], row["late_s"]) == (inside.sum(), pytest.approx(0, abs=0.03))
        assert row["peak_dbfs"] == pytest.approx(20 * np.log10(np.abs(samples).max()), abs=0.02)
        assert row["rms_dbfs"] == pytest.approx(20 * np.log10(samples.std()), abs=0.02)
        assert -64 < row["noise_dbfs"] < -52
        found = prompt_from_files(prompt.prompt_id, tmp_path / prompt.audio, tmp_path / prompt.midi, codec, "extend")
        assert len(found.notes) == inside.sum()
    assert not (tmp_path / "bank-refused.csv").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bank", "bank.parquet"]


def test_the_same_recordings_make_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        make(folder, out=tmp_path / name / "bank.parquet")
    files = [sorted(path for path in (tmp_path / name).rglob("*") if path.is_file()) for name in ("a", "b")]
    assert len(files[0]) == 5
    assert [path.read_bytes() for path in files[0]] == [path.read_bytes() for path in files[1]]


@pytest.mark.parametrize("late", [-0.75, 1.0, 6.5])
def test_a_recording_on_another_clock_is_refused_with_the_offset_or_mended(late: float, tmp_path: Path) -> None:
    samples, notes = sound(3)
    gap = np.zeros(round(abs(late) * RATE), np.float32)
    moved = np.concatenate([gap, samples]) if late > 0 else samples[len(gap) :]
    recording = write(tmp_path / "r.wav", moved, notes)
    with pytest.raises(JobError, match=rf"r\.wav: its audio is \d\.\d\d s {'late' if late > 0 else 'early'} against"):
        make(recording, out=tmp_path / "no.parquet")
    assert not (tmp_path / "no.parquet").exists()
    assert not (tmp_path / "no").exists()
    make(recording, out=tmp_path / "bank.parquet", align=True)
    (row,) = rows(tmp_path / "bank.parquet")
    assert row["late_s"] == pytest.approx(late, abs=0.03)
    clip, _ = soundfile.read(tmp_path / row["audio"], dtype="float32")
    begin = round(row["start_s"] * RATE)
    np.testing.assert_allclose(clip, moved[begin : begin + 3 * RATE], atol=2**-15)
    heard = read_midi(tmp_path / row["midi"]).notes
    shift = row["start_s"] - late
    inside = (notes.onset >= shift + 0.04) & (notes.onset < shift + 2.96)
    for onset, pitch in zip(notes.onset[inside] - shift, notes.pitch[inside], strict=True):
        assert np.abs(heard.onset[heard.pitch == pitch] - onset).min() < 0.03


def test_a_clock_that_runs_otherwise_is_refused(tmp_path: Path) -> None:
    samples, notes = sound(4, 60.0)
    slow = Notes.of(notes.onset * 1.02, notes.offset * 1.02, notes.pitch, notes.velocity)
    with pytest.raises(JobError, match=r"its clock is not its MIDI's|at no offset up to 10 s"):
        make(write(tmp_path / "r.wav", samples, slow), out=tmp_path / "bank.parquet", align=True)


def spoilt(samples: FloatSamples) -> dict[str, tuple[FloatSamples, str]]:
    return {
        "clipped": (np.clip(samples * 40, -1, 1), r"it is clipped|clipped: samples in a row"),
        "silent": (samples * np.float32(1e-3), "silent: its peak is|at no offset"),
        "offset": (samples + np.float32(0.3), "a DC offset"),
        "loud": (samples * np.float32(3.9 / np.abs(samples).max()), "beyond full scale"),
        "short": (samples[: 2 * RATE], "there are no 3 s"),
    }


def test_what_no_prompt_can_be_cut_from_is_reported_for_each_recording(tmp_path: Path) -> None:
    samples, notes = sound(5)
    for name, (content, _) in spoilt(samples).items():
        write(tmp_path / "in" / f"{name}.wav", content, notes)
    write(tmp_path / "in" / "other.wav", samples, sound(6)[1])
    write(tmp_path / "in" / "good.wav", samples, notes)
    write(tmp_path / "in" / "lone.wav", samples)
    (tmp_path / "in" / "text.wav").write_text("no audio")
    (tmp_path / "in" / "text.mid").write_bytes((tmp_path / "in" / "good.mid").read_bytes())
    write(tmp_path / "in" / "broken.wav", samples)
    (tmp_path / "in" / "broken.mid").write_text("no MIDI")
    out = tmp_path / "bank.parquet"
    arguments = ["prompts", "make", str(tmp_path / "in"), "--out", str(out), "--transcriber", "none"]
    ran = CliRunner().invoke(midi_valle_app(), arguments)
    assert ran.exit_code == 3
    assert f"1 prompts: {out}" in ran.stdout
    assert "warning: 1 of them have no licence; give --licence" in ran.stdout
    assert [row["prompt_id"] for row in rows(out)] == ["good"]
    reasons = refusals(out)
    expected = {name: reason for name, (_, reason) in spoilt(samples).items()} | {
        "other": "at no offset up to 10 s",
        "lone": "it has no MIDI of its name beside it",
        "text": "cannot be read as audio",
        "broken": r"broken\.mid",
    }
    assert sorted(reasons) == sorted(expected)
    for name, reason in expected.items():
        assert re.search(reason, reasons[name]), (name, reasons[name])


def test_where_some_is_clipped_another_place_is_taken(tmp_path: Path) -> None:
    samples, notes = sound(7)
    best = make(write(tmp_path / "a.wav", samples, notes), out=tmp_path / "a.parquet").prompts[0]["start_s"]
    bad = samples.copy()
    bad[round((best + 1) * RATE) : round((best + 1) * RATE) + 5] = 1.0
    made = make(write(tmp_path / "b.wav", bad, notes), out=tmp_path / "b.parquet")
    assert abs(made.prompts[0]["start_s"] - best) >= 2
    assert refusals(tmp_path / "b.parquet") == {"b": "some of it is clipped: samples in a row lie at full scale"}


class Ear:
    """Hears what is played in ``sound(8)``, wherever it is."""

    def transcribe(self, samples: FloatSamples, sample_rate: int) -> Notes:
        whole, notes = sound(8)
        starts = np.flatnonzero(whole[:-100] == samples[0])
        place = next(start for start in starts if np.array_equal(whole[start : start + 100], samples[:100])) / RATE
        seconds = len(samples) / sample_rate
        begins = (notes.onset >= place) & (notes.onset < place + seconds)
        return notes.selected(begins).clipped(place, place + seconds).shifted(-place)


def test_a_recording_without_midi_is_transcribed_and_the_bank_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cutting._transcriber.cache_clear()
    monkeypatch.setattr(cutting, "TRANSCRIBERS", {"transkun": Ear})
    samples, notes = sound(8)
    make(write(tmp_path / "phone.wav", samples), out=tmp_path / "bank.parquet", per_recording=2)
    cutting._transcriber.cache_clear()
    prompts = read_prompt_bank(tmp_path / "bank.parquet")
    assert [prompt.transcriber for prompt in prompts.values()] == ["transkun", "transkun"]
    for row in rows(tmp_path / "bank.parquet"):
        heard = read_midi(tmp_path / row["midi"]).notes
        inside = (notes.onset >= row["start_s"]) & (notes.onset < row["start_s"] + 3)
        assert heard.pitch.tolist() == notes.pitch[inside].tolist()
        np.testing.assert_allclose(heard.onset, notes.onset[inside] - row["start_s"], atol=0.005)


def test_without_the_transcriber_is_reported_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Ear:
        raise MissingExtraError("transcription by transkun needs the package transkun: pip install transkun")

    cutting._transcriber.cache_clear()
    monkeypatch.setattr(cutting, "TRANSCRIBERS", {"transkun": missing})
    phone = write(tmp_path / "phone.wav", sound(8)[0])
    for _ in range(2):  # What was refused does not stand in the way of the next try.
        with pytest.raises(JobError, match=r"no recording gives a prompt; .*phone\.wav: .* pip install transkun"):
            make(phone, out=tmp_path / "bank.parquet")


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_was_interrupted_goes_on_to_the_same_bytes_and_nothing_is_replaced(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    (tmp_path / "out").mkdir()
    options = MakeOptions(sources=[str(folder)], out=tmp_path / "out" / "bank.parquet")
    with pytest.raises(KeyboardInterrupt):
        make_prompts(options, interrupt)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".bank.partial"]
    with pytest.raises(JobError, match=r"\.bank\.partial holds an unfinished bank that is another one"):
        make(folder, out=options.out, per_recording=2)

    cut: list[str] = []
    whole = Cutter.__call__

    def counted(cutter: Cutter, recording: Recording) -> Cut:
        cut.append(recording.name)
        return whole(cutter, recording)

    monkeypatch.setattr(Cutter, "__call__", counted)
    make(folder, out=options.out)
    assert cut == ["first"]  # The other one, of the folder 2004, was done.
    make(folder, out=tmp_path / "undisturbed" / "bank.parquet")
    assert files_in(tmp_path / "out") == files_in(tmp_path / "undisturbed")
    with pytest.raises(JobError, match=r"bank\.parquet exists already; choose another --out, or remove it"):
        make(folder, out=options.out)


def test_processes_make_the_same_bank_in_the_same_order(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder / "third.wav", sound(3)[0])  # Without MIDI: it is refused.
    make(folder, out=tmp_path / "one" / "bank.parquet", processes=1, transcriber="none")
    monkeypatch.setattr(make_module, "IN_PARALLEL", 2)
    made = make(folder, out=tmp_path / "two" / "bank.parquet", processes=2, transcriber="none")
    (folder / "third.wav").unlink()
    assert [row["prompt_id"] for row in made.prompts] == ["2004-second", "first"] and len(made.without) == 1
    assert files_in(tmp_path / "one") == files_in(tmp_path / "two")


def test_a_long_recording_is_read_in_parts(tmp_path: Path) -> None:
    samples, notes = sound(9)
    many = 20
    write(tmp_path / "long.wav", np.tile(samples, many))
    seconds = len(samples) / RATE
    whole = Notes.joined(*(notes.shifted(k * seconds) for k in range(many)))
    write(tmp_path / "short.wav", samples, whole)
    (tmp_path / "short.mid").rename(tmp_path / "long.mid")
    tracemalloc.start()
    made = make(tmp_path / "long.wav", out=tmp_path / "bank.parquet")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(made.prompts) == 1
    assert peak < 30e6 < samples.nbytes * many  # 8 min of audio are 42 MB.


@pytest.mark.parametrize("change", [{"out": Path("bank.csv")}, {"per_recording": 0}, {"transcriber": "ear"}])
def test_options_that_make_no_sense_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(JobError, match=r"--(out|per-recording|transcriber) is"):
        options: dict[str, Any] = {"sources": ["x"], "out": Path("bank.parquet")} | change
        MakeOptions(**options)


def test_a_table_as_maestro_s_names_recordings_and_their_midi(folder: Path, tmp_path: Path) -> None:
    table = {
        "canonical_composer": ["A, B", "C"],
        "midi_filename": ["first.mid", "2004/second.mid"],
        "audio_filename": ["first.wav", "2004/second.flac"],
    }
    with (folder / "maestro.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(table)
        writer.writerows(zip(*table.values(), strict=True))
    make(folder / "maestro.csv", out=tmp_path / "bank.parquet", licence="CC BY-NC-SA 4.0")
    assert [row["prompt_id"] for row in rows(tmp_path / "bank.parquet")] == ["first", "2004-second"]
    own = pa.table({"audio": ["first.wav"], "midi": ["first.mid"], "licence": ["own"], "source": ["attic"]})
    pq.write_table(own, folder / "own.parquet")
    make(folder / "own.parquet", out=tmp_path / "own.parquet", licence="other")
    assert [(row["licence"], row["source"]) for row in rows(tmp_path / "own.parquet")] == [("own", "attic")]

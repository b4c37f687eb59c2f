"""Which items a report lets people hear, what of them, and the recordings behind their prompts."""

import base64
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from jobs.errors import InputError
from jobs.inputs.inputs import Inputs
from jobs.inspect.clip import CLIP_SECONDS, Clip, item_clip, prompt_clip
from jobs.inspect.heard_items import RANDOM_ITEMS, WORST_ITEMS, choose_items
from jobs.inspect.item_rows import ITEM_SCHEMA
from jobs.inspect.prompt_recordings import PromptRecordings
from renderer.audio.audio_file import FloatSamples, resample, write_audio
from renderer.errors import AudioError
from renderer.midi.notes import Notes
from renderer.weights.checkpoint import BUNDLED
from tests.jobs.support.corpus import make_corpus
from tests.jobs.support.rendered import render_run
from tests.renderer.tones import melody, played

RATE = 32000


def rows(*items: dict[str, Any]) -> pa.Table:
    """Rows of rendered items, in the order in which they are given."""
    common = {"status": "ok", "verdict": "good", "faults": [], "quality_score": 0.9}
    full = [
        dict.fromkeys(ITEM_SCHEMA.names) | common | {"item_id": str(row), "audio_path": str(row), "row": row} | item
        for row, item in enumerate(items)
    ]
    return pa.Table.from_pylist(full, ITEM_SCHEMA)


def file(samples: FloatSamples, rate: int = RATE) -> io.BytesIO:
    content = io.BytesIO()
    write_audio(content, samples, rate, "wav")
    content.seek(0)
    return content


def heard(clip: Clip) -> FloatSamples:
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(clip.audio.partition(",")[2])), dtype="float32")
    assert rate == 24000
    return np.asarray(samples)


def test_the_worst_have_most_faults_and_then_play_worst_and_others_are_drawn_by_the_seed() -> None:
    bad: dict[str, Any] = {"verdict": "poor", "faults": ["notes_found"], "quality_score": 0.2}
    items = rows(*[{}] * 50, bad, bad | {"quality_score": 0.1}, bad | {"faults": ["clipped", "level"]})
    worst, sample = choose_items(items, 7)
    assert [row["row"] for row in worst[:3]] == [52, 51, 50] and len(worst) == WORST_ITEMS
    assert len(sample) == RANDOM_ITEMS and not {row["row"] for row in worst} & {row["row"] for row in sample}
    assert [row["row"] for row in sample] == sorted(row["row"] for row in sample)
    assert choose_items(items, 7) == (worst, sample) and choose_items(items, 8)[1] != sample


def test_what_failed_or_has_no_audio_is_not_chosen_and_what_was_not_judged_is_not_the_worst() -> None:
    failed = {"status": "failed", "verdict": None, "faults": None, "audio_path": None}
    worst, sample = choose_items(rows(failed, {"verdict": None, "faults": None}, {"audio_path": None}), 0)
    assert worst == [] and [row["row"] for row in sample] == [1]
    assert choose_items(ITEM_SCHEMA.empty_table(), 0) == ([], [])


def test_of_a_long_item_the_first_notes_are_heard_and_of_a_poor_one_those_that_are_heard_worst() -> None:
    notes = melody(0, 90.0).shifted(5.0)
    samples = played(notes, 100.0)
    samples[70 * RATE : 75 * RATE] = 0
    good, poor = item_clip(file(samples), notes, False), item_clip(file(samples), notes, True)
    assert good.start == pytest.approx(float(notes.onset[0]) - 0.5) and good.seconds == CLIP_SECONDS
    assert poor.start < 74 and poor.start + poor.seconds > 71  # Where nothing is heard.
    begin = round(poor.start * RATE)
    expected = resample(samples[begin : begin + round(CLIP_SECONDS * RATE)], RATE, 24000)
    assert len(heard(poor)) == len(expected)
    assert np.corrcoef(heard(poor), expected)[0, 1] > 0.95  # What is drawn and heard begins at one moment.
    sounding = ((notes.offset > poor.start) & (notes.onset < poor.start + CLIP_SECONDS)).sum()
    assert poor.picture.count('class="note"') == sounding


def test_a_short_item_is_heard_whole_and_a_prompt_for_three_seconds_at_any_rate() -> None:
    notes = melody(1, 4.0)
    whole = item_clip(file(played(notes, 4.0)), notes, True)
    assert (whole.start, whole.seconds) == (0.0, 4.0)
    prompt = prompt_clip(file(played(notes, 4.0, 44100), 44100), notes)
    assert prompt.seconds == 3.0 and abs(len(heard(prompt)) - 3 * 24000) <= 1


@pytest.mark.parametrize("content", [b"", b"no audio", b"RIFF"])
def test_what_is_no_audio_is_reported(content: bytes) -> None:
    with pytest.raises(AudioError, match="cannot be read as audio"):
        item_clip(io.BytesIO(content), Notes.none(), False)


def test_prompts_are_found_beside_the_manifest_in_the_bank_and_in_the_model(tmp_path: Path, out: Path) -> None:
    run = render_run(make_corpus(tmp_path, ["a"]), out).begun()
    row = dict.fromkeys(ITEM_SCHEMA.names)
    bank = pa.table({"prompt_id": ["mine"], "audio": ["mine.wav"], "midi": ["mine.mid"]})
    pq.write_table(bank, tmp_path / "bank.parquet")
    run = replace(run, prompts_path=str(tmp_path / "bank.parquet"))
    prompts = PromptRecordings(run, Inputs())
    beside = prompts.files(row | {"prompt_audio": "x.wav", "prompt_midi": "x.mid"})
    assert beside == (tmp_path / "x.wav", tmp_path / "x.mid")
    assert prompts.files(row | {"prompt": "mine"}) == (tmp_path / "mine.wav", tmp_path / "mine.mid")
    with pytest.raises(InputError, match="report --model"):
        prompts.files(row | {"prompt": "plain"})

    folder = BUNDLED / "mini/prompts"
    hall = folder / "salamander-hall.wav", folder / "salamander-hall.mid"
    asked = row | {"prompt": "salamander-hall"}
    assert PromptRecordings(replace(run, model_id="mini"), Inputs()).files(asked) == hall
    with pytest.raises(InputError):  # Another model's, whatever it is called.
        PromptRecordings(run, Inputs(), str(BUNDLED / "mini")).files(asked)
    with pytest.raises(InputError):
        PromptRecordings(replace(run, model_id="mini"), Inputs()).files(row | {"prompt": "../../config"})


def test_the_prompts_of_a_model_of_one_s_own_are_found_in_its_folder(tmp_path: Path, out: Path) -> None:
    run = replace(render_run(make_corpus(tmp_path, ["a"]), out).begun(), model_id="mine")
    folder = tmp_path / "model"
    folder.mkdir()
    for path in (BUNDLED / "mini").iterdir():
        (folder / path.name).symlink_to(path)
    config = json.loads((BUNDLED / "mini/config.json").read_text())
    (folder / "config.json").unlink()
    (folder / "config.json").write_text(json.dumps(config | {"name": "mine"}))
    asked = dict.fromkeys(ITEM_SCHEMA.names) | {"prompt": "salamander-hall"}
    found = PromptRecordings(run, Inputs(), str(folder)).files(asked)
    assert found == (folder / "prompts/salamander-hall.wav", folder / "prompts/salamander-hall.mid")
    with pytest.raises(InputError, match="report --model"):
        PromptRecordings(run, Inputs()).files(asked)


def test_a_report_reads_no_prompt_that_its_run_could_not_read(tmp_path: Path, out: Path) -> None:
    (tmp_path / "corpus").mkdir()
    run = render_run(make_corpus(tmp_path / "corpus", ["a"]), out).begun()
    row = dict.fromkeys(ITEM_SCHEMA.names) | {"prompt_audio": "../secret.wav", "prompt_midi": "../secret.mid"}
    with pytest.raises(InputError, match="--allow-root"):
        PromptRecordings(run, Inputs()).files(row)
    assert PromptRecordings(run, Inputs((str(tmp_path),))).files(row)[0].name == "secret.wav"

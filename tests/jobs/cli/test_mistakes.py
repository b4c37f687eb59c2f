"""A hundred mistakes at the command line: what each of them prints, and that nothing is written."""

import shlex
from collections.abc import Mapping
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
import typer
from typer.testing import CliRunner

from jobs.cli.commands import midi_valle_app
from jobs.cli.render import render_app
from tests.jobs.support.corpus import make_corpus

MISTAKES = [
    ("render-corpus", "Missing argument 'manifest'."),
    ("render-corpus nowhere.parquet", "nowhere.parquet: there is no such file"),
    ("render-corpus text.txt", "text.txt: cannot be read as Parquet"),
    ("render-corpus empty.csv", "empty.csv: cannot be read as CSV: Empty CSV file"),
    (
        "render-corpus midi",
        "midi/*: there are no files that can be a manifest (.parquet, .csv, .csv.gz, .jsonl, ",
    ),
    (
        "render-corpus m.parquet --model nowhere",
        "no model 'nowhere': give mini, midi-valle, or the path of a model directory",
    ),
    ("render-corpus m.parquet --model midi", "midi is not a model directory: it has no config.json"),
    (
        "render-corpus m.parquet --model midi-valle --model-file nowhere.pt",
        "--codec-file is missing: the language model and the codec must be given together.",
    ),
    (
        "render-corpus m.parquet --model-file text.txt",
        "model_file and codec_file go with --model midi-valle, not with 'mini'",
    ),
    ("render-corpus m.parquet --prompts nowhere.parquet", "nowhere.parquet: there is no such file"),
    ("render-corpus m.parquet --prompts text.txt", "text.txt: cannot be read as Parquet"),
    (
        "render-corpus m.parquet",
        "m.parquet: column 'prompt': names no known prompt (known: salamander-close, salamander-hall, ",
    ),
    ("render-corpus good.parquet --limit 0", "--limit is 0; it must be 1 or more"),
    (
        "render-corpus good.parquet --limit x",
        "Invalid value for '--limit': Input should be a valid integer, unable to parse string as an integer",
    ),
    (
        "render-corpus good.parquet --layout zip",
        "--layout is 'zip'; it must be one of files, webdataset, parquet, codes, none",
    ),
    (
        "render-corpus good.parquet --format aac",
        "audio format 'aac' is unknown; use one of flac, flac24, wav, wav24, wav-float, ogg, opus, mp3",
    ),
    ("render-corpus good.parquet --sample-rate 1", "sample rate is 1 Hz; it must be 8000 to 192000"),
    (
        "render-corpus good.parquet --format opus --sample-rate 44100",
        "audio format 'opus' cannot hold 44100 Hz: it knows 8000, 12000, 16000, 24000, 48000",
    ),
    ("render-corpus good.parquet --loudness loud", "--loudness is 'loud'; it must be a number of decibels, or off"),
    ("render-corpus good.parquet --loudness 3", "loudness is 3; it must be -60 to 0 dB, or off"),
    ("render-corpus good.parquet --peak 1", "peak is 1; it must be -60 to 0 dB, or off"),
    ("render-corpus good.parquet --tail -1", "--tail is -1.0; it must be 0 to 60 seconds"),
    ("render-corpus good.parquet --pedal half", "--pedal is 'half'; it must be one of model, ignore, extend"),
    ("render-corpus good.parquet --pedal-channels 1", "--pedal-channels is '1'; it must be one of any, each"),
    ("render-corpus good.parquet --temperature -1", "temperature is -1.0; it must be 0 (greedy) or more"),
    ("render-corpus good.parquet --temperature nan", "temperature is nan; it must be 0 (greedy) or more"),
    ("render-corpus good.parquet --top-k -1", "top_k is -1; it must be 0 (off) or more"),
    ("render-corpus good.parquet --top-p 2", "top_p is 2.0; it must be above 0 and at most 1 (off)"),
    ("render-corpus good.parquet --seed 99999999999999999999", "--seed is 99999999999999999999; it must fit 64 bits"),
    ("render-corpus good.parquet --attempts 0", "--attempts is 0; it must be 1 or more"),
    (
        "render-corpus good.parquet --attempts 2 --temperature 0",
        "--attempts 2 does not go with --temperature 0: all attempts would be alike",
    ),
    (
        "render-corpus good.parquet --quality-threshold loud=1",
        "--quality-threshold loud=1: there is no 'loud'; there are length_error, clipped, ",
    ),
    (
        "render-corpus good.parquet --quality-threshold notes_found",
        "--quality-threshold notes_found: '' is no number; write NAME=VALUE",
    ),
    (
        "render-corpus good.parquet --quality-threshold notes_found=2",
        "--quality-threshold: notes_found is 2.0; it is a share, 0 to 1",
    ),
    ("render-corpus good.parquet --gpus -1", "--gpus is -1; it must be 0 (none) or more"),
    ("render-corpus good.parquet --gpus 1 --device cpu", "--gpus 1 does not go with --device cpu"),
    ("render-corpus good.parquet --device tpu", "--device is 'tpu'; it must be one of auto, cpu, cuda"),
    ("render-corpus good.parquet --device cuda", "--device cuda: this machine has no GPU that torch can use"),
    ("render-corpus good.parquet --precision int8", "precision 'int8' is unknown; use one of auto, fp32, bf16, fp16"),
    ("render-corpus good.parquet --batch-size 0", "--batch-size is 0; it must be 1 or more"),
    ("render-corpus good.parquet --shard-items 0", "--shard-items is 0; it must be 1 or more"),
    ("render-corpus good.parquet --actors 0", "--actors is 0; it must be 1 or more"),
    ("render-corpus good.parquet --cpus-per-actor 0", "--cpus-per-actor is 0; it must be 1 or more"),
    (
        "render-corpus good.parquet --ray-address auto",
        "--ray-address needs --gpus, or --actors with --device cpu: how many the cluster is to give",
    ),
    ("render-corpus good.parquet --item-timeout 0", "--item-timeout is 0; it must be more than 0 seconds"),
    ("render-corpus good.parquet --storage-patience -1", "the storage is waited for -1 s; it must be 0 or more"),
    ("render-corpus good.parquet --max-failures 0", "--max-failures is 0; it must be 1 or more"),
    (
        "render-corpus good.parquet --overwrite --extend",
        "--overwrite deletes the run that --extend or --retry-failed would go on with",
    ),
    (
        "render-corpus good.parquet --retry-failed --overwrite",
        "--overwrite deletes the run that --extend or --retry-failed would go on with",
    ),
    ("render-corpus good.parquet --id-separator /", "--id-separator is '/', which cannot be part of a file name"),
    (
        "render-corpus good.parquet --id-separator _ --layout parquet",
        "--id-separator does not go with --layout parquet, which takes a / as it is",
    ),
    ("render-corpus good.parquet --allow-root nowhere", "--allow-root nowhere: there is no such folder"),
    (
        "render-corpus good.parquet --s3-addressing diagonal",
        "S3 addressing is 'diagonal'; it must be one of path, virtual, auto",
    ),
    (
        "render-corpus good.parquet --s3-encryption rot13",
        "S3 encryption is 'rot13'; it must be AES256, aws:kms or aws:kms:KEY",
    ),
    (
        "render-corpus good.parquet --s3-endpoint-url not-a-url --out s3://b/p",
        "not-a-url: not an S3 endpoint URL; it must begin with http:// or https://",
    ),
    (
        "render-corpus good.parquet --save-codes --layout none",
        "--save-codes does not go with --layout none, which keeps nothing but the result rows",
    ),
    ("render-corpus good.parquet --gpu-price -1", "--gpu-price is -1.0; it must be 0 or more dollars an hour"),
    (
        "render-corpus good.parquet --colour blue",
        "No such option: --colour (Possible options: --actors, --layout, --out)",
    ),
    ("render-corpus good.parquet other.parquet", "Got unexpected extra argument(s) (other.parquet)"),
    ("midi-valle play", "No such command 'play'."),
    ("midi-valle status", "Missing argument 'out'."),
    ("midi-valle status nowhere", "nowhere: no run has begun here"),
    ("midi-valle status midi", "midi holds 'b.mid' but no run.json"),
    ("midi-valle status s3://", "s3://: names no bucket; it must be s3://bucket/prefix"),
    ("midi-valle report nowhere", "nowhere: no run has begun here"),
    ("midi-valle verify nowhere", "nowhere: no run has begun here"),
    ("midi-valle verify midi", "midi holds 'b.mid' but no run.json"),
    ("midi-valle verify text.txt", "text.txt is a file; the output must be a folder"),
    ("midi-valle gc nowhere", "nowhere: no run has begun here"),
    ("midi-valle gc midi", "midi holds 'b.mid' but no run.json"),
    (
        "midi-valle gc midi --older-than -1",
        "Invalid value for '--older-than': Input should be greater than or equal to 0",
    ),
    ("midi-valle models download --to text.txt", "No such option: --to"),
    ("midi-valle models import", "Missing option '--out'."),
    ("midi-valle models assemble", "Missing option '--out'."),
    ("midi-valle models list extra", "Got unexpected extra argument(s) (extra)"),
    (
        "midi-valle prompts list --model nowhere",
        "no model 'nowhere': give mini, midi-valle, or the path of a model directory",
    ),
    ("midi-valle manifest build", "Missing argument 'sources'."),
    (
        "midi-valle manifest build nowhere --prompt x --out o.parquet",
        "nowhere: there is no such folder, .mid or .midi file or table",
    ),
    ("midi-valle manifest build empty --prompt x --out o.parquet", "empty holds no .mid or .midi files"),
    (
        "midi-valle manifest build midi --out o.parquet",
        "give --prompt ID (midi-valle prompts list shows them), --prompts BANK or --prompt-column NAME",
    ),
    ("midi-valle bench --size huge", "--size is 'huge'; it must be one of mini, published"),
    ("midi-valle bench --batch 0", "--batch is (0,); every batch holds at least 1 segment"),
    ("midi-valle bench --precision int3", "precision 'int3' is unknown; use one of auto, fp32, bf16, fp16"),
    ("midi-valle prepare", "Missing argument 'sources'."),
    (
        "midi-valle prepare nowhere --out c",
        "nowhere: neither a folder, nor a .txt list of MIDI files, nor a .parquet table",
    ),
    (
        "midi-valle prepare midi --piano x=nowhere --out c",
        "2 pieces are too few for training, validation and test; give --validation 0 --test 0",
    ),
    ("midi-valle prepare midi --out c", "MIDI files need at least one --piano NAME=PATH to be played on"),
    ("midi-valle pack", "Missing argument 'corpus'."),
    ("midi-valle pack nowhere --out p", "nowhere: no run has begun here"),
    ("midi-valle train midi --size huge", "--size is 'huge'; it must be one of mini, published"),
    ("midi-valle train-codec nowhere", "nowhere: no run has begun here"),
    ("midi-valle train-codec midi --steps 0", "--steps is 0; it must be 1 or more"),
    ("midi-valle evaluate", "Missing option '--out'."),
    (
        "midi-valle evaluate --out e",
        "give --corpus, to evaluate a model on it, or --run, to evaluate what a run rendered",
    ),
    (
        "midi-valle evaluate --out e --run r --corpus c",
        "give --corpus, to evaluate a model on it, or --run, to evaluate what a run rendered",
    ),
    ("midi-valle evaluate --out e --run nowhere", "nowhere: no run has begun here"),
    ("midi-valle evaluate --out e --corpus nowhere --model mini", "nowhere: no run has begun here"),
    (
        "midi-valle evaluate --out e --corpus midi --model mini --protocol both",
        "--protocol is 'both'; it must be one of self, cross",
    ),
    (
        "midi-valle evaluate --out e --corpus midi --codec mini --transcriber ears",
        "--transcriber is 'ears'; it must be one of transkun, basic-pitch",
    ),
    ("render-corpus good.parquet --out text.txt", "text.txt is a file; the output must be a folder"),
    ("render-corpus good.parquet --out s3://", "s3://: names no bucket; it must be s3://bucket/prefix"),
    ("midi-valle train nowhere --codec mini", "nowhere: no run has begun here"),
    ("midi-valle train text.txt --codec mini", "text.txt cannot be read as a pack"),
    ("midi-valle train midi --codec mini", "midi holds 'b.mid' but no run.json"),
    ("midi-valle train midi", "give --codec, the model directory whose codec made the corpus's codes, or --init"),
    (
        "midi-valle train midi --codec nowhere",
        "no model 'nowhere': give mini, midi-valle, or the path of a model directory",
    ),
    ("midi-valle train midi --init mini --d-model 100", "--d-model does not go with --init, whose size it is"),
    ("midi-valle pack midi --out p", "midi holds 'b.mid' but no run.json"),
    ("midi-valle bench --batch x", "--batch is 'x'; give whole numbers with commas between them, as 1,4,16,64"),
    ("midi-valle prompts list --model midi", "midi is not a model directory: it has no config.json"),
]
"""What is typed beside a manifest ``good.parquet``, one whose prompts are unknown, and files that are no such thing."""


@pytest.fixture(scope="module")
def apps() -> Mapping[str, typer.Typer]:
    return {"render-corpus": render_app, "midi-valle": midi_valle_app()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("typed")
    make_corpus(folder, ["a", "b"]).rename(folder / "m.parquet")
    table = pq.read_table(folder / "m.parquet")
    place = table.schema.get_field_index("prompt")
    pq.write_table(table.set_column(place, "prompt", [["salamander-hall"] * 2]), folder / "good.parquet")
    (folder / "text.txt").write_text("hello")
    (folder / "empty.csv").write_text("")
    (folder / "empty").mkdir()
    return folder


@pytest.mark.parametrize(("typed", "expected"), MISTAKES, ids=[typed for typed, _ in MISTAKES])
def test_a_mistake_is_reported_and_nothing_is_written(
    typed: str, expected: str, apps: Mapping[str, typer.Typer], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "--device cuda" in typed and torch.cuda.is_available():
        pytest.skip("no mistake where there is a GPU")
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob("*"))
    command, *arguments = shlex.split(typed)
    ended = CliRunner().invoke(apps[command], arguments, prog_name=command, env={"COLUMNS": "200"})
    assert ended.exit_code in (1, 2) and isinstance(ended.exception, SystemExit)
    assert expected in " ".join(ended.output.replace("│", " ").replace(f"{folder}/", "").split())
    assert sorted(folder.rglob("*")) == before


def test_they_are_a_hundred() -> None:
    assert len({typed for typed, _ in MISTAKES}) >= 100

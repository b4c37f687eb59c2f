"""The options for S3 are the same for every command, and all of them arrive."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from jobs.cli.commands import midi_valle_app
from jobs.cli.render import render_app
from jobs.corpora.prepare import planned
from jobs.corpora.prepare_options import PrepareOptions
from jobs.evaluation.evaluation_options import EvaluationOptions
from jobs.inspect.options import InspectOptions
from jobs.option import flag
from jobs.storage import Patience, S3Access
from jobs.storage.s3_options import S3Options
from jobs.training.train_codec_options import TrainCodecOptions
from jobs.training.train_options import TrainOptions
from tests.jobs.support.corpus import make_corpus
from tests.jobs.support.memory_s3 import running_memory_s3
from tests.jobs.support.prepared import write_recorded
from tests.jobs.support.rendered import render_run

GIVEN: dict[str, Any] = {
    "s3_endpoint_url": "http://host:1",
    "s3_addressing": "virtual",
    "s3_requester_pays": True,
    "s3_encryption": "aws:kms",
    "storage_patience": 7.0,
}
ACCESS = S3Access("http://host:1", "virtual", True, "aws:kms", Patience(seconds=7.0))
COMMANDS = ["status", "report", "verify", "gc", "prepare", "pack", "train", "train-codec", "evaluate"]


@pytest.mark.parametrize("name", ["render-corpus", *COMMANDS])
def test_every_command_has_all_of_them(name: str) -> None:
    command = typer.main.get_command(render_app if name == "render-corpus" else midi_valle_app())
    if name != "render-corpus":
        command = vars(command)["commands"][name]
    given = {option for parameter in command.params for option in parameter.opts}
    assert {flag(field.name) for field in fields(S3Options)} <= given


@pytest.mark.parametrize(
    "options",
    [
        InspectOptions(out="x", **GIVEN),
        TrainOptions(corpus="x", init="mini", **GIVEN),
        TrainCodecOptions(corpus="x", **GIVEN),
        EvaluationOptions(out="x", corpus="y", codec="mini", **GIVEN),
    ],
    ids=lambda options: type(options).__name__,
)
def test_they_say_how_a_server_is_reached(options: S3Options) -> None:
    assert options.s3 == ACCESS


def test_they_do_not_change_a_trainings_course() -> None:
    assert TrainOptions(corpus="x", init="mini", **GIVEN).course == TrainOptions(corpus="x", init="mini").course


def test_a_corpus_is_prepared_with_them(tmp_path: Path) -> None:
    sources = [str(write_recorded(tmp_path))]
    options = PrepareOptions(sources=sources, out=str(tmp_path / "out"), **GIVEN)
    assert planned(options)[0].s3 == ACCESS


def test_a_report_is_written_where_encryption_is_demanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    render_run(make_corpus(tmp_path, ["a", "b"]), out)
    with running_memory_s3(demanded_of_writes={"x-amz-server-side-encryption": "AES256"}) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.endpoint)
        for path in out.rglob("*"):
            if path.is_file():
                server.objects[f"corpus/out/{path.relative_to(out).as_posix()}"] = path.read_bytes()
        refused = CliRunner().invoke(midi_valle_app(), ["report", "s3://corpus/out"])
        assert refused.exit_code == 1 and "--s3-encryption" in refused.output
        ended = CliRunner().invoke(midi_valle_app(), ["report", "s3://corpus/out", "--s3-encryption", "AES256"])
        assert ended.exit_code == 0 and "corpus/out/report.html" in server.objects

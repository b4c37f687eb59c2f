"""A run ends as it does, whatever becomes of its report."""

import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from jobs.run.options import RenderOptions
from jobs.run.render import render_corpus
from renderer.weights.checkpoint import BUNDLED
from tests.jobs.support.corpus import make_corpus
from tests.jobs.support.dummy import DummyBackend

pytestmark = pytest.mark.usefixtures("ray_session")


@pytest.mark.parametrize("fault", [RuntimeError("no such colour"), KeyboardInterrupt()])
def test_a_report_that_cannot_be_made_changes_no_exit_code(
    tmp_path: Path,
    out: Path,
    fault: BaseException,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*arguments: object) -> str:
        raise fault

    monkeypatch.setattr("jobs.run.render.write_report", fail)
    manifest = make_corpus(tmp_path, ["a", "raises-1"])
    options = RenderOptions(manifest=str(manifest), out=str(out), actors=1, device="cpu")
    assert render_corpus(options, DummyBackend()) == 3
    output = capsys.readouterr().err
    assert f"warning: no report was written: {str(fault) or type(fault).__name__}; midi-valle report {out}" in output


def test_a_report_is_made_at_the_end_and_its_prompts_are_those_of_the_run_s_own_folders(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    for end in ("wav", "mid"):
        shutil.copy(BUNDLED / f"mini/prompts/salamander-hall.{end}", tmp_path / f"mine/hall.{end}")
    manifest = make_corpus(
        tmp_path / "corpus",
        ["a"],
        prompt=pa.array([None], pa.string()),
        **{f"prompt_{kind}": [str(tmp_path / f"mine/hall.{end}")] for kind, end in (("audio", "wav"), ("midi", "mid"))},
    )
    options = RenderOptions(
        manifest=str(manifest), out=str(out), actors=1, device="cpu", allow_root=[str(tmp_path / "mine")]
    )
    assert render_corpus(options, DummyBackend()) == 0
    assert f"report: {out}/report.html" in capsys.readouterr().err
    assert (out / "report.html").read_text().count("<audio") == 2

"""Whole runs with manifest, MIDI and output on a real S3 server, on good days and bad ones."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from jobs.cli.commands import midi_valle_app
from jobs.errors import JobError
from jobs.inputs.inputs import Inputs
from jobs.inspect.verify import find_problems
from jobs.run.options import RenderOptions
from jobs.run.render import render_corpus
from jobs.run_directory.run_directory import RunDirectory
from jobs.storage import open_storage
from jobs.storage.s3_storage import S3Storage
from tests.jobs.support.corpus import make_corpus
from tests.jobs.support.dummy import DummyBackend
from tests.jobs.support.fault_proxy import FAULTS, running_proxy
from tests.jobs.support.memory_s3 import running_memory_s3
from tests.jobs.support.rendered import held, render_run
from tests.jobs.support.s3_server import BUCKET, SECRET_KEY, S3Server

ROOT = Path(__file__).parents[3]
IDS = [f"item-{i:03d}" for i in range(200)]


def uploaded(corpus: Path, uri: str) -> str:
    """The corpus on S3; returns where its manifest is."""
    storage = S3Storage.at(uri)
    for path in corpus.rglob("*"):
        if path.is_file():
            storage.write(path.relative_to(corpus).as_posix(), path.read_bytes())
    return f"{uri}/manifest.parquet"


def run(manifest: str | Path, out: str, seconds_per_item: float = 0.0, **options: Any) -> int:
    chosen: dict[str, Any] = {"actors": 2, "device": "cpu", **options}
    return render_corpus(RenderOptions(manifest=str(manifest), out=out, **chosen), DummyBackend(seconds_per_item))


def rendered(out: str) -> dict[str, bytes]:
    """Every item's audio, notes and identity, as the markers tell; AssertionError if anything is there twice."""
    directory = RunDirectory(open_storage(out))
    found: dict[str, bytes] = {}
    for marker in directory.markers():
        for row in directory.result_rows(marker).to_pylist():
            assert row["item_id"] not in found and row["status"] == "ok", row["error_message"]
            audio, midi = directory.storage.read(row["audio_path"]), directory.storage.read(row["midi_path"])
            found[row["item_id"]] = audio + midi + repr((row["seed"], row["notes"])).encode()
    return found


@pytest.mark.usefixtures("ray_session")
def test_a_run_through_a_storage_of_which_every_20th_request_fails_comes_out_like_an_undisturbed_one(
    s3: S3Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    local = make_corpus(tmp_path / "corpus", IDS)
    manifest, out = uploaded(local.parent, s3.uri("corpus")), s3.uri("out")
    with running_proxy(s3.endpoint, rate=0.05, seed=7) as proxy:
        assert run(manifest, out, shard_items=8, s3_endpoint_url=proxy.endpoint) == 0
    assert f"200 of 200 items rendered, 5.3 min of audio: {out}/audio" in capsys.readouterr().out
    assert sum(proxy.injected.values()) > 20 and set(proxy.injected) == set(FAULTS)

    render_run(local, tmp_path / "undisturbed", shard_items=200)
    found = rendered(out)
    assert list(found) == IDS
    assert found == rendered(str(tmp_path / "undisturbed"))
    assert len(list(S3Storage.at(out).keys("_state/done"))) == 25
    assert sorted(S3Storage.at(out).keys("audio")) == [f"audio/{item_id}.flac" for item_id in IDS]


@pytest.mark.usefixtures("ray_session")
def test_a_server_that_is_killed_and_started_again_loses_nothing(s3: S3Server, tmp_path: Path) -> None:
    ids = IDS[:24]
    local = make_corpus(tmp_path / "corpus", ids)
    manifest, out = uploaded(local.parent, s3.uri("corpus")), s3.uri("out")

    def restart() -> None:
        while not list(S3Storage.at(out).keys("_state/done")):
            time.sleep(0.05)
        for _ in range(2):
            s3.kill()
            time.sleep(0.5)
            s3.start()

    outages = threading.Thread(target=restart, daemon=True)
    outages.start()
    assert run(manifest, out, 0.3, shard_items=2, layout="webdataset") == 0
    outages.join()
    assert list(find_problems(RunDirectory(open_storage(out)), Inputs())) == []
    render_run(local, tmp_path / "undisturbed", layout="webdataset")
    assert held(out) == held(str(tmp_path / "undisturbed"))


@pytest.mark.usefixtures("ray_session")
def test_an_outage_at_any_moment_is_waited_for_and_reported_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.storage.news.SECONDS_TO_TELL", 0.5)
    monkeypatch.setattr("jobs.run_directory.lease.HEARTBEAT_SECONDS", 0.5)
    ids = IDS[:12]
    local = make_corpus(tmp_path / "corpus", ids)
    with running_memory_s3() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.endpoint)
        out = "s3://corpus/out"
        markers = f"{out.removeprefix('s3://')}/_state/done/"

        def go_down_as_shards_end() -> None:
            for finished in (1, 3):
                while sum(name.startswith(markers) for name in list(server.objects)) < finished:
                    time.sleep(0.02)
                server.go_down(2.0).join()

        outages = threading.Thread(target=go_down_as_shards_end, daemon=True)
        outages.start()
        server.go_down(1.0)
        assert run(local, out, 0.3, shard_items=2) == 0
        outages.join()
        printed = capsys.readouterr().err
        assert (
            f"{out} does not answer: trying for up to 5.0 min" in printed and f"{out} answers again, after" in printed
        )
        render_run(local, tmp_path / "undisturbed", shard_items=2)
        assert rendered(out) == rendered(str(tmp_path / "undisturbed"))
        assert len([name for name in server.objects if name.startswith(markers)]) == 6

        app = CliRunner()
        for arguments in (["status", out], ["verify", out], ["report", out], ["gc", out]):
            server.go_down(1.0)
            ended = app.invoke(midi_valle_app(), arguments)
            assert ended.exit_code == 0, ended.output
        server.go_down(1.0)
        assert run(local, out, shard_items=2) == 0


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("layout", ["webdataset", "parquet"])
def test_failed_items_are_rendered_again_into_archives_of_their_own(s3: S3Server, tmp_path: Path, layout: str) -> None:
    ids = ["a", "unreadable-1", "b", "c", "raises-1", "d"]
    local = make_corpus(tmp_path / "corpus", ids)
    corpus, out = s3.uri("corpus"), s3.uri("out")
    manifest = uploaded(local.parent, corpus)
    directory = RunDirectory(open_storage(out))
    assert run(manifest, out, shard_items=2, layout=layout) == 3
    first = {stored.key: stored.sha256 for marker in directory.markers() for stored in marker.objects}
    S3Storage.at(corpus).write("midi/unreadable-1.mid", (tmp_path / "corpus/midi/a.mid").read_bytes())
    assert run(manifest, out, shard_items=2, layout=layout, retry_failed=True) == 3
    rows = [row for table in directory.results() for row in table.to_pylist()]
    assert [row["item_id"] for row in rows] == ids
    assert [row["item_id"] for row in rows if row["status"] == "failed"] == ["raises-1"]
    assert [(marker.shard, marker.generation, len(marker.objects)) for marker in directory.markers()] == [
        (0, 1, 2),
        (1, 0, 1),
        (2, 1, 1),
    ]
    assert rows[0]["audio_path"].partition("#")[0] != rows[1]["audio_path"].partition("#")[0]
    kept = {stored.key: stored.sha256 for marker in directory.markers() for stored in marker.objects}
    assert len(first) == 3 and first.items() <= kept.items()
    assert list(find_problems(directory, Inputs())) == []


def test_a_server_that_does_not_know_create_only_writes_is_refused(tmp_path: Path) -> None:
    local = make_corpus(tmp_path / "corpus", ["a"])
    with running_memory_s3(overwrites=True) as server:
        with pytest.raises(JobError, match=r"s3://corpus/out: this storage replaces objects .*If-None-Match"):
            run(local, "s3://corpus/out", s3_endpoint_url=server.endpoint)
        assert server.objects == {}


@pytest.mark.usefixtures("ray_session")
def test_a_manifest_that_is_replaced_under_a_run_stops_it(
    s3: S3Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, out = s3.uri("corpus"), s3.uri("out")
    manifest = uploaded(make_corpus(tmp_path / "corpus", IDS[:4]).parent, corpus)

    def begin(directory: RunDirectory, started: Any, begin: Any = RunDirectory.start) -> None:
        begin(directory, started)
        S3Storage.at(corpus).write("manifest.parquet", make_corpus(tmp_path / "other", IDS[4:8]).read_bytes())

    monkeypatch.setattr(RunDirectory, "start", begin)
    assert run(manifest, out, shard_items=2) == 1
    printed = capsys.readouterr().err
    assert f"error: {manifest} was changed while the run was under way" in printed and "Traceback" not in printed
    assert list(RunDirectory(open_storage(out)).markers()) == []


@pytest.mark.usefixtures("ray_session")
def test_credentials_that_expire_half_way_stop_the_run_and_new_ones_finish_it(
    s3: S3Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.run_directory.lease.STALE_SECONDS", 2.0)  # The claim that could not be deleted.
    local = make_corpus(tmp_path / "corpus", IDS[:12])
    out = s3.uri("out")
    with running_proxy(s3.endpoint) as proxy:

        def expire() -> None:
            while not list(S3Storage.at(out).keys("_state/done")):
                time.sleep(0.05)
            proxy.expired = True

        watch = threading.Thread(target=expire, daemon=True)
        watch.start()
        assert run(local, out, 0.2, shard_items=2, s3_endpoint_url=proxy.endpoint) == 1
        watch.join()
    printed = capsys.readouterr().err
    assert f"{out}/" in printed and "the AWS credentials have expired; renew them and run the command again" in printed
    assert "Traceback" not in printed
    before = set(S3Storage.at(out).keys("_state/done"))
    assert 1 <= len(before) < 6
    assert run(local, out, shard_items=2) == 0
    assert before < set(S3Storage.at(out).keys("_state/done"))
    assert list(rendered(out)) == IDS[:12]


@pytest.mark.usefixtures("ray_session")
def test_a_prompt_bank_and_prompts_are_read_from_s3_and_what_is_missing_fails_alone(
    s3: S3Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_corpus(
        tmp_path,
        ["a", "b", "c", "missing-1", "d"],
        prompt=["mine", None, "plain", "plain", "plain"],
        prompt_audio=[None, "own.wav", None, None, None],
        prompt_midi=[None, "midi/a.mid", None, None, None],
        midi=["midi/a.mid", "midi/b.mid", "midi/c.mid", "midi/missing-1.mid", "/etc/passwd"],
    )
    (tmp_path / "own.wav").touch()
    (tmp_path / "bank").mkdir()
    (tmp_path / "bank" / "x.wav").touch()
    bank = pa.table({"prompt_id": ["mine"], "audio": ["x.wav"], "midi": ["../midi/a.mid"]})
    pq.write_table(bank, tmp_path / "bank" / "bank.parquet")
    corpus, out = s3.uri("corpus"), s3.uri("out")
    manifest = uploaded(tmp_path, corpus)
    assert run(manifest, out, prompts=f"{corpus}/bank/bank.parquet", actors=1) == 3
    printed = capsys.readouterr().err
    assert "column 'midi': 1 of 5 files do not exist: 'midi/missing-1.mid'; 1 of 5 files may not be read" in printed
    (table,) = RunDirectory(open_storage(out)).results()
    rows = table.to_pylist()
    assert [row["prompt_id"] for row in rows] == ["mine", "own", "plain", None, None]
    assert rows[3]["error_type"] == "InputError"
    assert rows[3]["error_message"] == f"cannot read {corpus}/midi/missing-1.mid: there is no such object"
    assert "lies outside" in rows[4]["error_message"]


def test_the_secret_is_nowhere_to_be_seen(s3: S3Server, tmp_path: Path) -> None:
    local = make_corpus(tmp_path / "corpus", ["a", "raises-1"])
    out = s3.uri("out")

    def command(secret: str) -> subprocess.CompletedProcess[str]:
        arguments = [str(local), "--out", out, "--actors", "1", "--device", "cpu", "--s3-endpoint-url", s3.endpoint]
        return subprocess.run(
            [sys.executable, "-m", "tests.jobs.support.dummy_cli", *arguments],
            cwd=ROOT,
            env={**os.environ, "AWS_SECRET_ACCESS_KEY": secret, "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )

    wrong = command("wrong-secret-not-to-be-seen")
    assert wrong.returncode == 1 and "error: cannot" in wrong.stderr and "Traceback" not in wrong.stderr
    good = command(SECRET_KEY)
    assert good.returncode == 3, good.stderr
    assert f"1 of 2 items rendered, 1.5 s of audio: {out}/audio" in good.stdout
    storage = S3Storage.at(out)
    keys = list(storage.keys())
    contents = [storage.read(key) for key in keys]
    assert len(contents) >= 5
    for text in (wrong.stdout, wrong.stderr, good.stdout, good.stderr):
        assert "secret-not-to-be-seen" not in text
    assert not any(b"secret-not-to-be-seen" in content for content in contents)
    assert storage.bucket == BUCKET


@pytest.mark.usefixtures("ray_session")
def test_a_model_directory_is_taken_from_s3(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from jobs.run.model_backend import ModelBackend
    from renderer.weights.checkpoint import BUNDLED

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    uri = s3.uri("model")
    uploaded(BUNDLED / "mini", uri)
    there = ModelBackend.from_options(RenderOptions(manifest="m", model=uri)).describe()
    here = ModelBackend.from_options(RenderOptions(manifest="m")).describe()
    assert there == here

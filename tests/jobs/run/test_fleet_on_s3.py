"""Three nodes with disks of their own, and S3: whatever ends, stops or goes, the bytes are those of a calm run."""

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from jobs.inputs.inputs import Inputs
from jobs.inspect.verify import find_problems
from jobs.run.model_backend import ModelBackend
from jobs.run.options import RenderOptions
from jobs.run_directory.run_directory import RunDirectory
from jobs.storage import Storage, open_storage
from renderer.midi.midi_file import write_midi
from renderer.midi.notes import Notes
from tests.jobs.support.certificate import make_certificate
from tests.jobs.support.corpus import make_corpus
from tests.jobs.support.memory_s3 import running_memory_s3
from tests.jobs.support.ray_nodes import ROOT, RayNodes, ray_nodes
from tests.jobs.support.rendered import held, render_run
from tests.jobs.support.s3_server import S3Server

pytestmark = pytest.mark.slow

IDS = [f"item-{i:02d}" for i in range(36)]
SHARD_ITEMS = 2
OUTAGE_SECONDS = 20.0
PATIENCE = 300.0
ROWS_LOST_AT_MOST = 4 * SHARD_ITEMS
"""What one worker has in line."""


class Fleet(NamedTuple):
    """A cluster of three nodes, and a corpus that lies on S3 alone, for them."""

    nodes: RayNodes
    workers: list[subprocess.Popen[bytes]]
    s3: S3Server
    corpus: Path
    manifest: str
    out: str

    @property
    def storage(self) -> Storage:
        return open_storage(self.out)

    def run(self, *words: object, **changes: Any) -> subprocess.CompletedProcess[str]:
        options = ["--out", self.out, "--ray-address", self.nodes.address, "--device", "cpu", "--actors", 3]
        items = ["--shard-items", SHARD_ITEMS]
        return self.nodes.run("tests.jobs.support.dummy_cli", self.manifest, *options, *items, *words, **changes)

    def finished(self) -> int:
        return len(list(self.storage.keys("_state/done")))

    def events(self, name: str) -> list[dict[str, Any]]:
        logs = [self.storage.read(key).decode() for key in sorted(self.storage.keys("events"))]
        return [event for log in logs for line in log.splitlines() if (event := json.loads(line))["event"] == name]

    def check_is_like_a_calm_run(self, ids: list[str]) -> None:
        """Every item once, verify content, and the bytes of a run on one machine that nobody disturbed."""
        directory = RunDirectory(self.storage)
        assert [item for rows in directory.results() for item in rows["item_id"].to_pylist()] == ids
        assert list(find_problems(directory, Inputs())) == []
        calm = self.corpus.parent / "calm"
        render_run(self.corpus / "manifest.parquet", calm, shard_items=SHARD_ITEMS)
        assert held(self.out) == held(str(calm))


@pytest.fixture
def own_files() -> None:
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no permission for files of a node's own")


@pytest.fixture
def fleet(tmp_path: Path, s3: S3Server, own_files: None) -> Iterator[Fleet]:
    corpus = tmp_path / "corpus"
    make_corpus(corpus, IDS)
    with ray_nodes() as nodes:
        workers = [nodes.add_apart(tmp_path) for _ in range(3)]
        yield Fleet(nodes, workers, s3, corpus, uploaded(corpus, s3.uri("corpus")), s3.uri("out"))


def uploaded(corpus: Path, uri: str) -> str:
    """The corpus on S3; returns where its manifest is."""
    storage = open_storage(uri)
    for path in corpus.rglob("*"):
        if path.is_file():
            storage.write(path.relative_to(corpus).as_posix(), path.read_bytes())
    return f"{uri}/manifest.parquet"


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def kill_and_replace(fleet: Fleet) -> None:
    fleet.nodes.kill(fleet.workers[0], "raylet")
    time.sleep(2.0)
    fleet.nodes.add_apart(fleet.corpus.parent)


def freeze_until_it_is_given_up(fleet: Fleet) -> None:
    fleet.nodes.freeze(fleet.workers[0])
    try:
        wait_until(lambda: bool(fleet.events("actor_died")))
    finally:
        fleet.nodes.thaw(fleet.workers[0])


def take_the_storage_away(fleet: Fleet) -> None:
    fleet.s3.kill()
    time.sleep(OUTAGE_SECONDS)
    fleet.s3.start()


@pytest.mark.parametrize(
    ("disturb", "event", "told"),
    [
        (kill_and_replace, "actor_died", "its worker died on "),
        (lambda fleet: fleet.nodes.drain(), "actor_draining", "its machine will be gone soon"),
        (freeze_until_it_is_given_up, "actor_died", "its worker died on "),
        (take_the_storage_away, None, " answers again, after "),
    ],
    ids=["killed", "drained", "frozen", "no storage"],
)
def test_a_disturbed_run_ends_in_the_bytes_of_a_calm_one(
    fleet: Fleet, disturb: Callable[[Fleet], None], event: str | None, told: str
) -> None:
    def disturb_in_time() -> None:
        wait_until(lambda: fleet.finished() >= 2)
        disturb(fleet)

    disturbing = threading.Thread(target=disturb_in_time)
    disturbing.start()
    ran = fleet.run(DUMMY_SECONDS_PER_ITEM="4")
    disturbing.join()
    assert ran.returncode == 0 and told in ran.stderr and "Traceback" not in ran.stderr, ran.stderr
    fleet.check_is_like_a_calm_run(IDS)
    if event is not None:
        (found,) = (each for each in fleet.events(event) if event != "actor_died" or "then" in each)
        assert len(found.get("shards", ())) * SHARD_ITEMS <= ROWS_LOST_AT_MOST


def test_a_cluster_that_is_lost_is_replaced_and_a_second_driver_is_refused(fleet: Fleet) -> None:
    """The head dies; while the same command goes on, on another cluster, a third driver has nothing to do there."""

    def lose_the_head() -> None:
        wait_until(lambda: fleet.finished() >= 2)
        fleet.nodes.kill(fleet.nodes.head, "gcs_server")

    losing = threading.Thread(target=lose_the_head)
    losing.start()
    lost = fleet.run(DUMMY_SECONDS_PER_ITEM="5")
    losing.join()
    assert lost.returncode == 1 and "shards are not finished; the same command goes on" in lost.stderr, lost.stderr
    port = fleet.nodes.address.rpartition(":")[2]
    assert "the cluster's head at " in lost.stderr and f":{port} has not answered for 3" in lost.stderr
    before = fleet.finished()
    with ray_nodes() as nodes:
        nodes.add_apart(fleet.corpus.parent)
        another = fleet._replace(nodes=nodes)
        ended: list[subprocess.CompletedProcess[str]] = []
        going_on = threading.Thread(target=lambda: ended.append(another.run(DUMMY_SECONDS_PER_ITEM="10")))
        going_on.start()
        wait_until(lambda: fleet.finished() > before)
        second = another.run()
        going_on.join()
    assert second.returncode == 1, second.stderr
    assert f"error: {fleet.out}: another driver is at work on this run: process " in second.stderr
    assert ended[0].returncode == 0, ended[0].stderr
    fleet.check_is_like_a_calm_run(IDS)


def test_a_shard_of_which_every_item_failed_is_repaired_on_the_nodes(fleet: Fleet) -> None:
    ids = ["missing-1", "missing-2", *IDS[:6]]
    manifest = make_corpus(fleet.corpus, ids)
    place = fleet.manifest.rpartition("/")[0]
    uploaded(fleet.corpus, place)
    failed = fleet.run()
    assert failed.returncode == 3, failed.stderr
    for number, item_id in enumerate(ids[:2]):
        path = manifest.parent / "midi" / f"{item_id}.mid"
        write_midi(Notes.of([0.1], [0.4 + number], [60], [64]), path)
        open_storage(place).write(f"midi/{item_id}.mid", path.read_bytes())
    again = fleet.run("--retry-failed")
    assert again.returncode == 0, again.stderr
    fleet.check_is_like_a_calm_run(ids)


def test_what_is_sent_along_takes_the_place_of_another_package_and_of_a_model_that_is_not_there(
    s3: S3Server, tmp_path: Path, own_files: None
) -> None:
    """One node has no package of ours, one has another, and none has the model's directory."""
    changed, model = tmp_path / "piece.py", tmp_path / "model"
    changed.write_text((ROOT / "renderer/piece.py").read_text() + "\n")
    model.symlink_to(ROOT / "renderer/weights/bundled/mini")
    manifest = make_corpus(tmp_path / "corpus", IDS[:4], prompt=["splendid-chamber"] * 4)
    with ray_nodes() as nodes:
        nodes.add({tmp_path: None, ROOT / "renderer": None, ROOT / "jobs": None})
        nodes.add({ROOT / "renderer/piece.py": changed, tmp_path: None})
        fleet = Fleet(nodes, [], s3, manifest.parent, uploaded(manifest.parent, s3.uri("corpus")), s3.uri("out"))
        ran = fleet.run("--model", model, "--precision", "fp32", "--ship", DUMMY_RENDERER="model")
    assert ran.returncode == 0, ran.stderr
    assert len({event["node"] for event in fleet.events("actor_ready")}) == 2
    assert not fleet.events("slot_given_up") and "given up" not in ran.stderr
    options = RenderOptions(manifest=str(manifest), model=str(model), precision="fp32", device="cpu")
    render_run(manifest, tmp_path / "calm", backend=ModelBackend.from_options(options), precision="fp32")
    assert held(fleet.out) == held(str(tmp_path / "calm"))


def test_a_server_that_stores_the_framing_of_requests_is_refused_before_a_node_renders(tmp_path: Path) -> None:
    manifest = make_corpus(tmp_path, IDS[:4])
    certificate = make_certificate(tmp_path / "server.pem")
    with running_memory_s3(certificate, keeps_framing=True) as server, ray_nodes() as nodes:
        nodes.add()
        where: dict[str, Any] = {"AWS_ENDPOINT_URL_S3": server.endpoint, "AWS_CA_BUNDLE": str(certificate)}
        options = ("--out", "s3://corpus/out", "--ray-address", nodes.address, "--device", "cpu", "--actors", 1)
        command = ("tests.jobs.support.dummy_cli", manifest, *options)
        ran = nodes.run(*command, AWS_REQUEST_CHECKSUM_CALCULATION="when_supported", **where)
        assert ran.returncode == 1 and "keeps the framing of requests" in ran.stderr, ran.stderr
        assert not any("/audio/" in name or "run.json" in name for name in server.objects)

"""Nodes that lack something, are not as the driver is, or go: on real nodes, each with files of its own."""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.run.test_resume import events
from tests.jobs.support.corpus import make_corpus, results
from tests.jobs.support.ray_nodes import ROOT, RayNodes, ray_nodes
from tests.jobs.support.rendered import held, render_run

pytestmark = pytest.mark.slow

PATIENCE = 300.0


@pytest.fixture
def nodes() -> Iterator[RayNodes]:
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no permission for files of a node's own")
    with ray_nodes() as cluster:
        yield cluster


def run(nodes: RayNodes, manifest: Path, out: Path, *words: object, **changes: Any) -> subprocess.CompletedProcess[str]:
    options = ["--out", out, "--ray-address", nodes.address, "--device", "cpu", "--shard-items", 2, *words]
    return nodes.run("tests.jobs.support.dummy_cli", manifest, *options, **changes)


def test_a_node_that_lacks_the_files_is_named_and_its_shards_are_rendered_elsewhere(
    nodes: RayNodes, tmp_path: Path, out: Path
) -> None:
    ids = [f"item-{i:02d}" for i in range(16)] + ["missing-1", "missing-2", "missing-3", "item-99"]
    manifest = make_corpus(tmp_path, ids)
    nodes.add()
    nodes.add({tmp_path / "midi": None})
    ran = run(nodes, manifest, out, "--actors", 2, "--node-status", 2, DUMMY_SECONDS_PER_ITEM="0.5")
    assert ran.returncode == 3, ran.stderr
    rows = results(out)
    assert [row["item_id"] for row in rows] == ids
    assert [row["item_id"] for row in rows if row["status"] == "failed"] == ["missing-1", "missing-2", "missing-3"]
    assert "is tried elsewhere than on " in ran.stderr and "No such file or directory" in ran.stderr
    assert "are given up: time and again it lacks what other nodes have" in ran.stderr
    suspected = {event["node"] for event in events(out) if event["event"] == "place_suspected"}
    finished = {event["node"] for event in events(out) if event["event"] == "shard_finished"}
    assert len(finished) == 1 and suspected - finished
    assert "): 1 worker, " in ran.stderr and " items finished, " in ran.stderr and "memory " in ran.stderr


def test_nodes_with_another_model_or_code_or_no_manifest_are_refused_in_words(
    nodes: RayNodes, tmp_path: Path, out: Path
) -> None:
    manifest = make_corpus(tmp_path / "corpus", [f"item-{i:02d}" for i in range(12)])
    changed = tmp_path / "piece.py"
    changed.write_text((ROOT / "renderer/piece.py").read_text() + "\n")
    out.mkdir()
    nodes.add(NODE_WARNING="decoding goes on without CUDA graphs")
    nodes.add(NODE_MODEL_HASH="9999")
    nodes.add({ROOT / "renderer/piece.py": changed})
    nodes.add({manifest.parent: None})
    nodes.add({out: None})
    nodes.add({ROOT / "jobs": None})
    ran = run(nodes, manifest, out, "--actors", 6, DUMMY_SECONDS_PER_ITEM="8", DUMMY_NODES_OWN="1")
    assert ran.returncode == 0, ran.stderr
    assert {row["status"] for row in results(out)} == {"ok"} and len(results(out)) == 12
    refused = [event for event in events(out) if event["event"] == "slot_given_up"]
    for reason in (
        "its model dummy is another than the run's (hash 9999 there, 0123 in run.json)",
        "its copy of render-corpus 0.1.0 is another than the driver's; install the driver's there",
        f"{out} there is not the driver's folder, so what is rendered would be lost",
        f"{manifest} cannot be read (No such file or directory); every node must find it under this name",
    ):
        (event,) = (event for event in refused if reason in event["reason"])
        assert f"error: workers on {event['node']} are given up: " in ran.stderr and reason in ran.stderr
    (cannot_begin,) = (event for event in refused if "it cannot begin: " in event["reason"])
    assert "No module named 'jobs" in cannot_begin["reason"]
    assert len(refused) == 5
    assert "Traceback" not in ran.stderr
    assert ran.stderr.count("says: decoding goes on without CUDA graphs") == 1


def test_a_node_that_is_killed_is_reported_in_a_sentence(nodes: RayNodes, tmp_path: Path, out: Path) -> None:
    manifest = make_corpus(tmp_path, [f"item-{i:02d}" for i in range(24)])
    nodes.add()
    lost = nodes.add()
    when(lambda: len(list((out / "_state/done").glob("*"))) >= 2, lambda: nodes.kill(lost, "raylet"))
    ran = run(nodes, manifest, out, "--actors", 2, DUMMY_SECONDS_PER_ITEM="0.5")
    assert ran.returncode == 0, ran.stderr
    assert "its worker died on " in ran.stderr
    assert "raylet" not in ran.stdout + ran.stderr and len(ran.stderr.splitlines()) < 15
    render_run(manifest, tmp_path / "undisturbed")
    assert held(str(out)) == held(str(tmp_path / "undisturbed"))
    (death,) = (event for event in events(out) if event["event"] == "actor_died" and "then" in event)
    assert death["node"] in ran.stderr


def test_a_lost_head_ends_the_run_in_words_and_a_new_cluster_goes_on(tmp_path: Path, out: Path) -> None:
    manifest = make_corpus(tmp_path, [f"item-{i:02d}" for i in range(30)])
    with ray_nodes() as first:
        first.add()
        when(lambda: (out / "_state/done").exists(), lambda: first.kill(first.head, "gcs_server"))
        began = time.monotonic()
        ran = run(first, manifest, out, "--actors", 1, DUMMY_SECONDS_PER_ITEM="3")
        assert ran.returncode == 1 and time.monotonic() - began < PATIENCE
    port = first.address.rpartition(":")[2]  # Ray may call the same machine by another address.
    assert "error: the cluster's head at " in ran.stderr and f":{port} has not answered for 3" in ran.stderr
    assert "15 shards are not finished; the same command goes on" in ran.stderr
    assert "rpc_client" not in ran.stderr and "Traceback" not in ran.stderr
    with ray_nodes() as second:
        second.add()
        ran = run(second, manifest, out, "--actors", 1)
    assert ran.returncode == 0, ran.stderr
    render_run(manifest, tmp_path / "undisturbed")
    assert held(str(out)) == held(str(tmp_path / "undisturbed"))


def test_a_check_tells_of_every_node_what_it_lacks(nodes: RayNodes, tmp_path: Path, out: Path) -> None:
    out.mkdir()
    mini = ROOT / "renderer/weights/bundled/mini/config.json"
    changed = tmp_path / "config.json"
    changed.write_text(mini.read_text() + "\n")
    words = ["cluster", "check", "--ray-address", nodes.address, "--out", out]
    nodes.add()
    ran = nodes.run("tests.jobs.support.midi_valle", *words)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "every node has what a run needs" in ran.stdout and ran.stdout.count("reached") == 2
    nodes.add({mini: changed})
    nodes.add({out: None})
    nodes.add({ROOT / "jobs": None})
    ran = nodes.run("tests.jobs.support.midi_valle", *words)
    assert ran.returncode == 1 and "Traceback" not in ran.stderr
    assert "its model is another than the driver's (hash " in ran.stdout
    assert f"storage: {out} is another folder than the driver's" in ran.stdout
    assert "render-corpus cannot be used there (ModuleNotFoundError: No module named 'jobs" in ran.stdout
    assert "3 problems" in ran.stdout and ran.stdout.count(" (node ") == 5 + 3
    assert not any((out / "_state").iterdir())


def when(is_time: Callable[[], bool], act: Callable[[], object]) -> None:
    """Do something in a thread beside as soon as it is time."""

    def wait() -> None:
        until = time.monotonic() + PATIENCE
        while not is_time() and time.monotonic() < until:
            time.sleep(0.05)
        act()

    threading.Thread(target=wait, daemon=True).start()

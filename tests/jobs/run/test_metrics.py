"""What Prometheus would read of a run, from the address that a real Ray exports its metrics at.

That is a part of ``ray[default]``, which clusters install; a plain ``ray`` exports nothing.
"""

import re
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from jobs.run.options import RenderOptions
from jobs.run.render import render_corpus
from tests.jobs.support.corpus import make_corpus, results
from tests.jobs.support.dummy import DummyBackend

pytest.importorskip("opentelemetry.exporter.prometheus", reason="Ray exports metrics with ray[default] alone")

PATIENCE = 60.0


def run(manifest: Path, out: Path, **options: Any) -> int:
    chosen: dict[str, Any] = {"actors": 1, "device": "cpu", "shard_items": 2, **options}
    return render_corpus(RenderOptions(manifest=str(manifest), out=str(out), **chosen), DummyBackend())


def exported(out: Path) -> dict[str, float]:
    """Our metrics of a run, as they are exported now."""
    import ray

    found = {}
    for node in ray.nodes():
        address = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
        try:
            page = urllib.request.urlopen(address, timeout=10).read()
        except urllib.error.URLError:  # Ray has only just been started.
            continue
        for name, labels, value in re.findall(r"^ray_render_corpus_(\w+)\{(.*)\} (\S+)$", page.decode(), re.MULTILINE):
            if f'run="{out}"' in labels:
                found[name] = float(value)
    return found


def wait_for(out: Path, items: int, failed: int) -> dict[str, float]:
    """The exported metrics, once they tell so many items; Ray collects them every few seconds."""
    expected = {
        "items": items,
        "failed_items": failed,
        "audio_seconds": pytest.approx(sum(row["duration_s"] or 0.0 for row in results(out))),
    }
    deadline = time.monotonic() + PATIENCE
    while (found := exported(out)) != expected and time.monotonic() < deadline:
        time.sleep(0.5)
    assert found == expected
    return found


@pytest.mark.usefixtures("ray_session")
def test_a_runs_metrics_are_what_it_holds_and_count_what_is_tried_again_once(tmp_path: Path, out: Path) -> None:
    manifest = make_corpus(tmp_path, ["a", "unreadable-1", "b", "raises-1", "c"])
    assert run(manifest, out) == 3
    before = wait_for(out, items=5, failed=2)
    (tmp_path / "midi/unreadable-1.mid").write_bytes((tmp_path / "midi/a.mid").read_bytes())
    assert run(manifest, out, retry_failed=True) == 3
    assert wait_for(out, items=5, failed=1)["audio_seconds"] > before["audio_seconds"]

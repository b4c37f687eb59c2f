"""What is reported of each node, by a run's events."""

from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from jobs.cli.commands import midi_valle_app
from jobs.inputs.inputs import Inputs
from jobs.inspect.nodes import node_lines, read_nodes
from jobs.inspect.prompt_recordings import PromptRecordings
from jobs.inspect.report_page import write_report
from jobs.run_directory.events import EventLog
from jobs.run_directory.run_directory import RunDirectory
from jobs.run_directory.totals import Totals
from tests.jobs.support.corpus import make_corpus
from tests.jobs.support.rendered import render_run

A, B = "alpha (node 11111111)", "<b>eta (node 22222222)"


def with_events(directory: RunDirectory) -> None:
    """Two sessions: of two nodes, and of one."""
    done: dict[str, Any] = {"event": "shard_finished", "actor": 0, "items": 10, "audio_seconds": 60.0}
    for session in ([done | {"node": A}, done | {"node": B, "failures": {"MidiError": 2}}], [done | {"node": A}]):
        log = EventLog(directory.storage)
        log.add("driver_started")
        for event in session:
            log.add(**event)
        log.add("actor_died", actor=1, node=B, reason="Socket closed")
        log.write()
    log = EventLog(directory.storage)
    for _ in range(3):
        log.add("place_suspected", node=B, shard=3, reason="x.mid: No such\nfile")
    log.add("slot_given_up", actor=1, node=B, reason="time and again")
    log.write()


def test_every_node_is_reported_with_its_failures_and_faults(tmp_path: Path, out: Path) -> None:
    directory = render_run(make_corpus(tmp_path, ["a", "b"]), out)
    assert read_nodes(directory.storage) == []
    with_events(directory)
    beta, alpha = read_nodes(directory.storage)
    assert node_lines([alpha, beta]) == [
        f"{A}: 2 shards, 20 items, 2.0 min of audio, 0 failed, 0 deaths",
        f"{B}: 1 shards, 10 items, 60.0 s of audio, 2 failed (MidiError 2), 2 deaths",
        "  x.mid: No such\\nfile (3 times)",
        "  time and again",
    ]
    result = CliRunner().invoke(midi_valle_app(), ["status", str(out), "--nodes"])
    assert result.exit_code == 0 and f"{A}: 2 shards" in result.output
    assert A not in CliRunner().invoke(midi_valle_app(), ["status", str(out)]).output


def test_the_report_has_a_table_of_nodes_whose_names_are_but_text(tmp_path: Path, out: Path) -> None:
    directory = render_run(make_corpus(tmp_path, ["a", "b"]), out)
    prompts = PromptRecordings(directory.begun(), Inputs())
    write_report(directory, Totals(), prompts)
    assert "<h2>By node</h2>" not in (out / "report.html").read_text()
    with_events(directory)
    write_report(directory, Totals(), prompts)
    page = (out / "report.html").read_text()
    assert "<h2>By node</h2>" in page and f"<th>{A}</th><td>20</td>" in page
    assert "&lt;b&gt;eta" in page and "<b>eta" not in page

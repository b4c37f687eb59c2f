"""What a run was asked, what it has done, how fast, and how it sounds: all that its report shows."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from jobs.inspect.heard_items import HeardItem, hear_items
from jobs.inspect.item_rows import read_items
from jobs.inspect.nodes import NodeRecord, read_nodes
from jobs.inspect.prompt_recordings import PromptRecordings
from jobs.inspect.timeline import Timeline, read_timeline
from jobs.run_directory.run_directory import RunDirectory
from jobs.run_directory.totals import Totals
from schemas.run import Run


@dataclass(frozen=True, eq=False)
class RunReport:
    """A run so far. ``items`` are the result rows (jobs/inspect/item_rows.py), of a very large run not all of them."""

    place: str
    run: Run
    totals: Totals
    timeline: Timeline
    items: pa.Table
    heard: Sequence[HeardItem]
    nodes: Sequence[NodeRecord] = ()


def read_report(directory: RunDirectory, totals: Totals, prompts: PromptRecordings) -> RunReport:
    """Read what there is to report of the run whose finished shards are ``totals``; StorageError if it cannot be read.

    ``prompts`` are the run's.
    """
    storage, run = directory.storage, prompts.run
    items = read_items(directory, run, totals)
    heard, nodes = hear_items(storage, prompts, items), read_nodes(storage)
    return RunReport(storage.uri, run, totals, read_timeline(storage), items, heard, nodes)

"""``midi-valle status``, ``report``, ``verify`` and ``gc``: what can be done with a run's folder once it has begun."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.cli.from_options import takes
from jobs.inspect.options import GarbageOptions, ReportOptions, StatusOptions, VerifyOptions

if TYPE_CHECKING:
    from jobs.inspect.garbage import Garbage
    from jobs.run_directory.run_directory import RunDirectory

SHOWN_OBJECTS = 20
SECONDS_PER_HOUR = 3600.0


@takes(StatusOptions)
def status(options: StatusOptions) -> int:
    """Tell what a run has done so far: items, audio, speed, failures and their reasons."""
    from jobs.console import say
    from jobs.inspect.nodes import node_lines, read_nodes
    from jobs.inspect.status import status

    directory = options.directory
    say(status(directory), sys.stdout)
    if options.nodes:
        say("\n".join(node_lines(read_nodes(directory.storage)) or ["its events name no node"]), sys.stdout)
    return 0


@takes(ReportOptions)
def report(options: ReportOptions) -> int:
    """Write OUT/report.html: what was asked, done and failed, how fast, how good, and how it sounds."""
    from jobs.console import say
    from jobs.inputs.inputs import Inputs
    from jobs.inspect.prompt_recordings import PromptRecordings
    from jobs.inspect.report_page import write_report
    from jobs.run_directory.totals import Totals

    directory = options.directory
    run, totals = directory.begun(), Totals()
    for marker in directory.summaries():
        totals.add(marker)
    inputs = Inputs(tuple(str(Path(root).resolve()) for root in options.allow_root), options.s3)
    say(write_report(directory, totals, PromptRecordings(run, inputs, options.model)), sys.stdout)
    return 0


@takes(VerifyOptions)
def verify(options: VerifyOptions) -> int:
    """Check that every row has one result and every object is whole. Exit code 1, with a list, if not."""
    from tqdm import tqdm

    from jobs.console import one_line, say
    from jobs.inputs.inputs import Inputs
    from jobs.inspect.spread import spread_of
    from jobs.inspect.verify import find_problems

    directory = options.directory
    items = directory.begun().items
    count, inputs = 0, Inputs(s3=options.s3)
    with spread_of(options) as spread, tqdm(total=items, unit=" items", disable=None) as bar:
        for problem in find_problems(directory, inputs, options.quick, bar.update, spread):
            bar.write(one_line(problem), file=sys.stdout)
            count += 1
    said = " (by size)" if options.quick else ""
    say(f"{count:,} problems" if count else f"clean: {items:,} items{said}", sys.stdout)
    return 1 if count else 0


@takes(GarbageOptions)
def gc(options: GarbageOptions) -> int:
    """Find and delete what no marker names: data of killed attempts, temporary files, unfinished uploads."""
    from jobs.inspect.garbage import find_garbage

    directory = options.directory
    garbage = find_garbage(directory, options.older_than * SECONDS_PER_HOUR)
    return _collect(directory, garbage, options.yes)


def _collect(directory: "RunDirectory", garbage: "Garbage", yes: bool) -> int:
    """Show garbage, and delete what of it surely is."""
    from tqdm import tqdm

    from jobs.console import one_line, say, size
    from jobs.inspect.garbage import delete_garbage

    for what, found in (
        ("objects that no marker names", garbage.objects),
        ("leftovers of interrupted writes", garbage.leftovers),
    ):
        say(f"{len(found):,} {what}, {size(sum(each.bytes for each in found))}", sys.stdout)
        for each in found[:SHOWN_OBJECTS]:
            say(f"  {one_line(each.key)} ({size(each.bytes)})", sys.stdout)
        if len(found) > SHOWN_OBJECTS:
            say(f"  and {len(found) - SHOWN_OBJECTS:,} more", sys.stdout)
    removable = len(garbage.removable)
    if garbage.objects and garbage.kept_because:
        say(f"objects are kept: {garbage.kept_because}")
    if not yes:
        if removable:
            say(f"nothing is deleted without --yes; with it, {removable:,} of these are")
        return 0
    with tqdm(total=removable, unit=" objects", disable=None) as bar:
        for _ in delete_garbage(directory, garbage):
            bar.update()
    say(f"{removable:,} deleted", sys.stdout)
    return 0

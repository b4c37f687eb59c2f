"""``midi-valle status``, ``report``, ``verify`` and ``gc``: what can be done with a run's folder once it has begun."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.cli.finish import finishes

if TYPE_CHECKING:
    from jobs.inspect.garbage import Garbage
    from jobs.run_directory.run_directory import RunDirectory

SHOWN_OBJECTS = 20
SECONDS_PER_HOUR = 3600.0

Out = Annotated[str, typer.Argument(help="The run's folder, or s3://bucket/prefix: what --out was.")]
EndpointUrl = Annotated[str | None, typer.Option("--s3-endpoint-url", help="An S3 server other than Amazon's.")]
Encryption = Annotated[str | None, typer.Option("--s3-encryption", help="As the run was given.")]


@finishes
def status(
    out: Out,
    nodes: Annotated[bool, typer.Option("--nodes", help="Tell of each node, by the run's events.")] = False,
    endpoint_url: EndpointUrl = None,
) -> int:
    """Tell what a run has done so far: items, audio, speed, failures and their reasons."""
    from jobs.console import say
    from jobs.inspect.nodes import node_lines, read_nodes
    from jobs.inspect.status import status

    directory = _directory(out, endpoint_url)
    say(status(directory), sys.stdout)
    if nodes:
        say("\n".join(node_lines(read_nodes(directory.storage)) or ["its events name no node"]), sys.stdout)
    return 0


@finishes
def report(out: Out, endpoint_url: EndpointUrl = None, encryption: Encryption = None) -> int:
    """Write OUT/report.html: what was asked, done and failed, how fast, and how it sounds."""
    from jobs.console import say
    from jobs.inspect.report_page import write_report
    from jobs.run_directory.totals import Totals

    directory = _directory(out, endpoint_url, encryption)
    run, totals = directory.begun(), Totals()
    for marker in directory.markers():
        totals.add(marker)
    say(write_report(directory, run, totals), sys.stdout)
    return 0


@finishes
def verify(
    out: Out,
    quick: Annotated[bool, typer.Option("--quick", help="Compare sizes only: no hashes, no decoding.")] = False,
    endpoint_url: EndpointUrl = None,
) -> int:
    """Check that every row has one result and every object is whole. Exit code 1, with a list, if not."""
    from tqdm import tqdm

    from jobs.console import one_line, say
    from jobs.inputs.inputs import Inputs
    from jobs.inspect.verify import find_problems
    from jobs.storage import S3Access

    directory = _directory(out, endpoint_url)
    items = directory.begun().items
    count = 0
    with tqdm(total=items, unit=" items", disable=None) as bar:
        for problem in find_problems(directory, Inputs(s3=S3Access(endpoint_url)), quick, bar.update):
            bar.write(one_line(problem), file=sys.stdout)
            count += 1
    say(f"{count:,} problems" if count else f"clean: {items:,} items{' (by size)' if quick else ''}", sys.stdout)
    return 1 if count else 0


@finishes
def gc(
    out: Out,
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it, they are only shown.")] = False,
    older_than: Annotated[
        float,
        typer.Option(help="Hours for which nothing must have been written, as a run may be under way.", min=0.0),
    ] = 1.0,
    endpoint_url: EndpointUrl = None,
) -> int:
    """Find and delete what no marker names: data of killed attempts, temporary files, unfinished uploads."""
    from jobs.inspect.garbage import find_garbage

    directory = _directory(out, endpoint_url)
    garbage = find_garbage(directory, older_than * SECONDS_PER_HOUR)
    return _collect(directory, garbage, yes)


def _directory(out: str, endpoint_url: str | None, encryption: str | None = None) -> "RunDirectory":
    from jobs.run_directory.run_directory import RunDirectory
    from jobs.storage import S3Access, open_storage

    return RunDirectory(open_storage(out, S3Access(endpoint_url, encryption=encryption)))


def _collect(directory: "RunDirectory", garbage: "Garbage", yes: bool) -> int:
    """Show garbage, and delete what of it surely is."""
    from tqdm import tqdm

    from jobs.console import one_line, say
    from jobs.inspect.garbage import delete_garbage

    for what, found in (
        ("objects that no marker names", garbage.objects),
        ("leftovers of interrupted writes", garbage.leftovers),
    ):
        say(f"{len(found):,} {what}, {_size(sum(each.bytes for each in found))}", sys.stdout)
        for each in found[:SHOWN_OBJECTS]:
            say(f"  {one_line(each.key)} ({_size(each.bytes)})", sys.stdout)
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


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"

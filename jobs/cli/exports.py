"""``midi-valle export`` and ``decode``: what becomes of a run that is finished."""

import sys

from jobs.cli.from_options import takes
from jobs.codes.decode_options import DecodeOptions
from jobs.exports.export_options import ExportOptions


@takes(ExportOptions)
def export(options: ExportOptions) -> int:
    """Make a data set of a finished run, as Hugging Face, MAESTRO, lhotse or NeMo have it, with card and licences."""
    from tqdm import tqdm

    from jobs.console import say
    from jobs.exports.export import export_run

    with tqdm(unit=" items", disable=None, leave=False) as bar:
        summary = export_run(options, bar.update)
    say(summary, sys.stdout)
    return 0


@takes(DecodeOptions)
def decode(options: DecodeOptions) -> int:
    """Make a run with audio of one with --layout codes: to the very samples that it would have written.

    What is decoded stays decoded: the same command goes on. Exit code 1 while shards of the run are not finished.
    """
    from tqdm import tqdm

    from jobs.codes.decode import decode_run
    from jobs.console import say
    from jobs.inspect.summary import summary

    with tqdm(unit=" items", disable=None, leave=False) as bar:
        code, totals, run = decode_run(options, bar.update)
    say(summary(totals, run.items, options.out, run.settings.layout), sys.stdout)
    if code:
        say(f"{len(run.shards) - len(totals.shards):,} of {len(run.shards):,} shards are not finished in {options.run}")
    return code

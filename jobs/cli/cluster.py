"""``midi-valle cluster``: what can be asked of a Ray cluster before a run."""

import sys

import typer

from jobs.cli.from_options import takes
from jobs.run.cluster_check_options import ClusterCheckOptions

cluster_app = typer.Typer(help="Look at a Ray cluster.", no_args_is_help=True)


@cluster_app.callback()
def cluster() -> None:
    """Look at a Ray cluster."""


@cluster_app.command()
@takes(ClusterCheckOptions)
def check(options: ClusterCheckOptions) -> int:
    """Tell of every node whether it has what a run needs. Exit code 1, with a list, if one has not."""
    from jobs.console import one_line, say
    from jobs.run.cluster_check import check_cluster

    report = check_cluster(options)
    say(str(report), sys.stdout)
    for problem in report.problems:
        say(one_line(problem), sys.stdout)
    say(f"{len(report.problems):,} problems" if report.problems else "every node has what a run needs", sys.stdout)
    return 1 if report.problems else 0

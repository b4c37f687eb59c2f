"""``midi-valle bench``."""

from jobs.bench.settings import BenchSettings
from jobs.cli.from_options import takes


@takes(BenchSettings)
def bench(settings: BenchSettings) -> int:
    """Measure how fast segments become audio, stage by stage, and what the machine allows; the last line is JSON."""
    from jobs.bench.report import run_bench

    run_bench(settings)
    return 0

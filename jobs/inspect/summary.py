"""What a run has made so far, in a few lines: what there is, where, and what failed."""

from jobs.console import duration
from jobs.run_directory.totals import Totals


def summary(totals: Totals, items: int, place: str, layout: str) -> str:
    """What there is now, where it is, and what failed for which reasons."""
    from jobs.output.layouts import LAYOUTS  # This loads torch, which a status need not wait for.

    rendered = totals.items - totals.failed
    folder = LAYOUTS[layout].audio_folder
    audio = f": {place}/{folder}" if folder else ""
    midi = f"their notes as MIDI: {place}/midi; " if layout == "files" else ""
    lines = [
        f"{rendered:,} of {items:,} items rendered, {duration(totals.audio_seconds)} of audio{audio}",
        f"{midi}one row for every item: {place}/metadata",
    ]
    return "\n".join([*lines, *verdicts(totals), *reasons(totals)])


def verdicts(totals: Totals) -> list[str]:
    """How many items are good and poor, and which faults there are; no line if none was judged."""
    if not totals.good + totals.poor:
        return []
    faults = ", ".join(f"{name} {count:,}" for name, count in totals.faults)
    return [f"quality: {totals.good:,} items good, {totals.poor:,} poor{f' ({faults})' if faults else ''}"]


def reasons(totals: Totals) -> list[str]:
    """What failed for which reasons, the most frequent first; no lines if nothing failed."""
    lines = [f"{totals.failed:,} items failed:"] if totals.failures else []
    for reason, failure in sorted(totals.failures.items(), key=lambda entry: -entry[1].count):
        more = ", ..." if failure.count > len(failure.item_ids) else ""
        lines.append(f"  {reason}: {failure.count:,} ({', '.join(failure.item_ids)}{more})")
    return lines

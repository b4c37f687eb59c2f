"""Failed items by their reasons, with the rows of the manifest that they are."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from jobs.inspect.item_rows import Row
from jobs.run_directory.totals import Totals

SHOWN_REASONS = 30
SHOWN_ROWS = 50


@dataclass(frozen=True)
class FailureReason:
    """How many items failed for a reason, by the markers, and the rows of the first of them."""

    reason: str
    count: int
    rows: Sequence[Row]


def failure_reasons(items: pa.Table, totals: Totals) -> list[FailureReason]:
    """The most frequent reasons first."""
    failed = items.filter(pc.equal(items["status"], pa.scalar("failed")))
    counted = sorted(totals.failures.items(), key=lambda entry: (-entry[1].count, entry[0]))[:SHOWN_REASONS]
    return [
        FailureReason(reason, failure.count, _rows(failed, reason).slice(0, SHOWN_ROWS).to_pylist())
        for reason, failure in counted
    ]


def _rows(failed: pa.Table, reason: str) -> pa.Table:
    return failed.filter(pc.equal(failed["error_type"], pa.scalar(reason)))

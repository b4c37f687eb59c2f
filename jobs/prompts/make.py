"""``midi-valle prompts make``: from recordings to a prompt bank."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from jobs.errors import JobError, StorageError
from jobs.inputs.inputs import Inputs
from jobs.inspect.spread import Here, Processes, Spread
from jobs.prompts.cutting import Cut, Cutter, Row
from jobs.prompts.make_options import MakeOptions
from jobs.prompts.partial_bank import PartialBank
from jobs.prompts.recordings import Recording, find_recordings
from jobs.storage import S3Access

IN_PARALLEL = 16
"""With fewer recordings, other processes would take longer to start than to work."""

_TEXTS = ("prompt_id", "audio", "midi", "licence", "source", "transcriber", "recording")
_COUNTS = ("notes", "keys", "sounding_at_start", "cut_at_end")
_TYPES: dict[str, pa.DataType] = {
    **dict.fromkeys(_TEXTS, pa.string()),
    **dict.fromkeys(("start_s", "late_s"), pa.float64()),
    **dict.fromkeys(_COUNTS, pa.int64()),
    **dict.fromkeys(("peak_dbfs", "rms_dbfs", "noise_dbfs"), pa.float64()),
}
COLUMNS = pa.schema(_TYPES)
"""Of a bank. ``late_s`` is by how much the recording was found to be late, mended or not."""

_REFUSED_TYPES: dict[str, pa.DataType] = {
    "recording": pa.string(),
    "start_s": pa.float64(),
    "late_s": pa.float64(),
    "reason": pa.string(),
}
REFUSED = pa.schema(_REFUSED_TYPES)


@dataclass(frozen=True)
class Made:
    """What came of it: rows of the bank, rows of what was refused, and those of recordings that gave no prompt."""

    prompts: list[Row] = field(default_factory=list)
    refused: list[Row] = field(default_factory=list)
    without: list[Row] = field(default_factory=list)

    def add(self, cut: Cut) -> None:
        """Add what came of one more recording."""
        self.prompts.extend(cut.prompts)
        self.refused.extend(cut.refused)
        if not cut.prompts:
            self.without.append(cut.refused[-1])


def make_prompts(options: MakeOptions, advance: Callable[[int, int], None]) -> Made:
    """Make a bank; ``advance`` is called with recordings done and in all.

    The same recordings give the same bytes, in their order, whatever the number of processes. The bank appears last,
    when all its clips are there; until then they wait in a hidden folder beside it, where the same command goes on.
    JobError if it exists, or no recording gives a prompt.
    """
    for path in (options.out, options.clips):
        if path.exists():
            raise JobError(f"{path} exists already; choose another --out, or remove it")
    recordings = find_recordings(options, Inputs(s3=S3Access(options.s3_endpoint_url)))
    made, partial = Made(), PartialBank(options, recordings)
    try:
        partial.begin()
        for number, cut in enumerate(_cuts(options, recordings, partial), 1):
            made.add(cut)
            advance(number, len(recordings))
        _publish(made, options, partial)
    except OSError as error:
        raise StorageError(f"cannot write {error.filename or options.out}: {error.strerror or error}") from None
    return made


def _cuts(options: MakeOptions, recordings: Sequence[Recording], partial: PartialBank) -> Iterator[Cut]:
    """What came of each recording, in order; those that gave prompts before are not cut again."""
    before = [partial.done(number) for number in range(len(recordings))]
    left = [recording for recording, cut in zip(recordings, before, strict=True) if cut is None]
    processes = options.processes or os.cpu_count() or 1
    spread: Spread = Processes(processes) if len(left) >= IN_PARALLEL and processes > 1 else Here()
    found = spread.results(Cutter(options, partial.clips), iter(left))
    for number, cut in enumerate(before):
        if cut is not None:
            yield Cut(**cut)
            continue
        new = next(found)
        if new.prompts:
            partial.finish(number, asdict(new))
        yield new


def _publish(made: Made, options: MakeOptions, partial: PartialBank) -> None:
    """Move what was made to where it was asked for: the bank last."""
    if made.refused:
        pa_csv.write_csv(pa.Table.from_pylist(made.refused, REFUSED), partial.folder / "refused")
        (partial.folder / "refused").replace(options.refused)
    if not made.prompts:
        partial.remove()
        first = made.refused[0]
        raise JobError(f"no recording gives a prompt; {first['recording']}: {first['reason']}; see {options.refused}")
    pq.write_table(pa.Table.from_pylist(made.prompts, COLUMNS), partial.folder / "bank")
    partial.clips.rename(options.clips)
    (partial.folder / "bank").rename(options.out)
    partial.remove()


def summary(made: Made, options: MakeOptions) -> Iterator[str]:
    """What is said of it in the end, line by line."""
    yield f"{len(made.prompts):,} prompts: {options.out}"
    lacking = sum(row["licence"] is None for row in made.prompts)
    if lacking:
        yield f"warning: {lacking:,} of them have no licence; give --licence, or a table with that column"
    if made.refused:
        yield f"{len(made.without):,} recordings give none; what was refused, and why: {options.refused}"

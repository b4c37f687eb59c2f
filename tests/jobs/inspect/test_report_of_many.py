"""The report of a hundred thousand items: in two minutes, and in a gigabyte."""

import io
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.output.writers import stored_object
from jobs.run_directory.run_directory import RUN_KEY
from schemas.marker import Marker, QualityCount
from schemas.results import NOTE_TYPE, RESULT_SCHEMA, note_array
from schemas.run import Shard
from tests.jobs.support.corpus import make_corpus
from tests.jobs.support.rendered import render_run

ITEMS, IN_SHARD, NOTES, RENDERED = 100_000, 100, 200, 8
SECONDS, BYTES = 120.0, 1e9
REPORT = """
import resource, sys
from jobs.cli.commands import midi_valle
sys.argv = ["midi-valle", "report", sys.argv[1]]
try:
    midi_valle()
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def result_rows() -> pa.Table:
    """The result rows of a shard, whose audio is that of a few items."""
    random = np.random.default_rng(0)
    onset = np.sort(random.uniform(0, 300, (IN_SHARD, NOTES)))
    pitch, velocity = random.integers(21, 108, onset.size), random.integers(1, 127, onset.size)
    notes = note_array(onset.ravel(), onset.ravel() + 0.5, pitch, velocity)
    offsets = pa.array(range(0, onset.size + 1, NOTES), pa.int32())
    columns: dict[str, Any] = {
        "item_id": [""] * IN_SHARD,
        "shard": [0] * IN_SHARD,
        "status": ["ok"] * IN_SHARD,
        "audio_path": [f"audio/a{row % RENDERED}.flac" for row in range(IN_SHARD)],
        "midi_path": ["midi/a.mid"] * IN_SHARD,
        "seed": [0] * IN_SHARD,
        "model_id": ["dummy"] * IN_SHARD,
        "verdict": ["poor" if row % 10 == 0 else "good" for row in range(IN_SHARD)],
        "faults": [["notes_found"] if row % 10 == 0 else [] for row in range(IN_SHARD)],
    }
    measured = ("duration_s", "rms_dbfs", "quality_score", "notes_found", "attacks_explained", "silence_s")
    columns |= {name: random.uniform(0, 1, IN_SHARD) for name in measured}
    arrays: list[Any] = [
        pa.array(columns[field.name], field.type) if field.name in columns else pa.nulls(IN_SHARD, field.type)
        for field in RESULT_SCHEMA
    ]
    arrays[RESULT_SCHEMA.get_field_index("notes")] = pa.ListArray.from_arrays(offsets, notes, type=pa.list_(NOTE_TYPE))
    table = pa.Table.from_arrays(arrays, schema=RESULT_SCHEMA)
    return table.append_column("prompt", pa.array([f"prompt-{row % 7}" for row in range(IN_SHARD)]))


def metadata(rows: pa.Table, first: int) -> bytes:
    """The rows as those of the shard with these items."""
    ids = pa.array([f"item-{row:06d}" for row in range(first, first + IN_SHARD)])
    content = io.BytesIO()
    pq.write_table(rows.set_column(0, RESULT_SCHEMA.field("item_id"), ids), content)
    return content.getvalue()


@pytest.mark.slow
def test_the_report_of_a_hundred_thousand_items_takes_two_minutes_and_a_gigabyte(tmp_path: Path, out: Path) -> None:
    directory = render_run(make_corpus(tmp_path, [f"a{number}" for number in range(RENDERED)]), out)
    rows = result_rows()
    shards = tuple(Shard(index, index * IN_SHARD, IN_SHARD) for index in range(ITEMS // IN_SHARD))
    directory.storage.write(RUN_KEY, replace(directory.begun(), shards=shards).to_json())
    for path in (out / "_state/done").iterdir():
        path.unlink()
    for shard in shards:
        attempt = f"{shard.index:032x}"
        key, content = f"metadata/{shard.index:05d}-{attempt}.parquet", metadata(rows, shard.first_row)
        (out / key).write_bytes(content)
        marker = Marker(
            shard=shard.index,
            attempt=attempt,
            items=IN_SHARD,
            failures={},
            audio_seconds=30_000.0,
            render_seconds=100.0,
            metadata=stored_object(key, content),
            objects=(),
            quality=QualityCount(90, 10, {"notes_found": 10}),
        )
        (out / f"_state/done/{shard.index:05d}.json").write_bytes(marker.to_json())

    began = time.monotonic()
    ran = subprocess.run([sys.executable, "-c", REPORT, str(out)], capture_output=True, text=True, check=True)
    seconds, used = time.monotonic() - began, int(ran.stdout.split()[-1]) * 1024
    size = (out / "report.html").stat().st_size
    print(f"{seconds:.1f} s, {used / 1e6:.0f} MB of memory, a page of {size / 1e6:.1f} MB")
    assert seconds < SECONDS and used < BYTES and size < 10e6
    assert "100,000 of 100,000 items" in (out / "report.html").read_text()

"""Writing a manifest and its table of files, row by row: both appear as a whole, the manifest last."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.errors import JobError
from jobs.inputs.inputs import absolute, folder_of
from jobs.manifests.metadata import Carried
from jobs.storage import S3Access, Storage, open_storage
from schemas.manifest import BATCH_ROWS
from schemas.midi_files import FILES_SCHEMA, FILES_SUFFIX


@dataclass(frozen=True)
class BuildOutput:
    """Where both go: a folder or S3 prefix, and their names in it."""

    storage: Storage
    folder: str
    manifest: str
    files: str

    @classmethod
    def at(cls, out: str, s3: S3Access) -> "BuildOutput":
        """For a manifest at ``out``; JobError if there is something already, here or in place of the table."""
        location = absolute(out)
        folder, name = folder_of(location), location.rpartition("/")[2]
        output = cls(open_storage(folder, s3), folder, name, name.removesuffix(".parquet") + FILES_SUFFIX)
        for key in (output.manifest, output.files):
            if output.storage.exists(key):
                raise JobError(f"{folder}/{key} exists already; choose another --out, or remove it")
        return output

    @contextmanager
    def writing(self, schema: pa.Schema, carried: Carried) -> Iterator["BuildWriter"]:
        """A writer of both; what it wrote is stored at the end, unless that is an error."""
        with ExitStack() as opened:
            spools = [opened.enter_context(tempfile.TemporaryFile()) for _ in range(2)]
            whole = pa.schema([*schema, *carried.schema])
            with pq.ParquetWriter(spools[0], whole) as rows, pq.ParquetWriter(spools[1], FILES_SCHEMA) as files:
                writer = BuildWriter(rows, files, schema, carried)
                yield writer
                writer.flush()
            self.storage.write_file(self.files, spools[1])
            self.storage.write_file(self.manifest, spools[0])


class BuildWriter:
    """Takes rows and files one by one; few of either are in memory."""

    def __init__(self, rows: pq.ParquetWriter, files: pq.ParquetWriter, schema: pa.Schema, carried: Carried) -> None:
        self._writers = rows, files
        self._schema, self._carried = schema, carried
        self._rows: list[Mapping[str, Any]] = []
        self._files_of_rows: list[int] = []
        self._files: list[Mapping[str, Any]] = []

    def add_row(self, row: Mapping[str, Any], file: int) -> None:
        """A row of the manifest, which renders the file of this number."""
        self._rows.append(row)
        self._files_of_rows.append(file)
        if len(self._rows) == BATCH_ROWS:
            self._flush_rows()

    def add_file(self, row: Mapping[str, Any]) -> None:
        """A row of the table of files."""
        self._files.append(row)
        if len(self._files) == BATCH_ROWS:
            self._flush_files()

    def flush(self) -> None:
        """Write what is left."""
        self._flush_rows()
        self._flush_files()

    def _flush_rows(self) -> None:
        if self._rows:
            columns = [*_columns(self._rows, self._schema), *self._carried.of(self._files_of_rows)]
            whole = pa.schema([*self._schema, *self._carried.schema])
            self._writers[0].write_batch(pa.RecordBatch.from_arrays(columns, schema=whole))
        self._rows, self._files_of_rows = [], []

    def _flush_files(self) -> None:
        if self._files:
            columns = _columns(self._files, FILES_SCHEMA)
            self._writers[1].write_batch(pa.RecordBatch.from_arrays(columns, schema=FILES_SCHEMA))
        self._files = []


def _columns(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> "list[pa.Array[Any]]":
    return [pa.array([row.get(field.name) for row in rows], field.type) for field in schema]

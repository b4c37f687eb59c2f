"""The columns of tables, as they are carried along in a manifest."""

from collections.abc import Collection, Sequence
from typing import Any

import pyarrow as pa

from jobs.console import say
from jobs.errors import JobError
from jobs.manifests.material import Material
from schemas.manifest import COLUMNS
from schemas.midi_files import EXPECTED_DURATION
from schemas.results import RESULT_SCHEMA

MIDI, SPLIT, PIECE = "midi", "split", "piece"
_OURS = {*(column.name for column in COLUMNS), *RESULT_SCHEMA.names, EXPECTED_DURATION, PIECE}


class Metadata:
    """All tables as one, whose rows are counted through; a file that no table tells of has nulls."""

    def __init__(self, material: Material) -> None:
        try:
            self._table = pa.concat_tables(material.tables, promote_options="permissive") if material.tables else None
        except pa.ArrowException as error:
            raise JobError(
                f"the tables' columns do not go together ({error}); build a manifest of each: a run takes several"
            ) from None
        firsts = [0]
        for table in material.tables:
            firsts.append(firsts[-1] + len(table))
        self.rows = [None if f.table is None or f.row is None else firsts[f.table] + f.row for f in material.files]
        self.names = [] if self._table is None else self._table.column_names

    def of_files(self, column: str, option: str) -> list[str | None]:
        """Each file's value in a column, as text; JobError, naming the option that asked for it, if there is none."""
        if self._table is None or column not in self.names:
            known = f"the columns are {', '.join(self.names)}" if self.names else "no source is a table"
            raise JobError(f"{option} {column}: there is no such column; {known}")
        values = [None if value in (None, "") else str(value) for value in self._table.column(column).to_pylist()]
        return [None if row is None else values[row] for row in self.rows]

    def carried(self, used: Collection[str]) -> "Carried":
        """The columns for a manifest, without those that it has used.

        One whose name has a meaning in a manifest or in results is called ``source_...``, which is said.
        """
        names: dict[str, str] = {}
        for name in self.names:
            new = name
            while new in _OURS or (new != name and new in self.names):
                new = f"source_{new}"
            if name not in used:
                names[name] = new
        if renamed := [f"{old} as {new}" for old, new in names.items() if old != new]:
            say(f"columns that are carried along under another name: {', '.join(renamed)}")
        table = None if self._table is None else self._table.select(list(names)).rename_columns(list(names.values()))
        return Carried(table, self.rows)


class Carried:
    """The columns that go along with the rows of files."""

    def __init__(self, table: pa.Table | None, rows: Sequence[int | None]) -> None:
        self._table = table
        self._rows = rows
        self.schema: pa.Schema = pa.schema([]) if table is None else table.schema.remove_metadata()

    def of(self, files: Sequence[int]) -> "list[pa.Array[Any]]":
        """The columns (one for each of the schema) of these files, by their numbers."""
        if self._table is None:
            return []
        places = pa.array([self._rows[number] for number in files], pa.int64())
        return [column.combine_chunks() for column in self._table.take(places).columns]

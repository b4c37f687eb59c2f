"""The prompt bank: a Parquet file that gives prompts (3 s of audio with its MIDI) ids to use in manifests."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from schemas.checks import (
    TEXT,
    Column,
    Problems,
    TableError,
    check_columns,
    open_parquet,
    read_column,
    readable,
)

COLUMNS = (
    Column("prompt_id", TEXT, required=True),
    Column("audio", TEXT, required=True),
    Column("midi", TEXT, required=True),
    Column("licence", TEXT),
    Column("source", TEXT),
    Column("transcriber", TEXT),
)
MAX_ID_CHARACTERS = 200


class PromptBankError(TableError):
    """A prompt bank that cannot be used; lists every problem with its column and first rows."""


@dataclass(frozen=True)
class BankPrompt:
    """One prompt of a bank; the paths are relative to the bank, or absolute.

    ``licence`` and ``source`` are the recording's, as far as they are known. ``transcriber`` is what heard the notes in
    it, where they are no MIDI that was played.
    """

    prompt_id: str
    audio: str
    midi: str
    licence: str | None = None
    source: str | None = None
    transcriber: str | None = None


def read_prompt_bank(path: Path) -> Mapping[str, BankPrompt]:
    """The prompts of a bank by id; PromptBankError lists all that is wrong with it."""
    file = open_parquet(path, PromptBankError)
    problems = Problems()
    check_columns(file.schema_arrow, COLUMNS, problems)
    if problems:
        raise PromptBankError(str(path), list(problems))
    bank: dict[str, BankPrompt] = {}
    row = 0
    with readable(path, PromptBankError):
        for batch in file.iter_batches(columns=[c.name for c in COLUMNS if c.name in file.schema_arrow.names]):
            columns = [read_column(batch, column).to_pylist() for column in COLUMNS]
            for values in zip(*columns, strict=True):
                prompt = BankPrompt(*values)
                _check(prompt, row, bank, problems)
                bank[prompt.prompt_id] = prompt
                row += 1
    if problems:
        raise PromptBankError(str(path), list(problems))
    if not bank:
        raise PromptBankError(str(path), ["has no rows"])
    return bank


def _check(prompt: BankPrompt, row: int, bank: Mapping[str, BankPrompt], problems: Problems) -> None:
    for column in COLUMNS:
        value = getattr(prompt, column.name)
        if value is None and not column.required:
            continue
        if value is None:
            problems.row(column.name, "is null", row, value)
        elif not value and column.required:
            problems.row(column.name, "is empty", row, value)
        elif "\0" in value:
            problems.row(column.name, "holds a NUL character", row, value)
    prompt_id = prompt.prompt_id
    if prompt_id and not (prompt_id.isprintable() and len(prompt_id) <= MAX_ID_CHARACTERS):
        reason = f"holds control characters or is longer than {MAX_ID_CHARACTERS} characters"
        problems.row("prompt_id", reason, row, prompt_id)
    if prompt_id in bank:
        problems.row("prompt_id", "is not unique", row, prompt_id)

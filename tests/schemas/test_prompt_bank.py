from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.prompts import BankPrompt, PromptBankError, read_prompt_bank


def write(folder: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), folder / "bank.parquet")
    return folder / "bank.parquet"


def test_prompts_are_read_by_id(tmp_path: Path) -> None:
    bank = read_prompt_bank(write(tmp_path, prompt_id=["x", "y"], audio=["x.wav", "y.wav"], midi=["m", "n"]))
    assert bank == {"x": BankPrompt("x", "x.wav", "m"), "y": BankPrompt("y", "y.wav", "n")}


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"prompt_id": ["x", "x"]}, "column 'prompt_id': is not unique in 1 row(s): row 1 'x'"),
        ({"prompt_id": ["x", None]}, "column 'prompt_id': is null"),
        ({"prompt_id": ["", "y"]}, "column 'prompt_id': is empty in 1 row(s): row 0"),
        ({"prompt_id": ["x\n", "y"]}, "control characters"),
        ({"audio": ["x.wav", None]}, "column 'audio': is null in 1 row(s): row 1"),
        ({"midi": [1, 2]}, "column 'midi': has type int64, must be string"),
        ({"midi": None}, "column 'midi': is missing"),
    ],
)
def test_a_wrong_bank_is_refused_with_column_and_rows(tmp_path: Path, columns: dict[str, Any], expected: str) -> None:
    table = {"prompt_id": ["x", "y"], "audio": ["x.wav", "y.wav"], "midi": ["x.mid", "y.mid"]} | columns
    path = write(tmp_path, **{name: values for name, values in table.items() if values is not None})
    with pytest.raises(PromptBankError) as error:
        read_prompt_bank(path)
    assert expected in str(error.value)


def test_a_bank_without_prompts_is_refused(tmp_path: Path) -> None:
    empty = pa.array([], pa.string())
    with pytest.raises(PromptBankError, match="has no rows"):
        read_prompt_bank(write(tmp_path, prompt_id=empty, audio=empty, midi=empty))

import pytest

from schemas.item_ids import folded, why_unsafe


@pytest.mark.parametrize("item_id", ["a", "Chopin, Op. 10 No. 1", "op.27", "x" * 200, "前奏曲", "console", "com10"])
def test_ordinary_names_are_safe(item_id: str) -> None:
    assert why_unsafe(item_id) is None


@pytest.mark.parametrize(
    "item_id",
    [
        *("", "../x", "..", ".hidden", "a/b", "a\\b", "a:b", "a*", "a?", '"a"', "a|b", "<a>"),
        *("a\n", "a\0b", "\x1b[31m", "a\u202eb", "a\ud800", "end.", "end ", " start"),
        *("x" * 201, "x" * 300, "é" * 101, "CON", "con.flac", "Lpt1", "COM¹", "nul"),
    ],
)
def test_names_that_some_system_refuses_are_unsafe(item_id: str) -> None:
    assert why_unsafe(item_id) is not None


def test_ids_that_are_one_file_somewhere_fold_to_the_same() -> None:
    assert folded("Étude") == folded("e\u0301tude")
    assert folded("ABC") == folded("abc")
    assert folded("straße") == folded("STRASSE")
    assert folded("a1") != folded("a2")

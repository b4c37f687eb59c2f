"""Notes are those that pretty_midi and symusic agree on; those of a damaged file are those of the whole one."""

from pathlib import Path

import pytest

from tests.renderer.midi.compare_readers import Comparison, compare, is_same, read_with_ours
from tests.renderer.midi.damages import HARMLESS, variants

ROOT = Path(__file__).parents[3]
FILES = [
    ROOT / "examples/midi/satie-gymnopedie-1.mid",
    ROOT / "examples/midi/bach-bwv-846.mid",
    *sorted((ROOT / "renderer/weights/bundled/mini/prompts").glob("*.mid")),
]
READ_ALIKE = {"as it is", "double_note_offs", "double_strikes", "add_empty_notes"}
"""These the other two read as well; with lost note-offs and miscounted tracks they lose notes."""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_notes_are_those_of_other_readers_and_of_the_whole_file(path: Path) -> None:
    whole = read_with_ours(path.read_bytes())
    harmless = {damage.__name__ for damage in HARMLESS}
    for kind, data in variants(path):
        if kind in harmless:
            assert is_same(read_with_ours(data), whole), kind
        if kind in READ_ALIKE:
            found = compare(data)
            assert isinstance(found, Comparison) and found.is_same, f"{kind}: {found}"
            assert found.agreed >= 0.4 * len(whole)

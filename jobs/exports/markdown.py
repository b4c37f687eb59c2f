"""Text and tables of a card, in which nothing that comes from a manifest can become markup."""

import re
from collections.abc import Iterable
from html import escape

from jobs.console import one_line

_MARKUP = re.compile(r"([\\`*_{}\[\]#|~!])")


def plain(value: object) -> str:
    """Anything as text of one line: no HTML, and none of Markdown's signs."""
    return _MARKUP.sub(r"\\\1", escape(one_line(str(value)), quote=False))


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A table of texts."""
    names = list(head)
    lines = [names, ["---"] * len(names), *([plain(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def bullets(entries: Iterable[object]) -> str:
    """A list of texts."""
    return "\n".join(f"- {plain(entry)}" for entry in entries)

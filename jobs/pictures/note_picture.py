"""Notes drawn over a spectrogram, as SVG."""

from collections.abc import Iterator
from html import escape
from importlib.resources import files

from jobs.pictures.spectrogram import KEYS, TOP_KEY, Spectrogram
from renderer.midi.notes import Notes

STYLE = """
.sound { display: block; width: 100%; height: 12rem; background: #000004; }
.sound .note { fill: none; stroke: #7df9ff; stroke-width: 1px; vector-effect: non-scaling-stroke; }
.sound .sounds { fill: #7df9ff; fill-opacity: .75; }
.sound .playhead { stroke: #fff; stroke-width: 1.5px; vector-effect: non-scaling-stroke; }
"""
"""What a page needs to show it."""


def player_script() -> str:
    """What a page needs to let pictures follow players: ``follow(element)`` of one that holds one of each."""
    return (files("jobs.pictures") / "player.js").read_text("utf-8")


def note_picture(picture: Spectrogram, notes: Notes, image: str | None = None) -> str:
    """An ``<svg class="sound">`` of the picture with notes over it, which stretches to any width and height.

    Its coordinates are seconds to the right and keys downwards: a note of key k begins at (onset, 116 - k) and is 1
    high. A line of class ``playhead`` stands at 0 s, and moves in a page with :func:`player_script`. ``image`` is the
    address of the PNG where the page shall not hold it.
    """
    href = escape(picture.data_uri() if image is None else image)
    whole = f'width="{picture.seconds:.4f}" height="{KEYS}"'
    return (
        f'<svg class="sound" viewBox="0 0 {picture.seconds:.4f} {KEYS}" preserveAspectRatio="none" role="img">'
        f'<image href="{href}" {whole} preserveAspectRatio="none"/>{"".join(_rectangles(notes, picture.seconds))}'
        f'<line class="playhead" x1="0" x2="0" y1="0" y2="{KEYS}"/></svg>'
    )


def _rectangles(notes: Notes, seconds: float) -> Iterator[str]:
    """The notes that sound within the picture."""
    columns = (notes.onset.tolist(), notes.offset.tolist(), notes.pitch.tolist())
    for onset, offset, pitch in zip(*columns, strict=True):
        begin, end = max(onset, 0.0), min(offset, seconds)
        if begin < end:
            place = f'x="{begin:.3f}" y="{TOP_KEY - pitch}" width="{end - begin:.3f}"'
            yield f'<rect class="note" {place} height="1"/>'

"""Charts as inline SVG, without a script: a line over time, and histograms."""

from collections.abc import Sequence
from html import escape

import numpy as np

WIDTH, HEIGHT = 640, 180
LEFT, BOTTOM, TOP = 56, 24, 8
BARS = 40


def steps(values: Sequence[float], last: str, unit: str, marks: Sequence[float] = ()) -> str:
    """Values of equal intervals of time, which ends at ``last``; ``marks`` (0 to 1) are vertical lines in it."""
    top = max(values, default=0.0) or 1.0
    width = (WIDTH - LEFT) / max(len(values), 1)
    points = []
    for index, value in enumerate(values):
        height = _y(value / top)
        points += [f"{LEFT + index * width:.1f},{height:.1f}", f"{LEFT + (index + 1) * width:.1f},{height:.1f}"]
    corners = f"{LEFT},{_y(0):.1f} {' '.join(points)} {WIDTH},{_y(0):.1f}"
    lines = [f'<polygon points="{corners}"/>']
    for mark in marks:
        x = LEFT + mark * (WIDTH - LEFT)
        lines.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{_y(0):.1f}"/>')
    return _chart(lines, top, unit, "0", last)


def histogram(values: Sequence[float], unit: str) -> str:
    """How often which values occur."""
    counts, edges = np.histogram(values, bins=BARS)
    top = max(counts.max(initial=0), 1)
    width = (WIDTH - LEFT) / BARS
    bars = [
        f'<rect x="{LEFT + index * width:.1f}" y="{_y(count / top):.1f}" width="{width - 1:.1f}" '
        f'height="{_y(0) - _y(count / top):.1f}"/>'
        for index, count in enumerate(counts)
        if count
    ]
    return _chart(bars, top, "items", f"{edges[0]:.3g} {unit}", f"{edges[-1]:.3g} {unit}")


def _chart(content: Sequence[str], top: float, unit: str, first: str, last: str) -> str:
    labels = [
        (LEFT - 6, _y(1) + 10, "end", f"{top:.3g}"),
        (LEFT - 6, _y(1) + 24, "end", unit),
        (LEFT - 6, _y(0), "end", "0"),
        (LEFT, HEIGHT - 6, "start", first),
        (WIDTH, HEIGHT - 6, "end", last),
    ]
    texts = [f'<text x="{x}" y="{y:.0f}" text-anchor="{side}">{escape(text)}</text>' for x, y, side, text in labels]
    axis = f'<line x1="{LEFT}" x2="{WIDTH}" y1="{_y(0):.1f}" y2="{_y(0):.1f}"/>'
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{"".join([*content, axis, *texts])}</svg>'


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)

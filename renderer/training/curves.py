"""The curves of a training as an SVG picture, which needs nothing but a browser."""

import html
import math
from collections.abc import Mapping, Sequence
from statistics import fmean

from renderer.training.history import Record, series

WIDTH, HEIGHT, MARGIN = 420, 260, 48
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#17becf", "#7f7f7f")
POINTS = 400


def curves_svg(records: list[Record], panels: Mapping[str, Sequence[str]]) -> str:
    """One panel beside the other, each with a title and the figures that it shows over the steps.

    Long series are thinned by averaging neighbours. Figures that no record has are left out.
    """
    drawn = {title: _lines(records, names) for title, names in panels.items()}
    drawn = {title: lines for title, lines in drawn.items() if lines}
    parts = [_panel(title, lines, index * WIDTH) for index, (title, lines) in enumerate(drawn.items())]
    width = max(1, len(parts)) * WIDTH
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{HEIGHT}" '
        f'viewBox="0 0 {width} {HEIGHT}" font-family="sans-serif" font-size="11">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n'
    )


Line = tuple[str, list[float], list[float]]


def _lines(records: list[Record], names: Sequence[str]) -> list[Line]:
    lines = []
    for name in names:
        steps, values = series(records, name)
        finite = [(step, value) for step, value in zip(steps, values, strict=True) if math.isfinite(value)]
        if finite:
            lines.append((name, *_thinned(finite)))
    return lines


def _thinned(points: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    stride = -(-len(points) // POINTS)
    chunks = [points[begin : begin + stride] for begin in range(0, len(points), stride)]
    steps = [fmean(step for step, _ in chunk) for chunk in chunks]
    return steps, [fmean(value for _, value in chunk) for chunk in chunks]


def _panel(title: str, lines: list[Line], left: int) -> str:
    right_step = max(max(steps) for _, steps, _ in lines) or 1.0
    low, high = min(min(values) for *_, values in lines), max(max(values) for *_, values in lines)
    if high == low:
        low, high = low - 0.5, high + 0.5

    def x(step: float) -> float:
        return left + MARGIN + step / right_step * (WIDTH - MARGIN - 16)

    def y(value: float) -> float:
        return HEIGHT - 28 - (value - low) / (high - low) * (HEIGHT - 28 - 30)

    parts = [f'<text x="{left + MARGIN}" y="18" font-size="13">{html.escape(title)}</text>']
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        value, step = low + share * (high - low), share * right_step
        parts.append(
            f'<line x1="{x(0):.1f}" x2="{x(right_step):.1f}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#ddd"/>'
            f'<text x="{x(0) - 4:.1f}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.3g}</text>'
            f'<text x="{x(step):.1f}" y="{HEIGHT - 10}" text-anchor="middle">{step:.4g}</text>'
        )
    for index, (name, steps, values) in enumerate(lines):
        colour = COLOURS[index % len(COLOURS)]
        points = " ".join(f"{x(step):.1f},{y(value):.1f}" for step, value in zip(steps, values, strict=True))
        dot = f'<circle cx="{x(steps[-1]):.1f}" cy="{y(values[-1]):.1f}" r="2" fill="{colour}"/>'
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.3"/>{dot}')
        label = f"{html.escape(name)} {values[-1]:.3g}"
        place = f'x="{x(right_step) - 4:.1f}" y="{34 + 14 * index}"'
        parts.append(f'<text {place} fill="{colour}" text-anchor="end">{label}</text>')
    return "".join(parts)

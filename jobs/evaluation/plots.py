"""The plots of an evaluation; matplotlib is imported when they are drawn."""

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from renderer.evaluation.optional import optional_import

_PLOTS = {
    "spectrogram_gt": "Spectrogram distortion to the recording",
    "chroma_gt": "Chroma distortion to the recording",
    "onset_f1": "Onset F1 by transcription",
}


def draw_plots(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, bytes]]:
    """A PNG of how each measure is distributed over the clips, by system, for those that were taken."""
    figures = optional_import("matplotlib.figure", "plots")
    systems = list(dict.fromkeys(row["system"] for row in rows))
    for measure, title in _PLOTS.items():
        values = {
            system: [row[measure] for row in rows if row["system"] == system and row.get(measure) is not None]
            for system in systems
        }
        values = {system: found for system, found in values.items() if found}
        if not values:
            continue
        figure = figures.Figure(figsize=(8, 1 + 0.5 * len(values)), layout="constrained")
        axes = figure.add_subplot()
        axes.boxplot(list(values.values()), orientation="horizontal", tick_labels=list(values), whis=(5, 95))
        axes.invert_yaxis()
        axes.set_title(f"{title}: median, quartiles, 5 to 95 %")
        axes.grid(axis="x", alpha=0.3)
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=120)
        yield f"{measure}.png", content.getvalue()

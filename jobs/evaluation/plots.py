"""The plots of an evaluation; matplotlib is imported when they are drawn."""

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jobs.evaluation.summary import summarize
from renderer.evaluation.optional import optional_import
from schemas.evaluation import OCTAVE_MEASURES, OCTAVES_HZ

_PLOTS = {
    "spectrogram_gt": "Spectrogram distortion to the recording",
    "chroma_gt": "Chroma distortion to the recording",
    "onset_f1": "Onset F1 by transcription",
    "offset_f1": "F1 with offsets by transcription",
    "velocity_correlation": "Correlation of velocities",
    "above_4_khz": "Level above 4 kHz beside the recording's, dB",
    "decay_error": "Error of the decay, %",
    "noise_floor_step": "Step of the noise floor at joints, dB",
}


def draw_plots(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, bytes]]:
    """PNGs of how each measure is distributed over the clips, by system, and of octaves, for those that were taken."""
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
        yield f"{measure}.png", _png(figure)
    if any(row.get(measure) is not None for row in rows for measure in OCTAVE_MEASURES):
        yield "octaves.png", _png(_octaves(figures, rows))


def _octaves(figures: Any, rows: Sequence[Mapping[str, Any]]) -> Any:
    """Levels beside the recording's by octave: means with their 95 % intervals."""
    figure = figures.Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot()
    for summary in summarize(rows, {}):
        found = [
            (hertz, summary.estimates[measure])
            for measure, hertz in zip(OCTAVE_MEASURES, OCTAVES_HZ, strict=True)
            if measure in summary.estimates
        ]
        if found:
            hertz, estimates = zip(*found, strict=True)
            means, widths = ([getattr(each, name) for each in estimates] for name in ("mean", "half_width"))
            axes.errorbar(hertz, means, yerr=widths, capsize=3, label=summary.system)
    axes.set_xscale("log", base=2)
    axes.set_xticks(OCTAVES_HZ, [str(hertz) for hertz in OCTAVES_HZ])
    axes.set_title("Octaves from so many Hz up, beside the recording's at an equal level, dB")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def _png(figure: Any) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=120)
    return content.getvalue()

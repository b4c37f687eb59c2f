"""An evaluation as a page of Markdown tables."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from jobs.evaluation.published_figures import PUBLISHED
from jobs.evaluation.summary import Estimate, SystemSummary, summarize
from renderer.evaluation.frechet import Gaussian
from schemas.evaluation import OCTAVE_MEASURES, OCTAVES_HZ

Column = tuple[str, str, int]
"""A measure, its title, and how many digits it has behind the point."""

DISTANCES: Sequence[Column] = (
    ("spectrogram_gt", "spectrogram, GT", 3),
    ("spectrogram_rc", "spectrogram, RC", 3),
    ("chroma_gt", "chroma, GT", 3),
    ("chroma_rc", "chroma, RC", 3),
)
NOTES: Sequence[Column] = (
    ("onset_precision", "precision", 3),
    ("onset_recall", "recall", 3),
    ("onset_f1", "onset F1", 3),
    ("offset_f1", "offset F1", 3),
    ("velocity_f1", "velocity F1", 3),
    ("velocity_correlation", "velocity r", 3),
    ("velocity_error", "velocity error", 1),
)
SOUND: Sequence[Column] = (
    ("level", "level, dB", 1),
    ("above_4_khz", "above 4 kHz, dB", 1),
    ("decay", "decay, s", 2),
    ("decay_error", "decay error, %", 0),
    ("piano_recognised", "piano", 3),
    ("room_recognised", "room", 3),
    ("condition_recognised", "condition", 3),
    ("joint_prominence", "joints", 2),
    ("noise_floor_step", "noise floor, dB", 1),
)
OCTAVES: Sequence[Column] = tuple(
    (measure, f"{hertz} Hz", 1) for measure, hertz in zip(OCTAVE_MEASURES, OCTAVES_HZ, strict=True)
)
_OF_SUBSETS: tuple[str, ...] = (
    "spectrogram_gt",
    "chroma_gt",
    "onset_f1",
    "offset_f1",
    "velocity_correlation",
    "above_4_khz",
)
_OF_SUBSETS += ("decay_error", "piano_recognised", "room_recognised", "condition_recognised", "noise_floor_step")
SUBSETS = tuple(column for column in (*DISTANCES, *NOTES, *SOUND) if column[0] in _OF_SUBSETS)

_ABOUT_DISTANCES = """\
GT: against the recording. RC: against the recording through the codec. FAD: Frechet distance of the frames of all
clips, in the codec's quantized latents (which favours what the codec itself decoded) or in an independent embedding;
it depends on how many frames there are ({frames}), so compare only within this table. Spectrogram and chroma:
distortions, 0 is equal. Published rows were taken on other data with the published model: for orientation."""
_ABOUT_NOTES = """\
Notes found by transcription ({transcriber}), by pitch and onset (50 ms), by offset too (20 %), by velocity too.
Velocities of the notes found: Pearson's correlation, and the mean absolute difference (of 127), in which the level
counts as well."""
_ABOUT_SOUND = """\
Level: all octaves together beside the recording's. Above 4 kHz: beside the recording's at an equal level; below 0 is
dull. Decay: seconds for 60 dB where no key is held, and how far from the recording's. Piano, room, condition: the share
of clips taken for the recording's, among {known}. Joints: spectral flux at the worst joint over what is usual
elsewhere; 1 is nothing to hear. Noise floor: its step at the joints; other rows say what music does at these places.
Length: the largest error in frames. Sampled pianos and soundfonts are as loud as the recording, and dry."""


def evaluation_page(
    rows: Sequence[Mapping[str, Any]],
    gaussians: Mapping[tuple[str, str], Gaussian],
    transcriber: str | None,
    known: Sequence[str],
    published: bool,
) -> str:
    """All tables that have something to say; ``known`` are the conditions among which sounds were named."""
    summaries = summarize(rows, gaussians)
    parts = ["# Evaluation", "Means over clips, with 95 % t intervals; in brackets, of how many clips, if not of all."]
    parts += [_distances(summaries, published), _ABOUT_DISTANCES.format(frames=_frames(summaries))]
    if notes := _table(summaries, NOTES):
        parts += ["## Notes", notes, _ABOUT_NOTES.format(transcriber=transcriber)]
    parts += ["## Sound", _sound(summaries), _ABOUT_SOUND.format(known=_counts(known))]
    if octaves := _table(summaries, OCTAVES):
        parts += [
            "## Octaves",
            octaves,
            "Levels in dB beside the recording's at an equal level, from each frequency up.",
        ]
    if held_out := _table(_apart(rows), SUBSETS):
        parts += ["## Conditions apart", held_out, "Seen: of clips in conditions that training clips have, too."]
    return "\n\n".join(parts) + "\n"


def _distances(summaries: Sequence[SystemSummary], published: bool) -> str:
    embeddings = list(dict.fromkeys(name for summary in summaries for name in summary.frames))
    frechet = [(f"FAD {name}, {short.upper()}", name, short) for name in embeddings for short in ("gt", "rc")]
    frechet = [entry for entry in frechet if any(entry[1:] in summary.frechet for summary in summaries)]
    columns = _taken(summaries, DISTANCES)
    lines = [["system", "clips", *(title for title, *_ in frechet), *(title for _, title, _ in columns)]]
    for summary in summaries:
        distances = [_number(summary.frechet.get((name, short))) for _, name, short in frechet]
        lines.append([summary.system, _clips(summary), *distances, *_estimates(summary, columns)])
    for row in PUBLISHED if published and (frechet or columns) else ():
        distances = [_number(row.distances.get(f"fad_{name}_{short}")) for _, name, short in frechet]
        figures = [row.figures.get(measure) for measure, *_ in columns]
        cells = ["" if figure is None else f"{figure[0]:.3f} ± {figure[1]:.3f}" for figure in figures]
        lines.append([row.system, "", *distances, *cells])
    return _markdown(lines)


def _sound(summaries: Sequence[SystemSummary]) -> str:
    columns = _taken(summaries, SOUND)
    has_length = any(summary.worst_length_error is not None for summary in summaries)
    lines = [["system", *(title for _, title, _ in columns), *(["length"] if has_length else [])]]
    for summary in summaries:
        length = [_number(summary.worst_length_error)] if has_length else []
        lines.append([summary.system, *_estimates(summary, columns), *length])
    return _markdown(lines)


def _table(summaries: Sequence[SystemSummary], wanted: Sequence[Column]) -> str:
    """Every system as a row; empty if nothing was measured."""
    columns = _taken(summaries, wanted)
    if not columns:
        return ""
    lines = [["system", "clips", *(title for _, title, _ in columns)]]
    lines += [[summary.system, _clips(summary), *_estimates(summary, columns)] for summary in summaries]
    return _markdown(lines)


def _apart(rows: Sequence[Mapping[str, Any]]) -> list[SystemSummary]:
    """Every system on seen and on held-out conditions; none if there are no held-out ones."""
    if not any(row.get("held_out") for row in rows):
        return []
    names = {False: "seen", True: "held out"}
    named = [
        {**row, "system": f"{row['system']}: {names[row['held_out']]}"} for row in rows if row.get("held_out") in names
    ]
    return sorted(summarize(named, {}), key=lambda summary: summary.system.endswith(names[True]))


def _taken(summaries: Sequence[SystemSummary], columns: Sequence[Column]) -> list[Column]:
    return [column for column in columns if any(column[0] in summary.estimates for summary in summaries)]


def _estimates(summary: SystemSummary, columns: Sequence[Column]) -> list[str]:
    clips = summary.clips - summary.failed
    return [_estimate(summary.estimates.get(measure), digits, clips) for measure, _, digits in columns]


def _estimate(estimate: Estimate | None, digits: int, clips: int) -> str:
    if estimate is None:
        return ""
    interval = "" if math.isnan(estimate.half_width) else f" ± {estimate.half_width:.{digits}f}"
    count = f" ({estimate.count})" if estimate.count < clips else ""
    return f"{estimate.mean:.{digits}f}{interval}{count}"


def _clips(summary: SystemSummary) -> str:
    return f"{summary.clips - summary.failed}" + (f" ({summary.failed} failed)" if summary.failed else "")


def _counts(known: Sequence[str]) -> str:
    """How many pianos, rooms and conditions there are to choose from."""
    pianos, rooms = ({name.partition("@")[place] for name in known} for place in (0, 2))
    return f"{len(pianos)}, {len(rooms)} and {len(set(known))}"


def _frames(summaries: Sequence[SystemSummary]) -> str:
    """How many frames there are in each embedding, of the system that has most."""
    embeddings = dict.fromkeys(name for summary in summaries for name in summary.frames)
    most = {name: max(summary.frames.get(name, 0) for summary in summaries) for name in embeddings}
    return ", ".join(f"{name}: {count:,}" for name, count in most.items()) or "none were embedded"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    rule = ["---"] + ["---:"] * (len(lines[0]) - 1)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [lines[0], rule, *lines[1:]])

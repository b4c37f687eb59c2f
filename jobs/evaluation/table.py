"""The table of an evaluation, as Markdown."""

import math
from collections.abc import Sequence

from jobs.evaluation.published_figures import PUBLISHED
from jobs.evaluation.summary import Estimate, SystemSummary

_COLUMNS = (
    ("spectrogram_gt", "spectrogram, GT", 3),
    ("spectrogram_rc", "spectrogram, RC", 3),
    ("chroma_gt", "chroma, GT", 3),
    ("chroma_rc", "chroma, RC", 3),
    ("onset_f1", "onset F1", 3),
    ("offset_f1", "offset F1", 3),
    ("velocity_f1", "velocity F1", 3),
    ("velocity_correlation", "velocity r", 3),
    ("piano_recognised", "piano", 3),
    ("joint_prominence", "joints", 2),
)
_EXPLANATION = """\
GT: against the recording. RC: against the recording through the codec. Means over clips, with their 95 % t
intervals. FAD: Frechet distance of the frames of all clips, in the codec's quantized latents (which favours
what the codec itself decoded) or in an independent embedding; it depends on how many frames there are
({frames}), so compare only within this table. Spectrogram and chroma: distortions, 0 is equal. F1: notes found
by transcription ({transcriber}), by pitch and onset (50 ms), by offset too (20 %), by velocity too. Piano: the
share of clips whose spectrum is taken for the recording's piano, among those of the corpus. Joints: spectral
flux at the worst joint over what is usual elsewhere; 1 is nothing to hear. Length: the largest error in frames.
Sampled pianos are as loud as the recording. Published rows were taken on other data with the published model:
for orientation.
"""


def markdown_table(summaries: Sequence[SystemSummary], transcriber: str | None, published: bool) -> str:
    """Every system as a row, the published ones last; columns of which nothing is known are left out."""
    embeddings = list(dict.fromkeys(name for summary in summaries for name in summary.frames))
    distances = [(f"FAD {name}, {short.upper()}", name, short) for name in embeddings for short in ("gt", "rc")]
    distances = [entry for entry in distances if any(entry[1:] in summary.frechet for summary in summaries)]
    columns = [column for column in _COLUMNS if any(column[0] in summary.estimates for summary in summaries)]
    has_length = any(summary.worst_length_error is not None for summary in summaries)
    header = ["system", "clips", *(title for title, *_ in distances), *(title for _, title, _ in columns)]
    lines = [header + (["length"] if has_length else [])]
    for summary in summaries:
        clips = f"{summary.clips - summary.failed}" + (f" ({summary.failed} failed)" if summary.failed else "")
        cells = [summary.system, clips]
        cells += [_number(summary.frechet.get((name, short)), 3) for _, name, short in distances]
        cells += [_estimate(summary.estimates.get(measure), digits) for measure, _, digits in columns]
        lines.append(cells + ([_number(summary.worst_length_error, 3)] if has_length else []))
    for row in PUBLISHED if published else ():
        cells = [row.system, ""]
        cells += [_number(row.figures.get(f"fad_{name}_{short}"), 3) for _, name, short in distances]
        cells += [_number(row.figures.get(measure), digits) for measure, _, digits in columns]
        lines.append(cells + ([""] if has_length else []))
    rule = ["---"] + ["---:"] * (len(lines[0]) - 1)
    table = "\n".join("| " + " | ".join(cells) + " |" for cells in [lines[0], rule, *lines[1:]])
    explanation = _EXPLANATION.format(transcriber=transcriber or "not asked for", frames=_frames(summaries))
    return f"# Evaluation\n\n{table}\n\n{explanation}"


def _frames(summaries: Sequence[SystemSummary]) -> str:
    """How many frames there are in each embedding, of the system that has most."""
    embeddings = dict.fromkeys(name for summary in summaries for name in summary.frames)
    most = {name: max(summary.frames.get(name, 0) for summary in summaries) for name in embeddings}
    return ", ".join(f"{name}: {count:,}" for name, count in most.items()) or "none were embedded"


def _estimate(estimate: Estimate | None, digits: int) -> str:
    if estimate is None:
        return ""
    interval = "" if math.isnan(estimate.half_width) else f" ± {estimate.half_width:.{digits}f}"
    return f"{estimate.mean:.{digits}f}{interval}"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"

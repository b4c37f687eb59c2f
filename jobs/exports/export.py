"""``midi-valle export``: a finished run as a data set in one of the layouts that others read."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

from jobs.console import duration
from jobs.errors import JobError
from jobs.exports.card import LICENCES, Card
from jobs.exports.chosen import Chosen, ChosenShard
from jobs.exports.export_folder import ExportFolder
from jobs.exports.export_format import ExportFormat
from jobs.exports.export_options import ExportOptions
from jobs.exports.huggingface import HuggingFace
from jobs.exports.lhotse import Lhotse
from jobs.exports.licences import Licences
from jobs.exports.maestro import Maestro
from jobs.exports.nemo import Nemo
from jobs.exports.survey import Survey
from jobs.in_order import in_order
from jobs.inputs.inputs import Inputs
from jobs.inputs.run_model import find_run_model
from jobs.output.layouts import LAYOUTS
from jobs.run_directory.run_directory import RunDirectory
from jobs.storage import S3Access, open_storage
from schemas.run import Run

FORMATS: dict[str, Callable[[Chosen, ExportFolder], ExportFormat]] = {
    "huggingface": HuggingFace,
    "maestro": Maestro,
    "lhotse": Lhotse,
    "nemo": Nemo,
}

THREADS = 8
"""So many shards are placed side by side: on S3 most of the time is waiting."""

Advance = Callable[[int], object]


def export_run(options: ExportOptions, progress: Advance = lambda items: None) -> str:
    """Export a run; returns a summary of it. ``progress`` is called with items as they are placed.

    JobError says what is wrong with the run, or which licence is missing; then nothing was written.
    """
    access = S3Access(options.s3_endpoint_url)
    directory = RunDirectory(open_storage(options.run, access))
    run = directory.begun()
    _check_has_audio(directory, run)
    inputs = Inputs(s3=access)
    model = find_run_model(run, options.model, inputs)
    licences = Licences(run, options, model, inputs)
    chosen = Chosen(directory, run, options.only == "good")
    survey = Survey.of(chosen, licences)
    _check_finished(directory, run, survey)
    sources = licences.sources()
    folder = ExportFolder(options.out, _plan(options, run, survey))
    if not folder.begin():
        return f"exported already: {_summary(survey, folder)}"
    form = FORMATS[options.as_](chosen, folder)
    for shard in _placed(chosen, form):
        form.list(shard)
        progress(len(shard.rows))
    card = Card(options.title or folder.out.name, run, model, survey, sources, form.layout)
    folder.write(LICENCES, card.licences().encode())
    form.finish(card)
    folder.finish()
    return _summary(survey, folder)


def _placed(chosen: Chosen, form: ExportFormat) -> Iterator[ChosenShard]:
    """The shards in order, each when its items are in the folder; a few at a time are in memory."""

    def place(shard: ChosenShard) -> ChosenShard:
        form.place(shard)
        return shard

    with ThreadPoolExecutor(THREADS, "export") as pool:
        yield from in_order(pool, place, chosen.shards(), THREADS)


def _check_has_audio(directory: RunDirectory, run: Run) -> None:
    layout = run.settings.layout
    if LAYOUTS[layout].audio_folder is None:
        raise JobError(
            f"{directory.storage.uri} has the layout {layout}, which keeps no audio"
            + (": make it with midi-valle decode first, and export that" if layout == "codes" else "")
        )


def _check_finished(directory: RunDirectory, run: Run, survey: Survey) -> None:
    missing = len(run.shards) - survey.shards
    if missing:
        raise JobError(
            f"{directory.storage.uri}: {missing:,} of {len(run.shards):,} shards are not finished; "
            "give its render-corpus command again first"
        )
    if not survey.total.items:
        raise JobError(
            f"{directory.storage.uri}: no item is left to export: {survey.failed:,} failed, the rest is poor"
        )


def _plan(options: ExportOptions, run: Run, survey: Survey) -> bytes:
    """What is exported and how: by this an unfinished export is known again."""
    chosen = asdict(options) | {"out": None, "run": None, "s3_endpoint_url": None}
    plan = {
        "format": options.as_,
        "run": {"created": run.created, "manifest_sha256": run.manifest_sha256, "results": survey.sha256},
        "options": {name.rstrip("_"): value for name, value in chosen.items() if value is not None},
    }
    return (json.dumps(plan, indent=1, ensure_ascii=False) + "\n").encode()


def _summary(survey: Survey, folder: ExportFolder) -> str:
    total = survey.total
    splits = ", ".join(f"{split} {survey.splits[split].items:,}" for split in survey.order)
    return f"{total.items:,} items, {duration(total.seconds)} of audio ({splits}): {folder.out}"

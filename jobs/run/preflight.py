"""All that is checked before a run begins, so that mistakes are found before work starts."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pyarrow as pa
import torch

from jobs.errors import JobError
from jobs.inputs.inputs import Inputs, absolute, folder_of, is_s3
from jobs.inputs.manifest_files import ManifestFiles
from jobs.option import common_values
from jobs.output.layouts import check_layout
from jobs.run.agreement import versions
from jobs.run.file_check import look_for_files
from jobs.run.model_backend import ModelBackend
from jobs.run.options import RenderOptions, decibels
from jobs.run.plan import plan_shards
from jobs.shard.backend import Backend, ModelFacts
from renderer.audio.audio_file import AudioFormat, audio_suffix, check_rate
from renderer.audio.loudness import Level
from renderer.decoding.sampling import Sampling
from renderer.device import choose_batch_size, choose_precision
from renderer.file_hash import file_hash
from renderer.quality.quality import QualityThresholds
from schemas.checks import Problems, TableError, shown
from schemas.manifest import MIDI, PROMPT, PROMPT_AUDIO, PROMPT_MIDI, Manifest, ManifestError
from schemas.prompts import BankPrompt, read_prompt_bank
from schemas.run import Run, RunSettings

CHECKED_ROWS = 100_000
"""So many rows' files are looked for before a run begins; others are found missing when it is their turn."""


@dataclass(frozen=True, eq=False)
class Job:
    """A run that can begin: everything resolved and checked."""

    options: RenderOptions
    backend: Backend
    facts: ModelFacts
    manifest: Manifest
    bank: str | None
    inputs: Inputs
    run: Run
    actors: int
    gpus: int
    warnings: Sequence[str]


def prepare(options: RenderOptions, backend: Backend | None = None) -> Job:
    """Check a run's input and settings; JobError, TableError or RendererError say what is wrong."""
    options = _resolved(options)
    backend = backend or ModelBackend.from_options(options)
    level = _check_sound(options)
    thresholds = _thresholds(options.quality_threshold)
    files = ManifestFiles.find(options.manifest, Inputs(s3=options.s3))
    location = files.location
    bank_location = None if options.prompts is None else absolute(options.prompts)
    inputs = Inputs(_roots(options, location, bank_location), options.s3)
    with _named(files.paths[0], location):
        manifest = files.open()
    with _named(manifest.path, location):
        manifest.validate(options.id_separator if options.layout == "files" else "/")
        check_layout(manifest, options.layout)
    items = min(options.limit or manifest.row_count, manifest.row_count)
    facts = backend.describe()
    sample_rate = _check_rate(options, facts)
    bank: Mapping[str, BankPrompt] = {}
    bank_path = None if bank_location is None else inputs.local(bank_location)
    if bank_location is not None and bank_path is not None:
        with _named(bank_path, bank_location):
            bank = read_prompt_bank(bank_path)
        _check_bank(bank, bank_location, inputs, facts)
    with _named(manifest.path, location):
        _check_prompts(manifest, items, {*facts.prompt_ids, *bank})
    warnings = _unusable_files(manifest, location, inputs, items)
    gpus = options.gpus or 0
    actors = gpus or options.actors or max(1, _cpus() // options.cpus_per_actor)
    chosen = common_values(RunSettings, options) | asdict(level) | {"thresholds": asdict(thresholds)}
    chosen["pedal"] = facts.pedal if options.pedal == "model" else options.pedal
    settings = RunSettings(**chosen | {"sample_rate": sample_rate, "device": "cuda" if gpus else "cpu"})
    run = Run(
        manifest_path=location,
        manifest_sha256=files.sha256(),
        manifest_rows=manifest.row_count,
        rows_sha256=manifest.rows_sha256(items),
        prompts_path=bank_location,
        prompts_sha256=None if bank_path is None else file_hash(bank_path),
        model_id=facts.model_id,
        model_hash=facts.model_hash,
        settings=settings,
        shards=plan_shards(items, actors, options.shard_items, settings.batch_size),
        threads=options.cpus_per_actor,
        versions=versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return Job(options, backend, facts, manifest, bank_location, inputs, run, actors, gpus, warnings)


def _resolved(options: RenderOptions) -> RenderOptions:
    """The options with the GPUs, a precision and a batch size that suit the device, where they leave these open."""
    gpus = _count_gpus(options)
    device = "cuda" if gpus else "cpu"
    try:
        precision = choose_precision(options.precision, device)
    except ValueError as error:
        raise JobError(str(error)) from None
    batch_size = choose_batch_size(options.batch_size, device)
    return replace(options, gpus=gpus, precision=precision, batch_size=batch_size)


def _check_sound(options: RenderOptions) -> Level:
    try:
        audio_suffix(cast(AudioFormat, options.format))
        Sampling(**common_values(Sampling, options))
        return Level(decibels("loudness", options.loudness), decibels("peak", options.peak))
    except ValueError as error:
        raise JobError(str(error)) from None


def _thresholds(texts: Sequence[str]) -> QualityThresholds:
    """The thresholds that ``--quality-threshold NAME=VALUE`` changes, and the others as they are by default."""
    known = [field.name for field in fields(QualityThresholds)]
    values: dict[str, float] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in known:
            raise JobError(f"--quality-threshold {text}: there is no {name!r}; there are {', '.join(known)}")
        if name in values:
            raise JobError(f"--quality-threshold {name} is given twice")
        try:
            values[name] = float(value)
        except ValueError:
            raise JobError(f"--quality-threshold {text}: {value!r} is no number; write NAME=VALUE") from None
    try:
        return QualityThresholds(**values)
    except ValueError as error:
        raise JobError(f"--quality-threshold: {error}") from None


def _check_rate(options: RenderOptions, facts: ModelFacts) -> int:
    """The rate of the audio to be written."""
    rate = facts.sample_rate if options.sample_rate is None else options.sample_rate
    try:
        check_rate(cast(AudioFormat, options.format), rate)
    except ValueError as error:
        own = "" if options.sample_rate is not None else f" ({facts.model_id}'s own rate; --sample-rate resamples)"
        raise JobError(f"{error}{own}") from None
    return rate


def _roots(options: RenderOptions, *locations: str | None) -> tuple[str, ...]:
    """The local folders that rows may name: those of what the user has named, and those allowed beside."""
    folders = [folder_of(location) for location in locations if location is not None]
    named = [*folders, *([options.model] if Path(options.model).is_dir() else []), *options.allow_root]
    return tuple(dict.fromkeys(os.path.realpath(folder) for folder in named if not is_s3(folder)))


@contextmanager
def _named(path: Path, location: str) -> Iterator[None]:
    """Problems of a table are reported with the location that the user knows, not with that of a copy."""
    try:
        yield
    except TableError as error:
        raise type(error)(location if error.args[0] == str(path) else error.args[0], error.problems) from None


def _check_bank(bank: Mapping[str, BankPrompt], location: str, inputs: Inputs, facts: ModelFacts) -> None:
    if both := sorted(set(bank) & set(facts.prompt_ids)):
        raise JobError(f"{location}: {', '.join(map(shown, both))} also come with {facts.model_id}; rename them")
    files = [name for prompt in bank.values() for name in (prompt.audio, prompt.midi)]
    check = look_for_files(files, folder_of(location), inputs)
    if check.unusable:
        raise JobError(f"{location}: {check}")


def _check_prompts(manifest: Manifest, items: int, known: set[str]) -> None:
    problems = Problems()
    names = ", ".join(sorted(known)) or "none"
    row = 0
    for batch in _first(manifest.batches(PROMPT), items):
        prompts = batch.column(0)
        if unknown := {value for value in prompts.unique().to_pylist() if value is not None} - known:
            for place, prompt in enumerate(prompts.to_pylist(), row):
                if prompt in unknown:
                    problems.row(PROMPT.name, f"names no known prompt (known: {names})", place, prompt)
        row += len(batch)
    if problems:
        raise ManifestError(str(manifest.path), list(problems))


def _unusable_files(manifest: Manifest, location: str, inputs: Inputs, items: int) -> list[str]:
    """A warning for each column of which some files are missing; JobError if no MIDI file is there at all."""
    folder = folder_of(location)
    checked = min(items, CHECKED_ROWS)
    warnings = []
    for column in (MIDI, PROMPT_AUDIO, PROMPT_MIDI):
        names: set[str] = set()
        for batch in _first(manifest.batches(column), checked):
            names.update(name for name in batch.column(0).to_pylist() if name is not None)
        check = look_for_files(names, folder, inputs)
        if not check.unusable:
            continue
        what = f"column {column.name!r}: {check} (relative paths are looked for in {folder})"
        if column is MIDI and check.unusable == check.looked_for:
            raise JobError(f"{location}: {what}")
        warnings.append(f"{what}; their items will fail")
    return warnings


def _first(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """The batches' first rows."""
    for batch in batches:
        yield batch.slice(0, rows)
        rows -= len(batch)
        if rows <= 0:
            return


def _count_gpus(options: RenderOptions) -> int:
    """How many GPUs to use; 0 for the CPU."""
    if options.gpus is not None:
        return options.gpus
    if options.device == "cpu":
        return 0
    gpus = torch.cuda.device_count()
    if options.device == "cuda" and not gpus:
        raise JobError("--device cuda: this machine has no GPU that torch can use")
    return gpus


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

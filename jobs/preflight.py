"""All that is checked before a run begins, so that mistakes are found before work starts."""

import hashlib
import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import cast

import pyarrow as pa
import torch

from jobs.backend import Backend, ModelFacts
from jobs.errors import JobError
from jobs.options import RenderOptions
from jobs.plan import plan_shards
from jobs.storage import local_path
from renderer.audio import AudioFormat, audio_suffix
from renderer.device import choose_dtype
from renderer.sampling import Sampling
from schemas.checks import Problems, shown
from schemas.manifest import MIDI, PROMPT, PROMPT_AUDIO, PROMPT_MIDI, Manifest, ManifestError
from schemas.prompts import BankPrompt, read_prompt_bank
from schemas.run import Run, RunSettings

CHECKED_ROWS = 100_000
"""So many rows' files are looked for before a run begins; others are found missing when it is their turn."""

SHOWN_NAMES = 3


@dataclass(frozen=True, eq=False)
class Job:
    """A run that can begin: everything resolved and checked."""

    options: RenderOptions
    backend: Backend
    facts: ModelFacts
    manifest: Manifest
    bank: Path | None
    run: Run
    actors: int
    gpus: int
    warnings: tuple[str, ...]


def prepare(options: RenderOptions, backend: Backend) -> Job:
    """Check a run's input and settings; JobError, TableError or RendererError say what is wrong."""
    _check_encoding(options)
    manifest = Manifest.open(local_path(options.manifest).absolute())
    manifest.validate()
    items = min(options.limit or manifest.row_count, manifest.row_count)
    facts = backend.describe()
    bank_path = None if options.prompts is None else local_path(options.prompts).absolute()
    bank = {} if bank_path is None else read_prompt_bank(bank_path)
    if bank_path is not None:
        _check_bank(bank, bank_path, facts)
    _check_prompts(manifest, items, {*facts.prompt_ids, *bank})
    warnings = _missing_files(manifest, items)
    gpus = _count_gpus(options)
    actors = gpus or options.actors or max(1, _cpus() // options.cpus_per_actor)
    run = Run(
        manifest_path=str(manifest.path),
        manifest_sha256=_sha256(manifest.path),
        manifest_rows=manifest.row_count,
        prompts_path=None if bank_path is None else str(bank_path),
        prompts_sha256=None if bank_path is None else _sha256(bank_path),
        model_id=facts.model_id,
        model_hash=facts.model_hash,
        settings=_settings(options, facts, "cuda" if gpus else "cpu"),
        shards=plan_shards(items, actors, options.shard_items),
        threads=options.cpus_per_actor,
        versions=_versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return Job(options, backend, facts, manifest, bank_path, run, actors, gpus, tuple(warnings))


def _check_encoding(options: RenderOptions) -> None:
    try:
        audio_suffix(cast(AudioFormat, options.format))
        choose_dtype(options.precision)
        Sampling(options.temperature, options.top_k, options.top_p)
    except ValueError as error:
        raise JobError(str(error)) from None


def _check_bank(bank: Mapping[str, BankPrompt], path: Path, facts: ModelFacts) -> None:
    if both := sorted(set(bank) & set(facts.prompt_ids)):
        raise JobError(f"{path}: {', '.join(map(shown, both))} also come with {facts.model_id}; rename them")
    files = {local_path(name, path.parent) for prompt in bank.values() for name in (prompt.audio, prompt.midi)}
    if missing := sorted(str(file) for file in files if not file.is_file()):
        raise JobError(f"{path}: {len(missing):,} of its {len(files):,} files do not exist: {_some(missing)}")


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


def _missing_files(manifest: Manifest, items: int) -> Iterator[str]:
    """A warning for each column of which some files are missing; JobError if no MIDI file is there at all."""
    checked = min(items, CHECKED_ROWS)
    for column in (MIDI, PROMPT_AUDIO, PROMPT_MIDI):
        names: set[str] = set()
        for batch in _first(manifest.batches(column), checked):
            names.update(name for name in batch.column(0).to_pylist() if name is not None)
        missing = sorted(name for name in names if not local_path(name, manifest.path.parent).is_file())
        if not missing:
            continue
        what = (
            f"column {column.name!r}: {len(missing):,} of {len(names):,} files do not exist: {_some(missing)} "
            f"(relative paths are looked for in {manifest.path.parent})"
        )
        if column is MIDI and len(missing) == len(names):
            raise JobError(f"{manifest.path}: {what}")
        yield f"{what}; their items will fail"


def _first(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """The batches' first rows."""
    for batch in batches:
        yield batch.slice(0, rows)
        rows -= len(batch)
        if rows <= 0:
            return


def _some(names: list[str]) -> str:
    return ", ".join(map(shown, names[:SHOWN_NAMES])) + (", ..." if len(names) > SHOWN_NAMES else "")


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


def _settings(options: RenderOptions, facts: ModelFacts, device: str) -> RunSettings:
    return RunSettings(
        layout="files",
        format=options.format,
        tail=options.tail,
        pedal=facts.pedal if options.pedal == "model" else options.pedal,
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        seed=options.seed,
        limit=options.limit,
        device=device,
        precision=options.precision,
        batch_size=options.batch_size,
    )


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("render-corpus", "torch", "ray", "numpy", "soundfile"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

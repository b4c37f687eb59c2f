"""``midi-valle prepare``: a training corpus, made by a run whose model is a sampled piano, or a recording."""

import hashlib
import io
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.console import say
from jobs.corpora.backend import CodecFiles, RecordingsBackend, StudioBackend
from jobs.corpora.conditions import facts_text
from jobs.corpora.corpus import FACTS
from jobs.corpora.plan import Augmentation, PlanSettings, plan_clips
from jobs.corpora.prepare_options import TAIL_SECONDS, PrepareOptions
from jobs.corpora.sources import SourcePiece, names_held_out, read_source, without
from jobs.errors import JobError
from jobs.inputs.inputs import Inputs, folder_of, is_s3
from jobs.option import common_values
from jobs.run.options import RenderOptions
from jobs.run.render import render_corpus
from jobs.shard.backend import Backend
from jobs.storage import Storage, open_storage
from jobs.storage.s3_options import S3Options
from renderer.pianos.clips import ClipLengths

PLAN_KEY = "_state/manifest.parquet"
"""The plan is a manifest. It lies in the run's own folder, so that every machine of a cluster can read it."""

PLANNED_BY = b"prepare"
SHOWN_FAULTS = 5


def prepare_corpus(options: PrepareOptions) -> int:
    """Prepare a corpus, or go on where an earlier call stopped. Returns an exit code like ``render_corpus``'s.

    JobError, TableError or RendererError say what is wrong with the input.
    """
    return render_corpus(*planned(options))


def planned(options: PrepareOptions) -> tuple[RenderOptions, Backend]:
    """The run that prepares a corpus, and what it renders with; its plan is written if there is none."""
    inputs = Inputs(s3=options.s3)
    sources = [without(read_source(source, inputs), names_held_out(options.hold_out)) for source in options.sources]
    recorded = _are_recorded(sources, options)
    storage = open_storage(options.out, inputs.s3)
    codec = None if options.codec is None else CodecFiles(options.codec)
    plan = _plan(options, sources, storage, inputs, None if codec is None else codec.sha256())
    backend: Backend = RecordingsBackend(options.pedal, codec)
    if not recorded:
        backend = StudioBackend(options.pianos(), options.recording_conditions().all, options.pedal, codec)
    run = RenderOptions(
        manifest=f"{storage.uri.rstrip('/')}/{PLAN_KEY}",
        out=options.out,
        allow_root=_roots(plan),
        **common_values(S3Options, options),
        layout="parquet",
        format=options.format,
        save_codes=codec is not None,
        tail=TAIL_SECONDS,
        pedal=options.pedal,
        seed=options.seed,
        shard_items=options.shard_items,
        actors=options.actors,
        cpus_per_actor=options.cpus_per_actor,
        device="cpu",
        ray_address=options.ray_address,
        item_timeout=options.item_timeout,
        max_failures=options.max_failures,
        retry_failed=options.retry_failed,
    )
    return run, backend


def _are_recorded(sources: Sequence[Sequence[SourcePiece]], options: PrepareOptions) -> bool:
    """Whether the corpus is of recordings; JobError if that is not clear."""
    kinds = {piece.audio is not None for source in sources for piece in source}
    if not kinds:
        raise JobError("nothing is left: all MIDI files are held out")
    if len(kinds) > 1:
        raise JobError("recordings and MIDI files for sampled pianos make two corpora; train on both")
    recorded = kinds.pop()
    if recorded and options.piano:
        raise JobError("--piano does not go with a table of recordings")
    if not recorded and not options.piano:
        raise JobError("MIDI files need at least one --piano NAME=PATH to be played on")
    return recorded


def _plan(
    options: PrepareOptions,
    sources: Sequence[Sequence[SourcePiece]],
    storage: Storage,
    inputs: Inputs,
    codec: str | None,
) -> pa.Table:
    """The manifest that an earlier call left, or a new one; JobError if that was of another corpus."""
    settings = PlanSettings(
        hours=options.hours,
        validation=options.validation,
        test=options.test,
        lengths=ClipLengths(options.shortest, options.longest),
        pedal=options.pedal,
        conditions=options.recording_conditions(),
        augmentation=Augmentation(options.transpose, options.velocity_scale, options.tempo_scale),
        tail=TAIL_SECONDS,
        seed=options.seed,
    )
    shares = options.share or [1.0] * len(sources)
    shares = [share / sum(shares) for share in shares]
    held_out = sorted(names_held_out(options.hold_out))
    wanted = asdict(settings) | {"sources": list(options.sources), "shares": shares, "held_out": held_out}
    facts = {name: facts_text(each) for name, each in settings.conditions.facts().items()}
    digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    wanted = json.loads(json.dumps(wanted | {"codec": codec, "facts": digest}))
    if storage.exists(PLAN_KEY):
        plan = pq.read_table(io.BytesIO(storage.read(PLAN_KEY)))
        before = json.loads((plan.schema.metadata or {}).get(PLANNED_BY, b"{}"))
        if differing := [name for name in wanted if wanted[name] != before.get(name)]:
            lines = "\n".join(f"  - {name}: {before.get(name)!r} there, {wanted[name]!r} now" for name in differing)
            raise JobError(f"{storage.uri} holds another corpus:\n{lines}\nGive its own options, or another --out")
        return plan
    say(f"reading and cutting {sum(map(len, sources)):,} performances")
    plan, faults = plan_clips(sources, shares, settings, inputs)
    for fault in faults[:SHOWN_FAULTS]:
        say(f"warning: left out: {fault}")
    if len(faults) > SHOWN_FAULTS:
        say(f"warning: and {len(faults) - SHOWN_FAULTS:,} more files are left out")
    plan = plan.append_column("codec", pa.array([codec] * len(plan), pa.string()))
    known = [facts.get(str(name)) for name in plan["condition"].to_pylist()]
    plan = plan.append_column(FACTS, pa.array(known, pa.string()))
    plan = plan.replace_schema_metadata({PLANNED_BY: json.dumps(wanted).encode()})
    file = io.BytesIO()
    pq.write_table(plan, file)
    if not storage.create(PLAN_KEY, file.getvalue()):
        raise JobError(f"{storage.uri}: another corpus has just begun here; run the command again")
    return plan


def _roots(plan: pa.Table) -> list[str]:
    """The local folders that hold the plan's files."""
    names = {name for column in ("midi", "prompt_audio") for name in plan[column].unique().to_pylist() if name}
    folders = sorted({folder_of(name) for name in names if not is_s3(name)})
    # Of folders within one another the outermost will do.
    return [folder for folder in folders if not any(_holds(other, folder) for other in folders)]


def _holds(folder: str, other: str) -> bool:
    return folder != other and os.path.commonpath([folder, other]) == str(Path(folder))

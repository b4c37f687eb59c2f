"""``midi-valle evaluate``: a model on a corpus, or a finished run beside recordings, as one table."""

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from jobs.console import say
from jobs.corpora.corpus import Corpus
from jobs.corpora.piano_options import read_pianos
from jobs.errors import JobError
from jobs.evaluation.evaluation_options import EvaluationOptions
from jobs.evaluation.judge import EvaluationWork, Judge
from jobs.evaluation.part import Part
from jobs.evaluation.plots import draw_plots
from jobs.evaluation.subjects import CorpusSubjects, RunSubjects, Subjects
from jobs.evaluation.table import evaluation_page
from jobs.storage import Storage, open_storage
from renderer.device import choose_precision
from renderer.evaluation.frechet import Gaussian
from renderer.evaluation.musicnn import INSTALL, musicnn_is_installed
from renderer.evaluation.optional import MissingExtraError
from renderer.pianos.open_piano import PianoFiles
from renderer.pianos.soundfont import INSTALL as INSTALL_FLUIDSYNTH
from renderer.pianos.soundfont import installed_soundfont
from renderer.weights.checkpoint import CodecDescription, ModelDescription, find_codec, find_model
from schemas.evaluation import EVALUATION_SCHEMA

SETTINGS_KEY, ROWS_KEY, TABLE_KEY = "evaluation.json", "clips.parquet", "table.md"
GROUPS_PER_ACTOR = 4
"""At least so many, if there are as many clips: an interruption costs one, and with a transcriber a clip takes long."""

GROUP_TRIES = 3


def evaluate(options: EvaluationOptions) -> str:
    """Evaluate all that is not evaluated yet, then write rows, table and plots; returns the table.

    Clips are evaluated in groups, each kept in ``OUT/parts`` when it is done: the same command goes on after an
    interruption. JobError or RendererError for what cannot be had.
    """
    work = _work(options)
    storage = open_storage(options.out, options.s3)
    clips = len(work.subjects)
    size = min(options.batch_size, -(-clips // (GROUPS_PER_ACTOR * options.actors)))
    size = _begin(storage, _settings(options, work), max(1, size))
    groups = [list(range(first, min(first + size, clips))) for first in range(0, clips, size)]
    keys = [_part_key(index, work.subjects) for index in range(len(groups))]
    done = set(storage.keys("parts"))
    missing = {index: group for index, group in enumerate(groups) if keys[index] not in done}
    if missing:
        left = sum(len(group) for group in missing.values())
        say(f"{left:,} of {clips:,} clips to evaluate")
        with tqdm(total=left, unit=" clips", disable=None) as bar:
            for index, content in _judged(work, options, missing):
                storage.write(keys[index], content)
                bar.update(len(groups[index]))
    parts = [Part.from_bytes(storage.read(key)) for key in keys]
    return _report(storage, options, parts, work.subjects.known)


def _work(options: EvaluationOptions) -> EvaluationWork:
    subjects: Subjects
    codec: CodecDescription | None = find_model(options.model) if options.model is not None else None
    if options.codec is not None:
        codec = find_codec(options.codec)
    if options.corpus is not None:
        subjects = CorpusSubjects(Corpus.open(options.corpus, options.s3), options.split, options.limit)
    else:
        assert options.run is not None
        subjects = RunSubjects(options.run, options.references, options.s3, options.limit)
    musicnn = musicnn_is_installed() if options.musicnn is None else options.musicnn
    if not musicnn:
        say(f"no Frechet distance in an embedding that knows no codec is measured: {INSTALL}")
    prompted = options.corpus is not None and options.model is not None
    device = "cuda" if options.gpus else "cpu"
    return EvaluationWork(
        subjects=subjects,
        codec=codec,
        protocols=tuple(options.protocol) if prompted else (),
        run_name=None if options.run is None else f"run {Path(options.run).name}",
        pianos=_pianos(options),
        transcriber=options.transcriber,
        musicnn=musicnn,
        device=device,
        precision=choose_precision(options.precision, device),
        batch_size=options.batch_size,
        seed=options.seed,
    )


def _pianos(options: EvaluationOptions) -> dict[str, PianoFiles]:
    """Those that are asked for, and FluidSynth where it is installed; JobError if it must be there and is not."""
    pianos = read_pianos(options.piano)
    if options.fluidsynth is False:
        return pianos
    soundfont = installed_soundfont()
    if soundfont is not None:
        return pianos | {f"FluidSynth, {soundfont.stem}": PianoFiles(soundfont)}
    if options.fluidsynth:
        raise JobError(f"--fluidsynth: the program or its soundfont is not installed: {INSTALL_FLUIDSYNTH}")
    say(f"FluidSynth is not among the rows: {INSTALL_FLUIDSYNTH}")
    return pianos


def _judged(
    work: EvaluationWork, options: EvaluationOptions, groups: Mapping[int, list[int]]
) -> Iterator[tuple[int, bytes]]:
    """The groups' parts as they are done: in this process, or by several actors.

    Ray starts an actor that dies anew and gives it its group again, which gives the same figures. JobError if actors
    die of one group ``GROUP_TRIES`` times.
    """
    if options.actors == 1:
        judge = Judge(work)
        for index, group in groups.items():
            yield index, judge.judge(group)
        return
    from jobs.cluster import local_ray

    with local_ray(options.actors, 1, options.gpus):
        import ray
        from ray.util import ActorPool

        remote = ray.remote(Judge).options(
            num_cpus=1, num_gpus=options.gpus / options.actors, max_restarts=-1, max_task_retries=GROUP_TRIES - 1
        )
        reference = ray.put(work)
        pool = ActorPool([remote.remote(reference) for _ in range(options.actors)])

        def judge_group(actor: Any, entry: tuple[int, list[int]]) -> Any:
            return actor.judge_numbered.remote(*entry)

        try:
            yield from pool.map_unordered(judge_group, list(groups.items()))
        except ray.exceptions.RayActorError as error:
            raise JobError(
                f"a worker died {GROUP_TRIES} times over the same clips: {str(error).strip().splitlines()[0]} "
                "What is measured is kept, and the same command goes on; with a smaller --batch-size or fewer --actors "
                "less memory is needed"
            ) from None


def _settings(options: EvaluationOptions, work: EvaluationWork) -> dict[str, Any]:
    """All that decides the figures."""
    return {
        "subjects": work.subjects.fingerprint,
        "codec": None if work.codec is None else _fingerprint(work.codec),
        "protocols": list(work.protocols),
        "pianos": {name: files.fingerprint() for name, files in work.pianos.items()},
        "references": None if options.references is None else str(options.references.absolute()),
        "transcriber": work.transcriber,
        "musicnn": work.musicnn,
        "precision": work.precision,
        "seed": work.seed,
    }


def _fingerprint(description: CodecDescription) -> str:
    """Of a model and its codec, or of a codec alone."""
    if isinstance(description, ModelDescription):
        return description.fingerprint()
    digest = hashlib.sha256()
    for name in ("config.json", "codec.safetensors"):
        digest.update((description.folder / name).read_bytes())
    return digest.hexdigest()


def _begin(storage: Storage, settings: dict[str, Any], group: int) -> int:
    """Begin an evaluation, or go on with the same one; JobError names what differs.

    Returns how many clips are evaluated together, which is decided when an evaluation begins.
    """
    if storage.create(SETTINGS_KEY, json.dumps({**settings, "group": group}, indent=2).encode()):
        return group
    existing = json.loads(storage.read(SETTINGS_KEY))
    differing = [name for name in settings if existing.get(name) != settings[name]]
    if differing:
        raise JobError(
            f"{storage.uri} holds another evaluation, which differs in: {', '.join(differing)}. "
            "Give its own options to go on with it, or choose another --out"
        )
    return int(existing["group"])


def _part_key(index: int, subjects: Subjects) -> str:
    """Where a group's figures are kept: of other recordings under the same names, in another folder."""
    content = subjects.recordings_sha256 if isinstance(subjects, RunSubjects) else ""
    return f"parts/{content[:16]}/{index:05d}.npz" if content else f"parts/{index:05d}.npz"


def _report(storage: Storage, options: EvaluationOptions, parts: Sequence[Part], known: Sequence[str]) -> str:
    rows = [row for part in parts for row in part.rows]
    gaussians: dict[tuple[str, str], Gaussian] = {}
    for part in parts:
        for key, gaussian in part.gaussians.items():
            gaussians[key] = gaussians[key] + gaussian if key in gaussians else gaussian
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows], schema=EVALUATION_SCHEMA), buffer)
    storage.write(ROWS_KEY, buffer.getvalue())
    table = evaluation_page(rows, gaussians, options.transcriber, known, options.published)
    storage.write(TABLE_KEY, table.encode())
    try:
        for name, content in draw_plots(rows):
            storage.write(f"plots/{name}", content)
    except MissingExtraError as error:
        say(f"no plots are drawn: {error}")
    return table

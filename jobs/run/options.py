"""What a user may ask of a run."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

from jobs.errors import JobError
from jobs.option import Option, check_at_least, check_choice, flag
from jobs.storage.s3_options import S3Options
from schemas.item_ids import why_unsafe

INPUT, SOUND, QUALITY = "Input and output", "Sound", "Quality"
MACHINE, RUN = "Machine and pace", "Failures, resuming and replacing"

ONCE = frozenset(("dry_run", "retry_failed", "extend", "overwrite", "yes"))
"""Options that say what is done now, and nothing of how the run is."""

LayoutName = Literal["files", "webdataset", "parquet", "codes", "none"]


@dataclass(frozen=True, kw_only=True)
class RenderOptions(S3Options):
    """The options of ``render-corpus``.

    ``None`` stands for: the whole manifest (``limit``), the model's own (``sample_rate``), by the number of actors
    (``shard_items``), all that the machine has (``gpus``, ``actors``), what suits the device (``batch_size``, as
    ``precision`` auto), no ``/`` in item ids (``id_separator``). JobError for a value that makes no sense.
    """

    manifest: Annotated[
        str,
        Option(
            "A row for every item to render: Parquet, CSV or JSON lines; a file, folder or pattern.", is_argument=True
        ),
    ]
    out: Annotated[str, Option("The run's folder; run the same command again to go on.")] = "out"
    model: Annotated[str, Option("mini, midi-valle, or a model directory.")] = "mini"
    model_file: Annotated[Path | None, Option("Published language model, for midi-valle.", INPUT)] = None
    codec_file: Annotated[Path | None, Option("Published codec, for midi-valle.", INPUT)] = None
    prompts: Annotated[str | None, Option("Prompt bank: Parquet with prompt_id, audio, midi.")] = None
    allow_root: Annotated[
        Sequence[str], Option("A folder beside the manifest's that its rows may name; repeatable.", INPUT)
    ] = ()
    limit: Annotated[int | None, Option("Only the first N rows.", INPUT)] = None
    id_separator: Annotated[
        str | None, Option("Stands for the / of item ids in names of files, as _ or --.", INPUT)
    ] = None
    dry_run: Annotated[bool, Option("Say how much it is: audio, time, storage, memory, money.")] = False
    layout: Annotated[LayoutName, Option("files, webdataset, parquet, codes, or none: measure.")] = "files"
    save_codes: Annotated[bool, Option("Keep the codec's codes as well.", INPUT)] = False
    format: Annotated[str, Option("flac, flac24, wav, wav24, wav-float, ogg, opus or mp3.")] = "flac"
    sample_rate: Annotated[int | None, Option("In Hz; the model's own by default.", SOUND)] = None
    loudness: Annotated[str, Option("Bring every item to this loudness, in LUFS, as -23; or off.", SOUND)] = "off"
    peak: Annotated[
        str, Option("Bring every item to this peak, in dBFS, as -1; or off. With --loudness: at most.", SOUND)
    ] = "off"
    tail: Annotated[float, Option("Seconds of audio after the last note ends.", SOUND)] = 1.0
    pedal: Annotated[
        Literal["model", "ignore", "extend"],
        Option("Sustain pedal: ignore, extend (it lengthens notes), or model.", SOUND),
    ] = "model"
    pedal_channels: Annotated[
        Literal["any", "each"], Option("A pedal holds the notes of any channel, or of each its own.", SOUND)
    ] = "any"
    strict_midi: Annotated[bool, Option("Refuse MIDI files of which something would have to be mended.", SOUND)] = False
    temperature: Annotated[float, Option("0 is greedy.", SOUND)] = 1.0
    top_k: Annotated[int, Option("0 is off.", SOUND)] = 0
    top_p: Annotated[float, Option("1 is off.", SOUND)] = 1.0
    seed: Annotated[int, Option("Decides the seeds of rows that have none.", SOUND)] = 0
    attempts: Annotated[int, Option("Render a poor segment up to so often and keep the best.")] = 1
    quality_threshold: Annotated[
        Sequence[str],
        Option(
            "NAME=VALUE: what makes an item poor. At most: clipped (share of samples), silence (s), joints, "
            "length_error (samples). At least: notes_found, attacks_explained, codes_match, level (dBFS). Repeatable.",
            QUALITY,
        ),
    ] = ()
    gpus: Annotated[int | None, Option("GPUs to use, one actor each; all by default.")] = None
    actors: Annotated[int | None, Option("Actors on the CPU; by default as many as fit.")] = None
    cpus_per_actor: Annotated[int, Option("Threads of each actor.", MACHINE)] = 1
    device: Annotated[Literal["auto", "cpu", "cuda"], Option("auto, cpu or cuda.", MACHINE)] = "auto"
    precision: Annotated[str, Option("fp32, bf16, fp16, or auto: the fastest.", MACHINE)] = "auto"
    batch_size: Annotated[int | None, Option("Segments rendered side by side; by default what suits.", MACHINE)] = None
    shard_items: Annotated[int | None, Option("Items that are finished and resumed together.", MACHINE)] = None
    ray_address: Annotated[
        str | None, Option("A Ray cluster to use, auto on its head; else this machine.", MACHINE)
    ] = None
    ship: Annotated[bool, Option("Send this package, and a model directory, to the nodes of the cluster.", MACHINE)] = (
        False
    )
    node_status: Annotated[
        float, Option("On a cluster, seconds between lines that tell of each node; 0: none.", MACHINE)
    ] = 60.0
    item_timeout: Annotated[float, Option("Seconds without progress after which a worker is taken for hung.", RUN)] = (
        600.0
    )
    max_failures: Annotated[int | None, Option("Stop after so many failed items; the same command goes on.", RUN)] = (
        None
    )
    retry_failed: Annotated[bool, Option("Render the failed items of finished shards again.", RUN)] = False
    extend: Annotated[bool, Option("Go on with a manifest to which rows were appended.", RUN)] = False
    overwrite: Annotated[bool, Option("Delete the run that is in the folder and begin anew.", RUN)] = False
    gpu_price: Annotated[float | None, Option("Dollars for an hour of a GPU, for --dry-run.", MACHINE)] = None
    yes: Annotated[bool, Option("Do not ask before deleting.", RUN)] = False

    def __post_init__(self) -> None:
        counts = ("limit", "shard_items", "actors", "cpus_per_actor", "batch_size", "max_failures", "attempts")
        check_at_least(self, 1, *counts)
        if self.gpus is not None and self.gpus < 0:
            raise JobError(f"--gpus is {self.gpus}; it must be 0 (none) or more")
        if not self.node_status >= 0:
            raise JobError(f"--node-status is {self.node_status:g}; it must be 0 (none) or more seconds")
        if not self.item_timeout > 0:
            raise JobError(f"--item-timeout is {self.item_timeout:g}; it must be more than 0 seconds")
        if self.gpu_price is not None and not 0 <= self.gpu_price < math.inf:
            raise JobError(f"--gpu-price is {self.gpu_price}; it must be 0 or more dollars an hour")
        if self.overwrite and (self.extend or self.retry_failed):
            raise JobError("--overwrite deletes the run that --extend or --retry-failed would go on with")
        if self.ray_address is not None and self.gpus is None and self.actors is None:
            raise JobError("--ray-address needs --gpus, or --actors with --device cpu: how many the cluster is to give")
        if self.ship and self.ray_address is None:
            raise JobError("--ship goes with --ray-address: without a cluster there is nobody to send anything to")
        if not (math.isfinite(self.tail) and 0 <= self.tail <= 60):
            raise JobError(f"--tail is {self.tail}; it must be 0 to 60 seconds")
        if self.attempts > 1 and self.temperature == 0:
            raise JobError(f"--attempts {self.attempts} does not go with --temperature 0: all attempts would be alike")
        if not -(2**63) <= self.seed < 2**63:
            raise JobError(f"--seed is {self.seed}; it must fit 64 bits")
        for root in self.allow_root:
            if not (root.startswith("s3://") or Path(root).is_dir()):
                raise JobError(f"--allow-root {root}: there is no such folder")
        check_choice(self, "layout")
        if self.layout in ("none", "codes") and self.save_codes:
            why = "keeps nothing but the result rows" if self.layout == "none" else "keeps them by itself"
            raise JobError(f"--save-codes does not go with --layout {self.layout}, which {why}")
        if self.id_separator is not None:
            if self.layout != "files":
                raise JobError(f"--id-separator does not go with --layout {self.layout}, which takes a / as it is")
            if "/" in self.id_separator or why_unsafe(f"a{self.id_separator}b"):
                raise JobError(f"--id-separator is {self.id_separator!r}, which cannot be part of a file name")
        check_choice(self, "pedal", "pedal_channels", "device")
        if self.device == "cpu" and self.gpus:
            raise JobError(f"--gpus {self.gpus} does not go with --device cpu")
        if self.device == "cuda" and self.gpus == 0:
            raise JobError("--gpus 0 does not go with --device cuda")

    def to_toml(self) -> str:
        """All options that have a value, as ``--config`` takes them; without what deletes or repeats, once."""
        import tomli_w

        values = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in ONCE}
        plain = {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}
        return tomli_w.dumps({name: value for name, value in plain.items() if value is not None})


def decibels(name: str, text: str) -> float | None:
    """A level that an option gives, None for ``off``; JobError if it is neither."""
    if text == "off":
        return None
    try:
        return float(text)
    except ValueError:
        raise JobError(f"{flag(name)} is {text!r}; it must be a number of decibels, or off") from None

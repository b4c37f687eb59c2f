"""The items of a run that its report lets people hear and see: the worst, and some at random."""

import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.errors import JobError
from jobs.inspect.clip import Clip, item_clip, prompt_clip
from jobs.inspect.item_rows import Row
from jobs.inspect.item_sounds import ItemSounds
from jobs.inspect.prompt_recordings import PromptRecordings
from jobs.storage import Storage
from renderer.errors import RendererError
from renderer.midi.midi_file import read_midi
from renderer.midi.notes import Notes, PedalPolicy
from renderer.prompt import prompt_notes
from schemas.checks import TableError

WORST_ITEMS = RANDOM_ITEMS = 8
THREADS = 4


@dataclass(frozen=True)
class HeardItem:
    """An item with what is heard of it and of its prompt: a clip, or in words why there is none."""

    row: Row
    is_worst: bool
    clip: Clip | str
    prompt: Clip | str


def choose_items(items: pa.Table, seed: int) -> tuple[Sequence[Row], Sequence[Row]]:
    """The worst of the items that can be heard, the worst first, and some of the others, in the manifest's order.

    Those with the most faults are the worst, and among these those that play their notes worst; where nothing was
    judged, there are none. The same items and seed give the same choice.
    """
    heard = items.filter(pc.or_(pc.is_valid(items["audio_path"]), pc.is_valid(items["codes_path"])))
    judged = heard.filter(pc.is_valid(heard["verdict"]))
    faults = pa.array([len(faults or ()) for faults in judged["faults"].to_pylist()], pa.int64())
    ranked = judged.append_column("fault_count", faults).sort_by(
        [("fault_count", "descending"), ("quality_score", "ascending"), ("item_id", "ascending")]
    )
    worst = ranked.slice(0, WORST_ITEMS).drop_columns(["fault_count"]).to_pylist()
    chosen = {row["row"] for row in worst}
    others = [place for place, row in enumerate(heard["row"].to_pylist()) if row not in chosen]
    sample = sorted(random.Random(seed).sample(others, min(RANDOM_ITEMS, len(others))))
    return worst, heard.take(pa.array(sample, pa.int64())).to_pylist()


def hear_items(storage: Storage, prompts: PromptRecordings, items: pa.Table) -> list[HeardItem]:
    """The items to be heard, the worst first; what cannot be had of one is said in its place."""
    sounds = ItemSounds(storage, prompts)
    worst, sample = choose_items(items, prompts.run.settings.seed)
    rows = [*worst, *sample]
    different = {_prompt_of(row): row for row in rows}
    with ThreadPoolExecutor(THREADS) as pool:
        clips = pool.map(lambda row: _or_reason(lambda: _item(storage, sounds, row)), rows)
        heard = pool.map(lambda row: _or_reason(lambda: _prompt(prompts, row)), different.values())
        of_prompts = dict(zip(different, heard, strict=True))
        return [
            HeardItem(row, place < len(worst), clip, of_prompts[_prompt_of(row)])
            for place, (row, clip) in enumerate(zip(rows, clips, strict=True))
        ]


def _item(storage: Storage, sounds: ItemSounds, row: Row) -> Clip:
    notes = _notes(storage, row)
    with sounds.open(row, notes) as file:
        return item_clip(file, notes, row["verdict"] == "poor")


def _notes(storage: Storage, row: Row) -> Notes:
    """What sounds in an item, by its result row."""
    with storage.open_parts(row["metadata"]) as file:
        found = pq.read_table(file, columns=["notes"], filters=[("item_id", "==", row["item_id"])])
    (notes,) = found["notes"].to_pylist()
    return Notes.of(*([note[name] for note in notes or ()] for name in ("onset", "offset", "pitch", "velocity")))


def _prompt_of(row: Row) -> tuple[str | None, ...]:
    return row["prompt"], row["prompt_audio"], row["prompt_midi"], row["prompt_id"]


def _prompt(prompts: PromptRecordings, row: Row) -> Clip:
    audio, midi = prompts.files(row)
    notes = read_midi(midi, cast(PedalPolicy, prompts.run.settings.pedal)).notes
    with audio.open("rb") as file:
        return prompt_clip(file, prompt_notes(notes))


def _or_reason(make: Callable[[], Clip]) -> Clip | str:
    try:
        return make()
    except (JobError, RendererError, TableError, OSError, ValueError) as error:
        return str(error)

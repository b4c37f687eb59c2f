"""A whole corpus as codes alone, in one file that a training reads into memory at once: no audio, Ray or Parquet."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from renderer.errors import TrainingError
from renderer.midi.notes import BoolArray, IntArray, Notes
from renderer.training.checkpoints import replace_file

FORMAT = "midi-valle-pack/1"
SPLITS = ("train", "validation", "test")

_LARGEST_CODE = np.iinfo(np.int16).max
_ARRAYS = {
    "all_codes": np.int16,
    "frame_starts": np.int64,
    "onset": np.float32,
    "offset": np.float32,
    "pitch": np.uint8,
    "velocity": np.uint8,
    "note_starts": np.int64,
    "piece": np.int32,
    "condition": np.int32,
    "split": np.uint8,
}


@dataclass(frozen=True, eq=False)
class PackedClip:
    """One clip: ``codes`` (K, T), its notes on its clock, what is played, how it sounds, and its split."""

    clip_id: str
    piece: str
    condition: str
    split: str
    codes: npt.NDArray[np.integer[Any]]
    notes: Notes


@dataclass(frozen=True, eq=False)
class Pack:
    """N clips, one after another, which windows can be drawn from: F frames of ``all_codes`` (K, F), and M notes.

    ``frame_starts`` and ``note_starts`` (N + 1,) end with F and M; notes' times are seconds from their clip's
    beginning. ``piece``, ``condition`` and ``split`` (N,) are places in ``pieces``, ``conditions`` and ``SPLITS``.
    ``facts`` says of conditions, by id, what they are, as JSON; ``held_out`` is true of those that no training clip
    has. ``codec`` is the SHA-256 of the weights of the codec that
    made the codes, at ``frame_rate`` frames a second.
    """

    all_codes: npt.NDArray[np.int16]
    frame_starts: IntArray
    onset: npt.NDArray[np.float32]
    offset: npt.NDArray[np.float32]
    pitch: npt.NDArray[np.uint8]
    velocity: npt.NDArray[np.uint8]
    note_starts: IntArray
    piece: npt.NDArray[np.int32]
    condition: npt.NDArray[np.int32]
    split: npt.NDArray[np.uint8]
    clip_ids: tuple[str, ...]
    pieces: tuple[str, ...]
    conditions: tuple[str, ...]
    codec: str
    frame_rate: int
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        clips: Iterable[PackedClip],
        codec: str,
        frame_rate: int,
        facts: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> "Pack":
        """The pack of these clips; ValueError for none, or for codes that do not go together or into 16 bits."""
        found = [_narrowed(clip) for clip in clips]
        if not found:
            raise ValueError("a pack needs at least one clip")
        if len(books := {len(clip.codes) for clip in found}) > 1:
            raise ValueError(f"clips have different numbers of codebooks: {sorted(books)}")
        pieces, piece = _table([clip.piece for clip in found])
        conditions, condition = _table([clip.condition for clip in found])
        notes = [clip.notes for clip in found]
        arrays: dict[str, npt.ArrayLike] = {
            "all_codes": np.concatenate([clip.codes for clip in found], axis=1),
            "frame_starts": np.cumsum([0, *(clip.codes.shape[1] for clip in found)]),
            "note_starts": np.cumsum([0, *map(len, notes)]),
            "piece": piece,
            "condition": condition,
            "split": [SPLITS.index(clip.split) for clip in found],
        }
        for name in ("onset", "offset", "pitch", "velocity"):
            arrays[name] = np.concatenate([getattr(part, name) for part in notes])
        typed = {name: np.asarray(arrays[name], kind) for name, kind in _ARRAYS.items()}
        # A note that a clip's end cut to next to nothing must not become none by rounding.
        typed["offset"] = np.maximum(typed["offset"], np.nextafter(typed["onset"], np.float32(np.inf)))
        ids = tuple(clip.clip_id for clip in found)
        return cls(**typed, clip_ids=ids, pieces=pieces, conditions=conditions, codec=codec, frame_rate=frame_rate,
                   facts=facts or {})  # fmt: skip

    @classmethod
    def load(cls, path: Path) -> "Pack":
        """Read a pack whole; TrainingError if the file is none, or is damaged."""
        try:
            with safe_open(path, "np") as file:
                values: dict[str, Any] = json.loads((file.metadata() or {}).get("pack", "{}"))
                if (found := values.pop("format", None)) != FORMAT:
                    raise TrainingError(f"{path} is not a pack: its format is {found!r}, not {FORMAT!r}")
                values |= {name: tuple(values[name]) for name in ("clip_ids", "pieces", "conditions")}
                return cls(**values, **{name: file.get_tensor(name) for name in _ARRAYS})
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            raise TrainingError(f"{path} cannot be read as a pack: {error}") from None

    def save(self, path: Path) -> None:
        """Write the pack to a safetensors file, which is there as a whole or not at all."""
        replace_file(path, self._content())

    def __len__(self) -> int:
        return len(self.clip_ids)

    def __iter__(self) -> Iterator[PackedClip]:
        return map(self.clip, range(len(self)))

    def clip(self, index: int) -> PackedClip:
        """One clip; its codes (K, T) int16 are a view."""
        return PackedClip(
            self.clip_ids[index],
            self.pieces[self.piece[index]],
            self.conditions[self.condition[index]],
            SPLITS[self.split[index]],
            self.all_codes[:, self.frame_starts[index] : self.frame_starts[index + 1]],
            self.notes(index),
        )

    def notes(self, index: int) -> Notes:
        """What sounds in a clip, on its clock."""
        part = slice(self.note_starts[index], self.note_starts[index + 1])
        return Notes.of(self.onset[part], self.offset[part], self.pitch[part], self.velocity[part])

    def codes(self, index: int) -> IntArray:
        """The codes of a clip (T, K) int64, as windows are made from."""
        return self.all_codes[:, self.frame_starts[index] : self.frame_starts[index + 1]].T.astype(np.int64)

    @property
    def frames(self) -> IntArray:
        """The length of every clip (N,)."""
        return np.diff(self.frame_starts)

    @cached_property
    def held_out(self) -> BoolArray:
        """Which clips (N,) are of conditions that no training clip has."""
        return np.array([bool(self.facts.get(name, {}).get("held_out")) for name in self.conditions])[self.condition]

    @property
    def hours(self) -> float:
        """Of audio, in all."""
        return self.all_codes.shape[1] / self.frame_rate / 3600

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over all that the pack holds."""
        return hashlib.sha256(self._content()).hexdigest()

    def prompts_for(self, index: int) -> IntArray:
        """The clips (P,) that can prompt a clip: of its condition and split, but of other pieces; may be empty."""
        alike = self._alike[int(self.split[index]), int(self.condition[index])]
        return alike[self.piece[alike] != self.piece[index]]

    @cached_property
    def _alike(self) -> dict[tuple[int, int], IntArray]:
        groups: dict[tuple[int, int], list[int]] = {}
        for index, group in enumerate(zip(self.split.tolist(), self.condition.tolist(), strict=True)):
            groups.setdefault(group, []).append(index)
        return {group: np.array(found) for group, found in groups.items()}

    def _content(self) -> bytes:
        names = ("clip_ids", "pieces", "conditions", "codec", "frame_rate", "facts")
        about = {"format": FORMAT, **{name: getattr(self, name) for name in names}}
        arrays = {name: np.ascontiguousarray(getattr(self, name)) for name in _ARRAYS}
        # One entry alone: safetensors does not keep the order of several.
        return save(arrays, {"pack": json.dumps(about, sort_keys=True)})


def _narrowed(clip: PackedClip) -> PackedClip:
    """The clip with codes of 16 bits, so that many clips fit into memory while a pack is made."""
    if clip.codes.size and not 0 <= clip.codes.min() <= clip.codes.max() <= _LARGEST_CODE:
        raise ValueError(f"clip {clip.clip_id} has codes beyond 0..{_LARGEST_CODE}")
    return PackedClip(
        clip.clip_id, clip.piece, clip.condition, clip.split, np.asarray(clip.codes, np.int16), clip.notes
    )


def _table(names: list[str]) -> tuple[tuple[str, ...], list[int]]:
    """Every name once, in order of its first use, and where each of ``names`` is among them."""
    places = {name: place for place, name in enumerate(dict.fromkeys(names))}
    return tuple(places), [places[name] for name in names]

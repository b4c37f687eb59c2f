"""What the language model learns from: a prompt of 3 s, then a segment, as inference puts them together.

Rows and positions come from the code that inference uses (renderer/decoding/model_input.py), segments begin where
inference would let them begin, and notes held since before are struck at their beginning, softened, as inference does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import torch

from renderer.decoding.model_input import model_input
from renderer.errors import TrainingError
from renderer.midi.notes import IntArray, Notes
from renderer.model.midi_valle import ModelConfig
from renderer.model.tokens import TimeGrid
from renderer.prompt import PROMPT_SECONDS, Prompt, prompt_notes
from renderer.segments import Segment, SegmentLimits, notes_between, quietest, sounding
from renderer.training.randomness import random_at, shuffled

_TRIES = 20
_KEPT_NOTES = 4096
"""Clips whose notes are kept as they are used: 100 MB of them, where clips have a thousand."""

_FORGOTTEN_SECONDS = 10.0
"""What was struck so long ago does not count any more: it has decayed to e^-10."""


class ClipSource(Protocol):
    """Clips with notes and codes, read at random, by several threads; a prepared corpus is one."""

    def notes(self, index: int) -> Notes:
        """What sounds in a clip, on its clock."""
        ...

    def codes(self, index: int) -> IntArray:
        """The codes of a whole clip (T, K) int64."""
        ...

    def prompts_for(self, index: int) -> IntArray:
        """Clips that can prompt a clip with another piece."""
        ...


@dataclass(frozen=True)
class WindowSettings:
    """How windows are drawn.

    Segments are ``longest`` seconds long in a share of ``longest_share`` of the windows, else anything from
    ``shortest`` on. A share of ``cross_prompt`` is prompted by another piece of the same condition, the others
    by the 3 s before the segment. A share of ``drop_prompt`` is prompted by silence of which nothing is known: its
    notes and its frames are there, its codes are not.
    """

    longest: float = 10.0
    shortest: float = 2.0
    longest_share: float = 0.7
    cross_prompt: float = 0.8
    drop_prompt: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.shortest <= self.longest:
            raise ValueError(f"segments of {self.shortest} to {self.longest} s make no sense")
        for name in ("longest_share", "cross_prompt", "drop_prompt"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 0 to 1")


@dataclass(frozen=True, eq=False)
class Window:
    """One example: ``rows`` (S, 6) int64, ``positions`` (S,) float32, ``codes`` (T, K) int64.

    The first ``prompt_frames`` of the codes are the prompt, whose codes must not be known unless ``is_prompted``.
    ``notes`` are the segment's, from its beginning on.
    """

    rows: torch.Tensor
    positions: torch.Tensor
    codes: torch.Tensor
    prompt_frames: int
    notes: Notes
    is_prompted: bool = True


@dataclass(frozen=True)
class WindowPlan:
    """What is known of a window before anything is read: its clip, its prompt's clip, and the segment's frames."""

    number: int
    clip: int
    prompt: int | None
    frames: int
    is_prompted: bool = True


class Windows:
    """An endless series of windows; the one with a given number is always the same.

    ``frames`` has the length of every clip of the source, ``chosen`` the clips that are drawn from: each once before
    any comes again. TrainingError if none is long enough.
    """

    def __init__(
        self,
        source: ClipSource,
        frames: Sequence[int],
        chosen: Sequence[int],
        settings: WindowSettings,
        config: ModelConfig,
        frame_rate: int,
        grid: TimeGrid,
        seed: int,
    ) -> None:
        self.source, self.settings, self.config = source, settings, config
        self.frame_rate, self.grid, self.seed = frame_rate, grid, seed
        self.prompt_frames = round(PROMPT_SECONDS * frame_rate)
        self._frames = frames
        self._notes = lru_cache(_KEPT_NOTES)(source.notes)
        self._shortest = round(settings.shortest * frame_rate)
        needed = self.prompt_frames + self._shortest
        self.clips = [index for index in chosen if frames[index] >= needed]
        if not self.clips:
            raise TrainingError(
                f"of {len(chosen)} clips none has the {needed / frame_rate:g} s of a prompt and a shortest segment"
            )

    def plan(self, number: int) -> WindowPlan:
        """Draw a window; nothing is read."""
        random = random_at(self.seed, "window", number)
        clip = self.clips[shuffled(number, len(self.clips), self.seed)]
        others = [int(other) for other in self.source.prompts_for(clip) if self._frames[other] >= self.prompt_frames]
        is_crossed = bool(random.random() < self.settings.cross_prompt) and bool(others)
        prompt = others[int(random.integers(len(others)))] if is_crossed else None
        wanted = round(self.settings.longest * self.frame_rate)
        if random.random() >= self.settings.longest_share:
            wanted = int(random.integers(self._shortest, wanted + 1))
        room = self._frames[clip] - (0 if is_crossed else self.prompt_frames)
        is_prompted = not (self.settings.drop_prompt and random.random() < self.settings.drop_prompt)
        return WindowPlan(number, clip, prompt, min(wanted, room), is_prompted)

    def window(self, plan: WindowPlan) -> Window:
        """Read a window."""
        random = random_at(self.seed, "cut", plan.number)
        notes, codes = self._notes(plan.clip), self._codes(plan.clip)
        if plan.prompt is None:
            begin = self._prompt_begin(random, notes, len(codes) - plan.frames)
            start = begin + self.prompt_frames
            prompt = self._prompt(notes, codes, begin)
        else:
            start = self._segment_begin(random, notes, len(codes), plan.frames)
            other, other_codes = self._notes(plan.prompt), self._codes(plan.prompt)
            prompt = self._prompt(other, other_codes, self._prompt_begin(random, other, len(other_codes)))
        stop = start + plan.frames
        span = start / self.frame_rate, stop / self.frame_rate
        played = notes_between(_overlapping(notes, *span), *span)
        segment = Segment(0, start, start, stop, stop, played)
        work = model_input(segment, prompt, self.seed, self.config, self.frame_rate, self.grid)
        both = torch.cat([prompt.codes, torch.from_numpy(codes[start:stop])])
        return Window(work.rows, work.positions, both, self.prompt_frames, played, plan.is_prompted)

    def _codes(self, clip: int) -> IntArray:
        codes = self.source.codes(clip)
        if len(codes) != self._frames[clip]:
            raise TrainingError(f"clip {clip} has {len(codes)} frames of codes, by its length {self._frames[clip]}")
        return codes

    def _prompt(self, notes: Notes, codes: IntArray, begin: int) -> Prompt:
        second = begin / self.frame_rate
        played = prompt_notes(_overlapping(notes, second, second + PROMPT_SECONDS).shifted(-second))
        return Prompt("", torch.from_numpy(codes[begin : begin + self.prompt_frames]), played)

    def _prompt_begin(self, random: np.random.Generator, notes: Notes, frames: int) -> int:
        """Any frame after which 3 s follow in which a note begins, as must be in a prompt."""
        onset = notes.onset * self.frame_rate
        for _ in range(_TRIES):  # Nearly all do; to look at each takes longer.
            begin = int(random.integers(frames - self.prompt_frames + 1))
            if np.searchsorted(onset, begin + self.prompt_frames) > np.searchsorted(onset, begin):
                return begin
        begins = np.arange(frames - self.prompt_frames + 1)
        played = np.searchsorted(onset, begins + self.prompt_frames) > np.searchsorted(onset, begins)
        return int(random.choice(begins[played] if played.any() else begins))

    def _segment_begin(self, random: np.random.Generator, notes: Notes, frames: int, wanted: int) -> int:
        """Where least sounds within half a second, as plan_segments begins a pre-roll: mostly just before an onset."""
        first = int(random.integers(frames - wanted + 1))
        last = min(first + SegmentLimits.preroll, frames - wanted)
        origin = max(0, first - round(_FORGOTTEN_SECONDS * self.frame_rate))
        seconds = origin / self.frame_rate
        near = _overlapping(notes, seconds, (last + 1) / self.frame_rate).shifted(-seconds)
        # A frame more, as at the end nothing sounds any longer.
        level = sounding(near, last + 1 - origin, self.frame_rate)
        return origin + quietest(level, first - origin, last - origin)


def _overlapping(notes: Notes, start: float, stop: float) -> Notes:
    """The notes that sound at any time from start to stop, in seconds: few of a long clip's, and so quick to handle."""
    return notes.selected((notes.offset > start) & (notes.onset < stop))

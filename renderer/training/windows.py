"""What the language model learns from: a prompt of 3 s, then a segment, as inference puts them together.

Rows and positions come from the code that inference uses (renderer/decoding/model_input.py), segments begin where
inference would let them begin, and notes held since before are struck at their beginning, softened, as inference does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
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
    by the 3 s before the segment.
    """

    longest: float = 10.0
    shortest: float = 2.0
    longest_share: float = 0.7
    cross_prompt: float = 0.8

    def __post_init__(self) -> None:
        if not 0 < self.shortest <= self.longest:
            raise ValueError(f"segments of {self.shortest} to {self.longest} s make no sense")
        for name in ("longest_share", "cross_prompt"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 0 to 1")


@dataclass(frozen=True, eq=False)
class Window:
    """One example: ``rows`` (S, 6) int64, ``positions`` (S,) float32, ``codes`` (T, K) int64.

    The first ``prompt_frames`` of the codes are the prompt. ``notes`` are the segment's, from its beginning on.
    """

    rows: torch.Tensor
    positions: torch.Tensor
    codes: torch.Tensor
    prompt_frames: int
    notes: Notes


@dataclass(frozen=True)
class WindowPlan:
    """What is known of a window before anything is read: its clip, its prompt's clip, and the segment's frames."""

    number: int
    clip: int
    prompt: int | None
    frames: int


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
        return WindowPlan(number, clip, prompt, min(wanted, room))

    def window(self, plan: WindowPlan) -> Window:
        """Read a window."""
        random = random_at(self.seed, "cut", plan.number)
        notes, codes = self.source.notes(plan.clip), self._codes(plan.clip)
        if plan.prompt is None:
            begin = self._prompt_begin(random, notes, len(codes) - plan.frames)
            start = begin + self.prompt_frames
            prompt = self._prompt(notes, codes, begin)
        else:
            start = self._segment_begin(random, notes, len(codes), plan.frames)
            other, other_codes = self.source.notes(plan.prompt), self._codes(plan.prompt)
            prompt = self._prompt(other, other_codes, self._prompt_begin(random, other, len(other_codes)))
        stop = start + plan.frames
        played = notes_between(notes, start / self.frame_rate, stop / self.frame_rate)
        segment = Segment(0, start, start, stop, stop, played)
        work = model_input(segment, prompt, self.seed, self.config, self.frame_rate, self.grid)
        both = torch.cat([prompt.codes, torch.from_numpy(codes[start:stop])])
        return Window(work.rows, work.positions, both, self.prompt_frames, played)

    def _codes(self, clip: int) -> IntArray:
        codes = self.source.codes(clip)
        if len(codes) != self._frames[clip]:
            raise TrainingError(f"clip {clip} has {len(codes)} frames of codes, by its length {self._frames[clip]}")
        return codes

    def _prompt(self, notes: Notes, codes: IntArray, begin: int) -> Prompt:
        played = prompt_notes(notes.shifted(-begin / self.frame_rate))
        return Prompt("", torch.from_numpy(codes[begin : begin + self.prompt_frames]), played)

    def _prompt_begin(self, random: np.random.Generator, notes: Notes, frames: int) -> int:
        """Any frame after which 3 s follow in which a note begins, as must be in a prompt."""
        begins = np.arange(frames - self.prompt_frames + 1)
        struck = np.searchsorted(notes.onset * self.frame_rate, begins)
        played = np.searchsorted(notes.onset * self.frame_rate, begins + self.prompt_frames) > struck
        return int(random.choice(begins[played] if played.any() else begins))

    def _segment_begin(self, random: np.random.Generator, notes: Notes, frames: int, wanted: int) -> int:
        """Where least sounds within half a second, as plan_segments begins a pre-roll: mostly just before an onset."""
        first = int(random.integers(frames - wanted + 1))
        last = min(first + SegmentLimits.preroll, frames - wanted)
        return quietest(sounding(notes, frames, self.frame_rate), first, last)

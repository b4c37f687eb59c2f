"""Windows of any length side by side in one sequence, so that nothing is computed for padding.

All but attention works on single positions and does not care where a window begins; attention takes the windows
apart. Whatever a step asks is laid down here, on the CPU, by processes that prepare steps ahead: a device is never
waited for to learn a length.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import torch

from renderer.model.midi_valle import MidiValle
from renderer.model.piano_roll import PianoRoll, RollNotes, notes_of_rows, roll_of, side_by_side
from renderer.model.prompt_summary import PromptSummary
from renderer.training.window_attention import FullWithinWindows, PrefixWithinWindows, Sequences, Within
from renderer.training.windows import Window

IGNORED = -100


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What is learned from a pack: the AR decoder's codes from frame ``first`` (at least 1) on, in a window that is
    prompted, else its segment's; the end code after the last one, with ``train_end``; and the NAR decoder's codes
    behind ``prefixes``, the frames of each window that it is given, all of the prompt or less.
    """

    prefixes: Sequence[int]
    end_code: int
    first: int = 1
    train_end: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class PackedWindows:
    """W windows as tensors of batch one: each window's MIDI rows (S), then its audio frames (T); N positions in all.

    ``rows`` (1, sum S, 6) int64 and ``positions`` (1, sum S); ``codes`` (1, sum T, K) int64 and ``frames`` (1, sum T),
    which count from 0 in each window. Places among all positions: ``order`` (N,) where each position's input lies
    among all rows and all frames behind them, ``midi_places`` (sum S,), ``audio_places`` (sum T,). Places among all
    frames: ``ar_places`` (Y,) predict ``ar_targets``, ``nar_places`` (X,) are predicted, of ``given`` (G,) the NAR
    decoder is given all codes, ``absent`` (A,) have none; ``window`` (sum T,) says whose a frame is. By window:
    ``prompts`` (W, P) places of the prompt's frames, of which ``ar_heard`` and ``nar_heard`` may be known;
    ``knows_prompt`` (sum T,) bool, frames that may know the whole prompt; notes, and ``is_frame`` (W, longest T).
    """

    windows: Sequences
    midi: Sequences
    spans: tuple[tuple[int, int], ...]
    rows: torch.Tensor
    positions: torch.Tensor
    codes: torch.Tensor
    frames: torch.Tensor
    order: torch.Tensor
    midi_places: torch.Tensor
    audio_places: torch.Tensor
    ar_places: torch.Tensor
    ar_targets: torch.Tensor
    nar_places: torch.Tensor
    given: torch.Tensor
    absent: torch.Tensor
    window: torch.Tensor
    prompts: torch.Tensor
    ar_heard: torch.Tensor
    nar_heard: torch.Tensor
    knows_prompt: torch.Tensor
    notes: RollNotes
    is_frame: torch.Tensor

    @classmethod
    def of(cls, windows: Sequence[Window], lesson: Lesson) -> "PackedWindows":
        """Pack windows on the CPU."""
        spans = [(len(window.rows), len(window.codes)) for window in windows]
        codes = [_hidden(window, lesson.end_code) for window in windows]
        frame_starts = torch.tensor([0, *(frames for _, frames in spans)]).cumsum(0)
        starts = torch.tensor([0, *(rows + frames for rows, frames in spans)]).cumsum(0)
        total_rows = sum(rows for rows, _ in spans)
        row_starts = torch.tensor([0, *(rows for rows, _ in spans)]).cumsum(0)
        order, midi, audio = [], [], []
        for (rows, frames), row, frame, start in zip(spans, row_starts, frame_starts, starts, strict=False):
            midi.append(start + torch.arange(rows))
            audio.append(start + rows + torch.arange(frames))
            order += [row + torch.arange(rows), total_rows + frame + torch.arange(frames)]
        frame = torch.cat([torch.arange(frames) for _, frames in spans])
        window = torch.arange(len(spans)).repeat_interleave(torch.tensor([frames for _, frames in spans]))
        prompt = torch.tensor([window.prompt_frames for window in windows])
        prefix = torch.tensor(lesson.prefixes)
        is_prompted = torch.tensor([window.is_prompted for window in windows])
        first = torch.where(is_prompted, lesson.first, prompt)
        after = lesson.end_code if lesson.train_end else IGNORED
        targets = torch.cat([torch.cat([own[1:, 0], torch.tensor([after])]) for own in codes])
        predicts = (frame >= first[window] - 1) & (targets != IGNORED)
        of_prompt = torch.arange(int(prompt.max()))
        return cls(
            windows=Sequences.of(rows + frames for rows, frames in spans),
            midi=Sequences.of(rows for rows, _ in spans),
            spans=tuple(spans),
            rows=torch.cat([window.rows for window in windows])[None],
            positions=torch.cat([window.positions for window in windows])[None],
            codes=torch.cat(codes)[None],
            frames=frame[None],
            order=torch.cat(order),
            midi_places=torch.cat(midi),
            audio_places=torch.cat(audio),
            ar_places=predicts.nonzero()[:, 0],
            ar_targets=targets[predicts],
            nar_places=(frame >= prefix[window]).nonzero()[:, 0],
            given=((frame < prefix[window]) & is_prompted[window]).nonzero()[:, 0],
            absent=((frame < prompt[window]) & ~is_prompted[window]).nonzero()[:, 0],
            window=window,
            prompts=frame_starts[:-1, None] + of_prompt,
            ar_heard=(of_prompt < prompt[:, None]) & is_prompted[:, None],
            nar_heard=(of_prompt < prefix[:, None]) & is_prompted[:, None],
            knows_prompt=frame >= prompt[window] - 1,
            notes=side_by_side([notes_of_rows(window.rows) for window in windows]),
            is_frame=torch.arange(max(frames for _, frames in spans)) < torch.tensor([t for _, t in spans])[:, None],
        )

    def to(self, device: torch.device) -> "PackedWindows":
        """The same on a device; from pinned memory nothing waits for it."""
        return self._with(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "PackedWindows":
        """The same in memory that a device reads by itself; what torch's loaders of data call."""
        return self._with(torch.Tensor.pin_memory)

    def __reduce__(self) -> tuple[Any, ...]:
        # As arrays: torch would share each tensor by an open file, of which a process may have a thousand.
        return PackedWindows._of_arrays, (self._values(torch.Tensor.numpy),)

    @classmethod
    def _of_arrays(cls, values: dict[str, Any]) -> "PackedWindows":
        return cls(**values)._with(torch.from_numpy)

    def _with(self, changed: Callable[[Any], Any]) -> "PackedWindows":
        return PackedWindows(**self._values(changed))

    def _values(self, changed: Callable[[Any], Any]) -> dict[str, Any]:
        """All fields, their tensors changed."""
        values: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Sequences):
                value = value.with_starts(changed(value.spans.starts))
            elif isinstance(value, RollNotes):
                value = RollNotes(*map(changed, value))
            elif field.name != "spans":
                value = changed(value)
            values[field.name] = value
        return values

    def joined(self, midi: torch.Tensor, audio: torch.Tensor) -> torch.Tensor:
        """Inputs (1, sum S, d) and (1, sum T, d) as one sequence (1, N, d), window by window."""
        return torch.cat([midi, audio.to(midi.dtype)], dim=1).index_select(1, self.order)

    def full_attention(self, within: Within) -> FullWithinWindows:
        """Of the NAR decoder."""
        return FullWithinWindows(self.windows, within)

    def prefix_attention(self, within: Within) -> PrefixWithinWindows:
        """Of the AR decoder."""
        return PrefixWithinWindows(self.windows, self.midi, self.midi_places, within)

    def ar_conditioning(self, model: MidiValle) -> torch.Tensor | None:
        """The conditioning of the AR decoder's frames, (1, sum T, d): ``MidiValle.ar_conditioning`` of each window."""
        return self._conditioning(model, model.ar_roll, model.ar_summary, self.ar_heard, self.knows_prompt)

    def nar_conditioning(self, model: MidiValle) -> torch.Tensor | None:
        """The same for the NAR decoder, whose prompt is the frames that it is given."""
        return self._conditioning(model, model.nar_roll, model.nar_summary, self.nar_heard, None)

    def _conditioning(
        self,
        model: MidiValle,
        roll: PianoRoll | None,
        summary: PromptSummary | None,
        is_heard: torch.Tensor,
        knows_prompt: torch.Tensor | None,
    ) -> torch.Tensor | None:
        played = self._roll(model.config.roll_frame_rate) if roll is not None else None
        conditioning = None
        if roll is not None and played is not None:
            places = self.window * self.is_frame.shape[1] + self.frames[0]
            conditioning = roll.conditioning(played, self.is_frame).flatten(0, 1).index_select(0, places)
        if summary is not None:
            part = None if played is None else played[:, : self.prompts.shape[1]]
            prompts = self.codes[0, self.prompts].clamp_max(model.config.codebook_size - 1)
            vector = summary(prompts, is_heard, part)[self.window]
            vector = vector if knows_prompt is None else vector * knows_prompt[:, None]
            conditioning = vector if conditioning is None else conditioning + vector
        return None if conditioning is None else conditioning[None]

    @cached_property
    def _rolls(self) -> dict[int, torch.Tensor]:
        return {}

    def _roll(self, rate: int) -> torch.Tensor:
        """The windows' piano rolls, on which both decoders are conditioned."""
        if rate not in self._rolls:
            with torch.no_grad(), torch.autocast(self.rows.device.type, enabled=False):
                self._rolls[rate] = roll_of(self.notes, self.is_frame.shape[1], rate)
        return self._rolls[rate]


def _hidden(window: Window, end_code: int) -> torch.Tensor:
    """A window's codes; the prompt's are the end code where they must not be known."""
    if window.is_prompted:
        return window.codes
    codes = window.codes.clone()
    codes[: window.prompt_frames, 0] = end_code
    return codes

"""Segments in, codes out: the runner that turns the schedule into tensors.

Only the autoregressive step is batched, always at the full number of slots, whether filled or not: how many rows a
product has may decide how each is added up. Where it does not (renderer/decoding/half_linear.py), only filled slots are
computed. Prefill, the non-autoregressive stages and the codec take one segment at a time. So what shares the batch
cannot change a segment's codes.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from typing import NamedTuple

import torch
from torch.nn import functional as F

from renderer.decoding.captured_step import CapturedStep
from renderer.decoding.half_linear import HalfLinear
from renderer.decoding.key_values import make_cache
from renderer.decoding.model_input import ModelInput
from renderer.decoding.sampling import Sampling, draw
from renderer.decoding.schedule import Occupancy, Slots
from renderer.decoding.slot_state import SlotState
from renderer.device import cache_dtype, even_length, is_out_of_memory, release_memory
from renderer.model.attention import FullAttention, PrefixAttention
from renderer.model.midi_valle import MidiValle, plain_product
from renderer.model.piano_roll import PianoRoll

Clock = Callable[[str], AbstractContextManager[None]]


def untimed(stage: str) -> AbstractContextManager[None]:
    """The clock of every run that is not a benchmark."""
    return nullcontext()


class _StepSizes(NamedTuple):
    """How many slots a step computes, and how far it reads their caches."""

    slots: int
    extents: tuple[int, ...]


class Engine:
    """Generates codes with one model on one device, ``batch_size`` segments at a time.

    Where memory runs out, the batch is halved for good and what was under way begins anew; its codes stay the same.
    ``decoding`` is the type of what every step of decoding reads: the model's own, or torch.float16 on a CPU.
    ``clock`` is entered around the stages ``prefill``, ``decode`` and ``complete`` (renderer/stopwatch.py).
    ``occupancy`` counts all steps so far.
    """

    def __init__(
        self, model: MidiValle, batch_size: int, clock: Clock = untimed, decoding: torch.dtype | None = None
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; it must be at least 1")
        self.model = model
        self.clock = clock
        self.device = model.ar_predict_layer.weight.device
        self.occupancy = Occupancy()
        self._decoding = decoding or model.ar_predict_layer.weight.dtype
        with torch.inference_mode():
            self._ar_affines = model.ar_decoder.affines()
            self._nar_affines = model.nar_affines()
            self._computes_all = self._decoding != torch.float16
            make = plain_product if self._computes_all else HalfLinear
            self._ar_products = model.ar_decoder.products(make)
            self._ar_head = make(model.ar_predict_layer.weight, None)
        self._resize(batch_size)

    def _resize(self, batch_size: int) -> None:
        """Begin with empty slots."""
        weight, config = self.model.ar_predict_layer.weight, self.model.config
        self.batch_size = batch_size
        self.cache = make_cache(
            config.layers,
            batch_size,
            config.heads,
            config.d_model // config.heads,
            cache_dtype(self.device, self._decoding),
            self.device,
        )
        told = torch.zeros(batch_size, 1, config.d_model, dtype=weight.dtype, device=self.device)
        self._state = SlotState(batch_size, self.device, told if self.model.ar_roll is not None else None)

    def generate(self, segments: Iterable[ModelInput], sampling: Sampling) -> Iterator[tuple[ModelInput, torch.Tensor]]:
        """Each segment with its codes (frames, K) int64, in the order in which they finish."""
        return chain.from_iterable(self.steps(segments, sampling))

    @torch.inference_mode()
    def steps(
        self,
        segments: Iterable[ModelInput],
        sampling: Sampling,
        progress: Callable[[list[ModelInput]], None] | None = None,
    ) -> Iterator[list[tuple[ModelInput, torch.Tensor]]]:
        """The same step by step: what finished with each, mostly nothing.

        Segments are pulled when a slot is free for them, and asked for again after there were none, until no slot holds
        one. ``progress`` is told after each step of which segments it has generated a frame.
        """
        slots = Slots(self.batch_size, iter(segments))
        self._state.clear()
        step = self._captured_step(sampling)
        while True:
            admitted = list(slots.admit())
            if not slots.filled:
                return
            try:
                for slot, segment in admitted:
                    with self.clock("prefill"):
                        told = self._prefill(slot, segment)
                    self._state.admit(slot, segment, told)
                with self.clock("decode"):
                    step(self._sizes(slots))
                finished = []
                for slot, segment in slots.finishing():
                    with self.clock("complete"):
                        finished.append((segment, self._complete(segment, self._state.codes_of(slot, segment))))
                    self._state.release(slot)
            except Exception as error:
                if self.batch_size == 1 or not is_out_of_memory(error):
                    raise
                slots = slots.halved()
                self._resize(self.batch_size // 2)
                release_memory(self.device)
                step = self._captured_step(sampling)
                continue
            if progress is not None:
                progress(slots.under_way)
            self.occupancy = self.occupancy.after(self.batch_size, slots.filled)
            slots.advance()
            yield finished

    def _sizes(self, slots: Slots[ModelInput]) -> _StepSizes:
        """The next step's; slots that need not be computed come to lie behind the others."""
        computed = self.batch_size if self._computes_all else slots.filled
        if computed < self.batch_size:
            for source, target in slots.close_gaps():
                self.cache.move(source, target)
                self._state.move(source, target)
        return _StepSizes(computed, self.cache.extents(slots.used[:computed]))

    def _captured_step(self, sampling: Sampling) -> CapturedStep[_StepSizes]:
        return CapturedStep(
            lambda sizes: self._step(sizes, sampling),
            lambda: (self.cache.keys, self.cache.values, *self._state.tensors),
            self.device,
        )

    def _prefill(self, slot: int, segment: ModelInput) -> torch.Tensor | None:
        """Fill a slot's cache with the segment's MIDI rows and its prompt, but for the last prompt frame.

        Returns what the piano roll tells of that frame and all that follow, (1, frames + 1, d).
        """
        self.cache.reserve(segment.prefix + segment.frames + 1)
        told = self._told(self.model.ar_roll, segment)
        codes = segment.prompt[None, :-1, 0].to(self.device)
        frame = torch.arange(codes.shape[1], device=self.device)[None].float()
        midi = self.model.ar_midi(segment.rows[None].to(self.device), segment.positions[None].to(self.device))
        of_prompt = None if told is None else told[:, : codes.shape[1]]
        x = torch.cat([midi, self.model.ar_audio(codes, frame, of_prompt)], dim=1)
        attend = PrefixAttention(len(segment.rows), lambda layer, *kept: self.cache.fill(layer, slot, *kept))
        self.model.ar_decoder(x, self._ar_affines, attend, self._ar_products)
        return None if told is None else told[:, codes.shape[1] :]

    def _told(self, piano_roll: PianoRoll | None, segment: ModelInput) -> torch.Tensor | None:
        """What a model's piano roll tells of a segment's frames, the prompt's included: (1, T, d)."""
        if piano_roll is None:
            return None
        return piano_roll(segment.rows.to(self.device), len(segment.prompt) + segment.frames)[None]

    def _step(self, sizes: _StepSizes, sampling: Sampling) -> None:
        """Draw the next code of codebook 0 in the first slots; the end code is never drawn."""
        state = self._state.of_first(sizes.slots)
        frame = (state.prompt_frames - 1 + state.step)[:, None].float()
        x = self.model.ar_audio(state.code[:, None], frame, state.told())
        attend = self.cache.attend(state.prefix + state.step, sizes.extents)
        hidden = self.model.ar_decoder(x, self._ar_affines, attend, self._ar_products)
        logits = self._ar_head(hidden[:, 0])[:, : self.model.config.end_code].float()
        state.record(draw(logits, sampling, state.key, state.step))

    def _complete(self, segment: ModelInput, first: torch.Tensor) -> torch.Tensor:
        """Codebook 0 (frames,) -> all codes (frames, K), a non-autoregressive stage for each further codebook."""
        prompt_frames, rows = len(segment.prompt), len(segment.rows)
        codes = torch.zeros(prompt_frames + len(first), self.model.config.codebooks, dtype=torch.int64)
        codes = codes.to(self.device)[None]
        codes[0, :prompt_frames] = segment.prompt
        codes[0, prompt_frames:, 0] = first
        midi = self.model.nar_midi(segment.rows[None].to(self.device), segment.positions[None].to(self.device))
        frame = torch.arange(codes.shape[1], device=self.device)[None].float()
        told = self._told(self.model.nar_roll, segment)
        length = rows + codes.shape[1]
        filling = even_length(length, self.device) - length
        for stage, affines in enumerate(self._nar_affines):
            audio = self.model.nar_audio_position(self.model.nar_audio(codes, prompt_frames, stage, told), frame)
            x = F.pad(torch.cat([midi, audio], dim=1), (0, 0, 0, filling))
            hidden = self.model.nar_decoder(x, affines, FullAttention(length))
            logits = self.model.nar_logits(hidden[:, rows + prompt_frames : length], stage)
            codes[:, prompt_frames:, stage + 1] = logits.argmax(-1)
        return codes[0, prompt_frames:]

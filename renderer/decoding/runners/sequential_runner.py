"""The model's passes, one sequence after the other but for the steps of decoding: on any device."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch.nn import functional as F

from renderer.decoding.captured_step import CapturedStep, capture_on
from renderer.decoding.half_linear import HalfLinear
from renderer.decoding.key_values import make_cache
from renderer.decoding.model_input import ModelInput
from renderer.decoding.runners.runner import Drawn
from renderer.decoding.sampling import Sampling, draw
from renderer.decoding.slot_state import SlotState
from renderer.device import cache_dtype, even_length, release_memory
from renderer.model.attention import FullAttention, PrefixAttention
from renderer.model.layers import plain_product
from renderer.model.midi_valle import MidiValle
from renderer.model.piano_roll import RollNotes, notes_of_rows
from renderer.model.prompt_summary import Conditioning


class _StepKind(NamedTuple):
    """How many slots a step computes, how far it reads their caches, and how it draws."""

    slots: int
    extents: tuple[int, ...]
    sampling: Sampling


class SequentialRunner:
    """See ``ModelRunner``. ``decoding`` is the type of what every step reads, the model's own or fp16 on a CPU.

    Only the steps of decoding are batched, always at the full number of slots, whether filled or not: how many rows a
    product has may decide how each is added up. Where it does not (renderer/decoding/half_linear.py), only filled slots
    are computed.
    """

    steps_at_once = prefills_at_once = completes_at_once = 1

    def __init__(self, model: MidiValle, slots: int, decoding: torch.dtype | None = None) -> None:
        self._model = model
        self._device = model.ar_predict_layer.weight.device
        self._decoding = decoding or model.ar_predict_layer.weight.dtype
        self.computes_free_slots = self._decoding != torch.float16
        make = plain_product if self.computes_free_slots else HalfLinear
        with torch.inference_mode():
            self._ar_affines = model.ar_decoder.affines()
            self._nar_affines = model.nar_affines()
            self._ar_products = model.ar_decoder.products(make)
            self._ar_head = make(model.ar_predict_layer.weight, None)
        self._begin(slots)

    def reset(self, slots: int) -> None:
        """See ``ModelRunner``."""
        if slots == self.slots:
            self._state.clear()
        else:
            self._begin(slots)

    def _begin(self, slots: int) -> None:
        weight, config = self._model.ar_predict_layer.weight, self._model.config
        self.slots = slots
        self._cache = make_cache(
            config.layers,
            slots,
            config.heads,
            config.d_model // config.heads,
            cache_dtype(self._device, self._decoding),
            self._device,
        )
        conditioning = torch.zeros(slots, 1, config.d_model, dtype=weight.dtype, device=self._device)
        self._state = SlotState(slots, self._device, conditioning if self._model.has_conditioning else None)
        self._step = CapturedStep(
            self._draw_next,
            lambda: (*self._cache.tensors, *self._state.tensors),
            [*self._model.parameters(), *self._model.buffers()],
            capture_on(self._device),
        )
        release_memory(self._device)

    def prefill(self, admitted: Sequence[tuple[int, ModelInput]]) -> None:
        """See ``ModelRunner``."""
        for slot, sequence in admitted:
            self._state.admit(slot, sequence, self._filled(slot, sequence))

    def move(self, source: int, target: int) -> None:
        """See ``ModelRunner``."""
        self._cache.move(source, target)
        self._state.move(source, target)

    def decode(self, lengths: Sequence[int], sampling: Sampling) -> None:
        """See ``ModelRunner``."""
        computed = self.slots if self.computes_free_slots else sum(map(bool, lengths))
        self._step(_StepKind(computed, self._cache.extents(lengths[:computed]), sampling))

    def finish(self, ended: Sequence[tuple[int, ModelInput]]) -> list[torch.Tensor]:
        """See ``ModelRunner``."""
        return [self._state.finish(slot, sequence) for slot, sequence in ended]

    def complete(self, drawn: Sequence[Drawn]) -> list[torch.Tensor]:
        """See ``ModelRunner``."""
        return [self._completed(sequence, codes) for sequence, codes in drawn]

    def _filled(self, slot: int, sequence: ModelInput) -> torch.Tensor | None:
        """Fill a slot's cache with the sequence's MIDI rows and its prompt, but for the last prompt frame.

        Returns the conditioning of that frame and all that follow, (1, frames + 1, d).
        """
        self._cache.reserve(sequence.prefix + sequence.frames + 1)
        conditioning = self._conditioning(self._model.ar_conditioning, sequence)
        codes = sequence.prompt[None, :-1, 0].to(self._device)
        frame = torch.arange(codes.shape[1], device=self._device)[None].float()
        midi = self._model.ar_midi(sequence.rows[None].to(self._device), sequence.positions[None].to(self._device))
        of_prompt = None if conditioning is None else conditioning[:, : codes.shape[1]]
        x = torch.cat([midi, self._model.ar_audio(codes, frame, of_prompt)], dim=1)
        attend = PrefixAttention(len(sequence.rows), lambda layer, *kept: self._cache.fill(layer, slot, *kept))
        self._model.ar_decoder(x, self._ar_affines, attend, self._ar_products)
        return None if conditioning is None else conditioning[:, codes.shape[1] :]

    def _conditioning(self, condition: Conditioning, sequence: ModelInput) -> torch.Tensor | None:
        """The conditioning of a sequence's frames, the prompt's included, (1, T, d), if the model has any."""
        notes = RollNotes(*(column.to(self._device) for column in notes_of_rows(sequence.rows)))
        return condition(notes, sequence.prompt.to(self._device), len(sequence.prompt) + sequence.frames)

    def _draw_next(self, kind: _StepKind) -> None:
        """Draw the next code of codebook 0 in the first slots; the end code is never drawn."""
        state = self._state.of_first(kind.slots)
        frame = (state.prompt_frames - 1 + state.step)[:, None].float()
        x = self._model.ar_audio(state.code[:, None], frame, state.next_conditioning())
        attend = self._cache.attend(state.prefix + state.step, kind.extents)
        hidden = self._model.ar_decoder(x, self._ar_affines, attend, self._ar_products)
        logits = self._ar_head(hidden[:, 0])[:, : self._model.config.end_code].float()
        state.record(draw(logits, kind.sampling, state.key, state.step))

    def _completed(self, sequence: ModelInput, first: torch.Tensor) -> torch.Tensor:
        """Codebook 0 (frames,) -> all codes (frames, K)."""
        prompt_frames, rows = len(sequence.prompt), len(sequence.rows)
        codes = torch.zeros(prompt_frames + len(first), self._model.config.codebooks, dtype=torch.int64)
        codes = codes.to(self._device)[None]
        codes[0, :prompt_frames] = sequence.prompt
        codes[0, prompt_frames:, 0] = first
        midi = self._model.nar_midi(sequence.rows[None].to(self._device), sequence.positions[None].to(self._device))
        frame = torch.arange(codes.shape[1], device=self._device)[None].float()
        conditioning = self._conditioning(self._model.nar_conditioning, sequence)
        length = rows + codes.shape[1]
        filling = even_length(length, self._device) - length
        for stage, affines in enumerate(self._nar_affines):
            audio = self._model.nar_audio_position(
                self._model.nar_audio(codes, prompt_frames, stage, conditioning), frame
            )
            x = F.pad(torch.cat([midi, audio], dim=1), (0, 0, 0, filling))
            hidden = self._model.nar_decoder(x, affines, FullAttention(length))
            logits = self._model.nar_logits(hidden[:, rows + prompt_frames : length], stage)
            codes[:, prompt_frames:, stage + 1] = logits.argmax(-1)
        return codes[0, prompt_frames:]

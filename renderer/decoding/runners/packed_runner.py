"""The model's passes over many sequences at once, with no one waiting for the device: for CUDA.

Every product has one of a few fixed numbers of rows, filled up, as the number of rows decides how a product is added
up. Attention reads each sequence up to its own end. So what shares a pass changes nothing, and no pass is slowed by
being another shape than the one before. What the host knows is copied to pinned memory, which the device reads when it
comes to it; nothing is read back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch

from renderer.decoding.captured_step import CapturedStep, capture_on
from renderer.decoding.key_values.ragged_cache import RaggedCache
from renderer.decoding.model_input import ModelInput
from renderer.decoding.runners.pack import FRAME, MIDI, PROMPT, Pack, Part, shared_out
from renderer.decoding.runners.runner import Drawn
from renderer.decoding.runners.slot_table import SlotTable
from renderer.decoding.sampling import Sampling, draw
from renderer.device import cache_dtype, release_memory
from renderer.model.midi_valle import MidiValle
from renderer.model.packed_attention import PackedFullAttention, PackedPrefixAttention
from renderer.model.piano_roll import RollNotes, notes_of_rows
from renderer.model.prompt_summary import Conditioning
from renderer.model.varlen import VarlenKernel
from renderer.transfer import Backlog, Lanes, sent

USUAL_SHARE = 0.8
"""Of the positions for which there is room."""


_CALLS_AHEAD = 2
"""So many calls of ``decode`` may wait for the device: enough for it never to wait for the host."""


@dataclass(frozen=True)
class PackedSizes:
    """How many rows products have: of a step of decoding, of a prefill, of a non-autoregressive stage.

    A step has more rows than there are slots where there are fewer slots, for want of memory or by choice: so their
    number changes no code. Room is made for ``positions`` of a sequence, and ``frames`` to generate, from the start;
    longer sequences make more. ``steps`` are made before slots are refilled, as soon as one in ``refill`` is free, and
    ``completes`` sequences are collected for the stages.
    """

    step: int = 256
    prefill: int = 8192
    complete: int = 16384
    positions: int = 1344
    frames: int = 1024
    steps: int = 8
    refill: int = 16
    completes: int = 15

    @classmethod
    def made_for(cls, positions: int, frames: int) -> Self:
        """With room for sequences of so many positions; most have fewer."""
        return cls(positions=positions, frames=frames, completes=max(1, int(cls.complete / (USUAL_SHARE * positions))))


class PackedRunner:
    """See ``ModelRunner``."""

    computes_free_slots = True
    _cache: RaggedCache
    _table: SlotTable
    _step: CapturedStep[Sampling]

    def __init__(
        self,
        model: MidiValle,
        slots: int,
        kernel: VarlenKernel,
        decoding: torch.dtype | None = None,
        sizes: PackedSizes = PackedSizes(),
        lanes: Lanes | None = None,
    ) -> None:
        self.slots = 0
        self.steps_at_once, self.completes_at_once = sizes.steps, sizes.completes
        self._model, self._kernel, self._sizes = model, kernel, sizes
        self._device = model.ar_predict_layer.weight.device
        self._lanes = lanes or Lanes(self._device, is_on=False)
        self._dtype = cache_dtype(self._device, decoding or model.ar_predict_layer.weight.dtype)
        with torch.inference_mode():
            self._ar_affines = model.ar_decoder.affines()
            self._nar_affines = model.nar_affines()
        self._backlog = Backlog(_CALLS_AHEAD, self._device)
        self.reset(slots)

    def reset(self, slots: int) -> None:
        """See ``ModelRunner``."""
        if slots == self.slots:
            self._table.clear()
            return
        config, sizes = self._model.config, self._sizes
        if self.slots:
            del self._step, self._cache, self._table  # Before others take their place in memory.
            release_memory(self._device)
        self.slots, self.prefills_at_once = slots, max(1, slots // sizes.refill)
        self._cache = RaggedCache(
            config.layers,
            slots,
            config.heads,
            config.d_model // config.heads,
            self._dtype,
            self._device,
            self._kernel,
        )
        self._cache.reserve(sizes.positions)
        conditioning = (
            self._model.ar_predict_layer.weight.new_empty(0, config.d_model) if self._model.has_conditioning else None
        )
        self._table = SlotTable(max(slots, sizes.step), sizes.frames, self._device, conditioning)
        self._step = CapturedStep(
            self._draw,
            lambda: (*self._cache.tensors, *self._table.tensors),
            [*self._model.parameters(), *self._model.buffers(), *(x for pair in self._ar_affines for x in pair)],
            capture_on(self._device),
        )

    def prefill(self, admitted: Sequence[tuple[int, ModelInput]]) -> None:
        """See ``ModelRunner``."""
        self._cache.reserve(max(sequence.prefix + sequence.frames for _, sequence in admitted))
        parts = [Part(each.rows, each.positions, each.prompt[:-1, :1], 0) for _, each in admitted]
        conditioning = [self._conditioning(self._model.ar_conditioning, sequence) for _, sequence in admitted]
        firsts = [self._cache.first_place(slot) for slot, _ in admitted]
        for some in shared_out([part.length for part in parts], self._sizes.prefill):
            self._fill([parts[n] for n in some], [firsts[n] for n in some], [conditioning[n] for n in some])
        self._table.admit(admitted, conditioning)

    def move(self, source: int, target: int) -> None:
        """See ``ModelRunner``."""
        self._cache.move(source, target)
        self._table.move(source, target)

    def decode(self, lengths: Sequence[int], sampling: Sampling) -> None:
        """See ``ModelRunner``; the slots know their lengths."""
        self._step(sampling)
        self._backlog.add()

    def finish(self, ended: Sequence[tuple[int, ModelInput]]) -> list[torch.Tensor]:
        """See ``ModelRunner``; a slot stops by itself at its sequence's last frame."""
        return [self._table.codes[slot, : sequence.frames].clone() for slot, sequence in ended]

    def complete(self, drawn: Sequence[Drawn]) -> list[torch.Tensor]:
        """See ``ModelRunner``."""
        parts = [Part(each.rows, each.positions, each.prompt, each.frames) for each, _ in drawn]
        completed: list[torch.Tensor] = []
        with self._lanes.beside(each.codes for each in drawn):
            for some in shared_out([part.length for part in parts], self._sizes.complete):
                completed += self._completed([parts[number] for number in some], [drawn[number] for number in some])
        return completed

    def _fill(self, parts: list[Part], firsts: list[int], conditioning: list[torch.Tensor | None]) -> None:
        """Run a pack of MIDI rows and prompts through the AR decoder, which fills caches from these places on."""
        model, cache = self._model, self._cache
        size = in_whole(sum(part.length for part in parts), self._sizes.prefill)
        pack = Pack.of(parts, size, self._device, firsts, cache.first_place(cache.slots))
        is_midi = pack.kind == MIDI
        midi = model.ar_midi(pack.rows[None], pack.positions[None])
        audio = model.ar_audio(pack.codes[None, :, 0], pack.positions[None], self._packed(conditioning, parts, pack))
        attend = PackedPrefixAttention(
            pack.spans,
            pack.midi,
            is_midi,
            self._kernel,
            lambda layer, key, value: cache.fill(layer, pack.places, key, value),
        )
        model.ar_decoder(torch.where(is_midi[None, :, None], midi, audio), self._ar_affines, attend)

    def _packed(
        self, conditioning: Sequence[torch.Tensor | None], parts: Sequence[Part], pack: Pack
    ) -> torch.Tensor | None:
        """The conditioning of frames, one sequence after another (each's first frames, d) -> (1, N, d)."""
        packed = None
        for of_frames, part, start in zip(conditioning, parts, pack.starts, strict=False):
            if of_frames is not None:
                packed = of_frames.new_zeros(1, len(pack.kind), of_frames.shape[1]) if packed is None else packed
                first, end = start + len(part.rows), start + part.length
                packed[0, first:end] = of_frames[: end - first]
        return packed

    def _conditioning(self, condition: Conditioning, sequence: ModelInput) -> torch.Tensor | None:
        """The conditioning of a sequence's frames, the prompt's included, (T, d), if the model has any."""
        if not self._model.has_conditioning:
            return None
        # Which rows are notes is found on the host.
        *notes, prompt = sent([*notes_of_rows(sequence.rows), sequence.prompt], self._device)
        conditioning = condition(RollNotes(*notes), prompt, len(sequence.prompt) + sequence.frames)
        return None if conditioning is None else conditioning[0]

    def _draw(self, sampling: Sampling) -> None:
        """Draw the next codes of codebook 0, some steps of all slots; the end code is never drawn."""
        model, table = self._model, self._table
        for _ in range(self.steps_at_once):
            x = model.ar_audio(table.code[:, None], table.frame[:, None].float(), table.next_conditioning())
            hidden = model.ar_decoder(x, self._ar_affines, self._cache.attend(table.position))
            logits = model.ar_logits(hidden[:, 0])[:, : model.config.end_code]
            table.record(draw(logits, sampling, table.key, table.step))

    def _completed(self, parts: list[Part], drawn: Sequence[Drawn]) -> list[torch.Tensor]:
        """A pack of sequences through the stages of the NAR decoder."""
        model = self._model
        size = in_whole(sum(part.length for part in parts), self._sizes.complete)
        pack = Pack.of(parts, size, self._device)
        is_midi, is_new = pack.kind == MIDI, pack.kind == FRAME
        codes = pack.codes
        news = []
        for part, each, start in zip(parts, drawn, pack.starts, strict=False):
            new = slice(start + len(part.rows) + len(part.prompt), start + part.length)
            codes[new, 0] = each.codes
            news.append(new)
        conditioning = self._packed(
            [self._conditioning(model.nar_conditioning, each.sequence) for each in drawn], parts, pack
        )
        midi = model.nar_midi(pack.rows[None], pack.positions[None])
        attend = PackedFullAttention(pack.spans, self._kernel)
        for stage, affines in enumerate(self._nar_affines):
            known = self._known(codes, pack.kind == PROMPT, stage)[None]
            audio = model.nar_audio_position(
                known if conditioning is None else known + conditioning, pack.positions[None]
            )
            hidden = model.nar_decoder(torch.where(is_midi[None, :, None], midi, audio), affines, attend)
            found = model.nar_logits(hidden[0], stage).argmax(-1)
            codes[:, stage + 1] = torch.where(is_new, found, codes[:, stage + 1])
        return [codes[new].clone() for new in news]

    def _known(self, codes: torch.Tensor, is_prompt: torch.Tensor, stage: int) -> torch.Tensor:
        """The audio input of a stage, as ``MidiValle.nar_audio`` has it, of a pack's codes (N, K): (N, d)."""
        embeddings = list(self._model.nar_audio_embeddings)
        known: torch.Tensor = embeddings[0](codes[:, 0])
        for book, embedding in enumerate(embeddings[1:], start=1):
            embedded = embedding(codes[:, book])
            known = known + (embedded if book <= stage else embedded * is_prompt[:, None])
        return known


def in_whole(positions: int, size: int) -> int:
    """The fewest packs' sizes that hold so many positions: one, but for a sequence that is longer than a pack."""
    return -(-positions // size) * size

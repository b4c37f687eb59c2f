"""Segments in, codes out: the runner that turns the schedule into tensors.

Only the autoregressive step is batched, always at the full number of slots, whether filled or not. Prefill, the
non-autoregressive stages and the codec take one segment at a time at its true length. So what shares the batch
cannot change a segment's codes, and there is no padding to compute.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from renderer.attention import CachedAttention, FullAttention, KeyValueCache, PrefixAttention
from renderer.device import cache_dtype
from renderer.model import MidiValle
from renderer.sampling import Sampling, draw
from renderer.schedule import Slots

Clock = Callable[[str], AbstractContextManager[None]]


def untimed(stage: str) -> AbstractContextManager[None]:
    """The clock of every run that is not a benchmark."""
    return nullcontext()


@dataclass(frozen=True, eq=False)
class SegmentInput:
    """What the model needs for one segment.

    ``rows`` (S, 6) int64 with BOS and EOS rows, ``positions`` (S,) float32, ``prompt`` codes (P, K) int64, the
    number of ``frames`` to generate, and the ``key`` of its noise (renderer/sampling.py).
    """

    rows: torch.Tensor
    positions: torch.Tensor
    prompt: torch.Tensor
    frames: int
    key: int

    @property
    def prefix(self) -> int:
        """Cache positions filled by prefill: all but the last prompt frame, which the first step reads."""
        return len(self.rows) + len(self.prompt) - 1


class Engine:
    """Generates codes with one model on one device, ``batch_size`` segments at a time.

    ``clock`` is entered around the stages ``prefill``, ``decode`` and ``complete`` (renderer/stopwatch.py).
    """

    def __init__(self, model: MidiValle, batch_size: int, clock: Clock = untimed) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; it must be at least 1")
        self.model = model
        self.batch_size = batch_size
        self.clock = clock
        weight, config = model.ar_predict_layer.weight, model.config
        self.device = weight.device
        self.cache = KeyValueCache(
            config.layers,
            batch_size,
            config.heads,
            config.d_model // config.heads,
            cache_dtype(weight.device, weight.dtype),
            weight.device,
        )
        self.occupancy = 1.0
        with torch.inference_mode():
            self._ar_affines = model.ar_decoder.affines()
            self._nar_affines = model.nar_affines()

    @torch.inference_mode()
    def generate(
        self,
        segments: Iterable[SegmentInput],
        sampling: Sampling,
        progress: Callable[[int], None] | None = None,
    ) -> Iterator[tuple[SegmentInput, torch.Tensor]]:
        """Each segment with its codes (frames, K) int64, in the order in which they finish.

        Segments are pulled when a slot is free for them. ``progress`` is told of frames as they are generated.
        """
        slots = Slots(self.batch_size, iter(segments))
        state = _SlotState(self.batch_size, self.device)
        while True:
            for slot, segment in slots.admit():
                with self.clock("prefill"):
                    self._prefill(slot, segment)
                state.admit(slot, segment)
            if not slots.longest:
                return
            with self.clock("decode"):
                self._step(state, slots.longest, sampling)
            finished = slots.advance()
            self.occupancy = slots.occupancy
            if progress is not None:
                progress(slots.filled + len(finished))
            for slot, segment in finished:
                with self.clock("complete"):
                    codes = self._complete(segment, state.release(slot, segment))
                yield segment, codes

    def _prefill(self, slot: int, segment: SegmentInput) -> None:
        """Fill a slot's cache with the segment's MIDI rows and its prompt, but for the last prompt frame."""
        self.cache.reserve(segment.prefix + segment.frames + 1)
        codes = segment.prompt[None, :-1, 0].to(self.device)
        frame = torch.arange(codes.shape[1], device=self.device)[None].float()
        midi = self.model.ar_midi(segment.rows[None].to(self.device), segment.positions[None].to(self.device))
        x = torch.cat([midi, self.model.ar_audio(codes, frame)], dim=1)
        self.model.ar_decoder(x, self._ar_affines, PrefixAttention(len(segment.rows), self.cache, slot))

    def _step(self, state: "_SlotState", longest: int, sampling: Sampling) -> None:
        """Draw the next code of codebook 0 in every slot; the end code is never drawn."""
        x = self.model.ar_audio(state.code[:, None], (state.prompt_frames - 1 + state.step)[:, None].float())
        attend = CachedAttention(self.cache, state.prefix + state.step, longest)
        hidden = self.model.ar_decoder(x, self._ar_affines, attend)
        logits = self.model.ar_logits(hidden[:, 0])[:, : self.model.config.end_code]
        state.record(draw(logits, sampling, state.key, state.step))

    def _complete(self, segment: SegmentInput, first: torch.Tensor) -> torch.Tensor:
        """Codebook 0 (frames,) -> all codes (frames, K), a non-autoregressive stage for each further codebook."""
        prompt_frames, rows = len(segment.prompt), len(segment.rows)
        codes = torch.zeros(prompt_frames + len(first), self.model.config.codebooks, dtype=torch.int64)
        codes = codes.to(self.device)[None]
        codes[0, :prompt_frames] = segment.prompt
        codes[0, prompt_frames:, 0] = first
        midi = self.model.nar_midi(segment.rows[None].to(self.device), segment.positions[None].to(self.device))
        frame = torch.arange(codes.shape[1], device=self.device)[None].float()
        for stage, affines in enumerate(self._nar_affines):
            audio = self.model.nar_audio_position(self.model.nar_audio(codes, prompt_frames, stage), frame)
            hidden = self.model.nar_decoder(torch.cat([midi, audio], dim=1), affines, FullAttention())
            logits = self.model.nar_logits(hidden[:, rows + prompt_frames :], stage)
            codes[:, prompt_frames:, stage + 1] = logits.argmax(-1)
        return codes[0, prompt_frames:]


class _SlotState:
    """What the slots hold besides the cache, as tensors (slots,) int64, so that a step never asks the device."""

    def __init__(self, slots: int, device: torch.device) -> None:
        zeros = torch.zeros(slots, dtype=torch.int64, device=device)
        self.code, self.step, self.key, self.prefix = zeros, zeros.clone(), zeros.clone(), zeros.clone()
        self.prompt_frames = zeros + 1
        self.active = zeros.clone()
        self.codes = torch.zeros(slots, 0, dtype=torch.int64, device=device)
        self._slots = torch.arange(slots, device=device)

    def admit(self, slot: int, segment: SegmentInput) -> None:
        """Set a slot to a segment's first step."""
        if segment.frames > self.codes.shape[1]:
            self.codes = torch.nn.functional.pad(self.codes, (0, segment.frames - self.codes.shape[1]))
        self.code[slot] = segment.prompt[-1, 0]
        self.step[slot] = 0
        self.active[slot] = 1
        self.key[slot] = segment.key
        self.prefix[slot] = segment.prefix
        self.prompt_frames[slot] = len(segment.prompt)

    def release(self, slot: int, segment: SegmentInput) -> torch.Tensor:
        """Free a slot; the codes that it drew, (frames,)."""
        self.active[slot] = 0
        return self.codes[slot, : segment.frames].clone()

    def record(self, code: torch.Tensor) -> None:
        """Keep the codes drawn at this step and move on; free slots stay where they are."""
        self.code = code
        last = self.codes.shape[1] - 1
        self.codes[self._slots, self.step.clamp(max=last)] = code
        self.step = self.step + self.active

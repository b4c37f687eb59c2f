"""The public Python API: performances and prompts in, piano audio out.

>>> from renderer import Renderer
>>> rendering = Renderer.load("mini").render_file("piece.mid", prompt="salamander-close")
>>> rendering.write("piece.flac")
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from renderer.codecs.codec import Codec, decode_clips
from renderer.codes_decoder import codec_on
from renderer.decoding.batch_size import plan_batch
from renderer.decoding.engine import Engine, Generated
from renderer.decoding.model_input import ModelInput, model_input
from renderer.decoding.runners import make_runner
from renderer.decoding.sampling import Sampling
from renderer.decoding.schedule import Occupancy
from renderer.device import (
    choose_batch_size,
    choose_device,
    choose_precision,
    compute_the_same_way,
    fetches_at_once,
    precision_named,
)
from renderer.equalizer import Equalizer
from renderer.errors import PromptError
from renderer.midi.midi_file import read_midi
from renderer.midi.notes import PedalPolicy
from renderer.model.midi_valle import MidiValle
from renderer.piece import Piece
from renderer.prompt import Prompt, prompt_from_files
from renderer.quality.codes_probe import CodesProbe
from renderer.quality.takes import Retakes, Take, Takes
from renderer.rendering import Rendering, RenderRequest
from renderer.segments import SegmentLimits
from renderer.sound_checks import SoundChecks
from renderer.steps import render_all
from renderer.transfer import Fetch, Lanes
from renderer.weights.checkpoint import ModelDescription, find_model, load_model
from renderer.weights.probe_file import load_probe

_FARTHEST_BEHIND = 3
"""So many of the codec's batches may be on their way to the host before it waits: they take memory."""


class Renderer:
    """A model on a device, ready to render.

    ``render`` takes any number of requests. Who has other things to do in between adds them as there is ``room``, and
    makes the steps (renderer/steps.py).
    """

    def __init__(
        self,
        description: ModelDescription,
        model: MidiValle,
        codec: Codec,
        batch_size: int,
        decoding: torch.dtype,
        overlap: bool = False,
        probe: CodesProbe | None = None,
    ) -> None:
        self.description = description
        self.model_config = model.config
        self.codec = codec
        self.probe = probe
        self.limits = SegmentLimits(int(description.max_segment_seconds * description.frame_rate))
        self.batch_plan = plan_batch(model, decoding, self.limits.longest, description.frame_rate, batch_size)
        plan = self.batch_plan
        self._device = model.ar_predict_layer.weight.device
        self._lanes = Lanes(self._device, overlap)
        self.engine = Engine(make_runner(model, plan.size, decoding, plan.positions, self.limits.longest, self._lanes))
        self._prompts: dict[str, Prompt] = {}
        self._waiting: deque[tuple[Piece, Takes]] = deque()
        """Segments for which there is no slot yet."""
        self._running: dict[ModelInput, tuple[Piece, Takes]] = {}
        """Segments that have a slot, or had one and have not come to the host yet."""
        self._generated: list[Generated] = []
        self._checks = SoundChecks(description.match_prompt)
        self._whole: list[Piece] = []
        """Pieces that wait for nothing but what their prompts' sound checks tell."""
        self._coming: deque[tuple[ModelInput, Fetch]] = deque()
        """Codes (frames, K) and audio of segments, on their way from the device."""

    @classmethod
    def load(
        cls,
        model: str | ModelDescription = "mini",
        *,
        device: str = "auto",
        precision: str = "auto",
        batch_size: int | None = None,
    ) -> "Renderer":
        """Load a model by name (``mini``, ``midi-valle``), by directory, or as found by ``find_model``.

        ``precision`` is fp32, bf16, fp16 (renderer/device.py), or the fastest of them on the device. ``batch_size``
        segments are generated side by side, by default as many as are worth it; fewer where memory does not hold them
        (``batch_plan``). CheckpointError if the model is absent or broken.
        """
        description = model if isinstance(model, ModelDescription) else find_model(model)
        place = choose_device(device)
        dtype, decoding = precision_named(choose_precision(precision, place.type))
        compute_the_same_way(place)
        network = load_model(description).to(place, dtype)
        codec = codec_on(description, place, dtype)
        probe = load_probe(description.folder, codec)
        return cls(description, network, codec, choose_batch_size(batch_size, place.type), decoding, probe=probe)

    @property
    def sample_rate(self) -> int:
        """Samples per second of all that this renderer makes."""
        return self.codec.sample_rate

    @property
    def batch_size(self) -> int:
        """How many segments are generated side by side: less than was planned where memory has run out."""
        return self.engine.batch_size

    @property
    def occupancy(self) -> Occupancy:
        """How many steps the batch made so far, and how many of them served a segment."""
        return self.engine.occupancy

    def prompt(self, prompt_id: str) -> Prompt:
        """A prompt that comes with the model; PromptError names those there are."""
        if prompt_id not in self._prompts:
            known = self.description.prompt_ids
            if prompt_id not in known:
                raise PromptError(
                    f"no prompt {prompt_id!r} comes with {self.description.name}: "
                    f"it has {', '.join(known) or 'none; give prompt audio and its MIDI'}"
                )
            folder = self.description.folder / "prompts"
            self._prompts[prompt_id] = self.prompt_from_files(
                folder / f"{prompt_id}.wav", folder / f"{prompt_id}.mid", prompt_id
            )
        return self._prompts[prompt_id]

    @torch.inference_mode()
    def prompt_from_files(self, audio: Path | str, midi: Path | str, prompt_id: str | None = None) -> Prompt:
        """The first 3 s of a recording and of its MIDI as a prompt; PromptError says why it cannot be one."""
        audio, midi = Path(audio), Path(midi)
        return prompt_from_files(prompt_id or audio.stem, audio, midi, self.codec, self.description.pedal)

    def render_file(
        self,
        midi: Path | str,
        prompt: Prompt | str,
        *,
        seed: int = 0,
        sampling: Sampling | None = None,
        tail: float = 1.0,
        pedal: PedalPolicy | None = None,
        retakes: Retakes | None = None,
    ) -> Rendering:
        """Render one MIDI file with a prompt, given as such or by the id of one that comes with the model."""
        performance = read_midi(midi, pedal or self.description.pedal)
        prompt = self.prompt(prompt) if isinstance(prompt, str) else prompt
        request = RenderRequest(Path(midi).stem, performance, prompt, seed, retakes=retakes or Retakes(), tail=tail)
        return next(self.render([request], sampling=sampling))

    def render(
        self, requests: Iterable[RenderRequest], *, sampling: Sampling | None = None, tail: float | None = None
    ) -> Iterator[Rendering]:
        """Render requests, taken as the device has room for them, in the order in which they finish.

        A ``tail``, in seconds, is used in place of the requests' own. What else is under way is dropped.
        """
        self.clear()
        wanted = (request if tail is None else replace(request, tail=tail) for request in requests)
        yield from render_all(self, wanted, sampling)

    @property
    def room(self) -> int:
        """How many more requests are to be added: as long as there are more free slots than segments for them."""
        return max(0, self.engine.room - len(self._waiting))

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way."""
        return not self._waiting and not self._running

    def add(self, request: RenderRequest) -> None:
        """Render a request, beside what is under way."""
        piece = Piece(request, self.codec, self.limits)
        if check := self._checks.request(request.prompt):
            self._queue(Piece(check, self.codec, self.limits))
        self._queue(piece)

    def _queue(self, piece: Piece) -> None:
        self._waiting += [(piece, Takes(segment, piece.request.retakes, self.probe)) for segment in piece.segments]

    @torch.inference_mode()
    def step(self, sampling: Sampling | None = None) -> list[Rendering]:
        """Let every segment in the batch make a step; the renderings of which it was the last.

        After an error nothing is under way.
        """
        try:
            while self._waiting and self.engine.room:
                self._begin(*self._waiting.popleft())
            is_end = self.engine.is_idle
            if not is_end:
                with self._lanes.first():
                    self._generated += self.engine.step(sampling or Sampling())
            while len(self._generated) >= self.codec.clips_at_once or (self._generated and is_end):
                self._decode(self._generated[: self.codec.clips_at_once])
                del self._generated[: self.codec.clips_at_once]
            self._take()
            return self._finished()
        except BaseException:
            self.clear()
            raise

    def clear(self) -> None:
        """Drop all that is under way."""
        self._waiting.clear()
        self._running.clear()
        self._generated.clear()
        self._coming.clear()
        self._whole.clear()
        self._checks.clear()
        self.engine.clear()

    def progress(self) -> Mapping[str, float]:
        """Of each item under way, the seconds of audio so far; of segments that are rendered again, only this time."""
        pieces = [piece for piece, _ in (*self._running.values(), *self._waiting)] + self._whole
        seconds = {p.request.item_id: p.seconds for p in pieces if not self._checks.has_asked(p.request)}
        drawn = [(sequence, len(codes)) for sequence, codes in self._generated]
        drawn += [(sequence, sequence.frames) for sequence, _ in self._coming]
        for sequence, frames in (*self.engine.frames_drawn(), *drawn):
            piece, takes = self._running[sequence]
            if not self._checks.has_asked(piece.request):
                seconds[piece.request.item_id] += piece.seconds_of(takes.segment, frames)
        return seconds

    def _begin(self, piece: Piece, takes: Takes) -> None:
        """Give a segment to the engine, with other noise each time."""
        request = piece.request
        sequence = model_input(
            takes.segment,
            request.prompt,
            request.seed,
            self.model_config,
            self.codec.frame_rate,
            self.description.time_grid,
            take=takes.count,
        )
        self._running[sequence] = (piece, takes)
        self.engine.add(sequence)

    def _decode(self, generated: Sequence[Generated]) -> None:
        """Decode segments' codes in one call, and let codes and audio come to the host."""
        parts = [self._running[sequence] for sequence, _ in generated]
        codes = [codes for _, codes in generated]
        notes = [piece.notes_near(takes.segment) for piece, takes in parts]
        with self._lanes.beside(()):
            audio = decode_clips(self.codec, codes, notes)
            self._coming += [
                (sequence, Fetch([of_codes, samples]))
                for (sequence, of_codes), samples in zip(generated, audio, strict=True)
            ]

    def _take(self) -> None:
        """Take what has come: some at a time, as meanwhile the device is asked for nothing new."""
        for _ in range(fetches_at_once(self._device)):
            is_far_behind = len(self._coming) > _FARTHEST_BEHIND * self.codec.clips_at_once
            if not self._coming or not (self._coming[0][1].is_there or self.engine.is_idle or is_far_behind):
                break
            sequence, fetch = self._coming.popleft()
            piece, takes = self._running.pop(sequence)
            codes, samples = (each.numpy() for each in fetch.result())
            takes.add(Take(codes, samples), self.sample_rate, self.limits.crossfade)
            if takes.is_over:
                piece.add(takes)
            else:
                self._waiting.appendleft((piece, takes))
            if piece.is_whole and self._checks.has_asked(piece.request):
                self._checks.hear(piece.request, piece.rendering(Equalizer()))
            elif piece.is_whole:
                self._whole.append(piece)

    def _finished(self) -> list[Rendering]:
        """The pieces that are whole, as soon as it is known how they are to be equalized."""
        renderings, waiting = [], []
        for piece in self._whole:
            if (equalizer := self._checks.equalizer(piece.request.prompt)) is None:
                waiting.append(piece)
            else:
                renderings.append(piece.rendering(equalizer, self.probe))
        self._whole = waiting
        return renderings

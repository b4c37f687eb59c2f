"""The public Python API: performances and prompts in, piano audio out.

>>> from renderer import Renderer
>>> rendering = Renderer.load("mini").render_file("piece.mid", prompt="salamander-close")
>>> rendering.write("piece.flac")
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import torch

from renderer.codecs.codec import Codec, decode_clips
from renderer.decoding.batch_size import plan_batch
from renderer.decoding.engine import Engine
from renderer.decoding.model_input import ModelInput, model_input
from renderer.decoding.sampling import Sampling, noise_key
from renderer.decoding.schedule import Occupancy, Queue
from renderer.device import choose_batch_size, choose_device, choose_precision, precision_named
from renderer.errors import PromptError
from renderer.midi.midi_file import read_midi
from renderer.midi.notes import Notes, PedalPolicy
from renderer.model.midi_valle import MidiValle
from renderer.model.piano_roll import notes_near
from renderer.prompt import Prompt, prompt_from_files
from renderer.quality.attempts import Attempts, Take, Trial
from renderer.rendering import Rendering, RenderRequest
from renderer.segments import Joiner, Segment, SegmentLimits, plan_segments
from renderer.weights.checkpoint import ModelDescription, find_model, load_codec, load_model


class Renderer:
    """A model on a device, ready to render."""

    def __init__(
        self, description: ModelDescription, model: MidiValle, codec: Codec, batch_size: int, decoding: torch.dtype
    ) -> None:
        self.description = description
        self.codec = codec
        self.limits = SegmentLimits(int(description.max_segment_seconds * description.frame_rate))
        self.batch_plan = plan_batch(model, decoding, self.limits.longest, description.frame_rate, batch_size)
        self.engine = Engine(model, self.batch_plan.size, decoding=decoding)
        self._prompts: dict[str, Prompt] = {}

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
        network = load_model(description).to(place, dtype)
        codec = load_codec(description).for_inference().to(place, dtype)
        return cls(description, network, codec, choose_batch_size(batch_size, place.type), decoding)

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
        attempts: Attempts | None = None,
    ) -> Rendering:
        """Render one MIDI file with a prompt, given as such or by the id of one that comes with the model."""
        performance = read_midi(midi, pedal or self.description.pedal)
        prompt = self.prompt(prompt) if isinstance(prompt, str) else prompt
        request = RenderRequest(Path(midi).stem, performance, prompt, seed, attempts=attempts or Attempts())
        return next(self.render([request], sampling=sampling, tail=tail))

    def render(
        self,
        requests: Iterable[RenderRequest],
        *,
        sampling: Sampling | None = None,
        tail: float = 1.0,
        progress: Callable[[str, float], None] | None = None,
    ) -> Iterator[Rendering]:
        """Render requests, pulled as the device has room for them, in the order in which they finish.

        ``progress`` is told of items' seconds of audio as they are generated.
        """
        return chain.from_iterable(self.steps(requests, sampling=sampling, tail=tail, progress=progress))

    @torch.inference_mode()
    def steps(
        self,
        requests: Iterable[RenderRequest],
        *,
        sampling: Sampling | None = None,
        tail: float = 1.0,
        progress: Callable[[str, float], None] | None = None,
    ) -> Iterator[list[Rendering]]:
        """The same, step by step of the batch: what finished with each, mostly nothing.

        For callers who have other things to do in between. As long as anything is under way, requests are asked for
        again after there were none, so that the batch need not run empty before more come.
        """
        under_way = _UnderWay(requests, self, tail)

        def frames_done(segments: list[ModelInput]) -> None:
            if progress is not None:
                for segment in segments:
                    progress(*under_way.progress_of(segment))

        while True:
            waiting: list[tuple[ModelInput, torch.Tensor]] = []
            for finished in self.engine.steps(under_way.queue, sampling or Sampling(), frames_done):
                waiting += finished
                whole = len(waiting) // self.codec.clips_at_once * self.codec.clips_at_once
                yield under_way.finished(waiting[:whole])
                del waiting[:whole]
            if waiting:
                yield under_way.finished(waiting)
            if not under_way:
                return


class _UnderWay:
    """Segments out of requests, for the engine to pull, and renderings out of the codes that it gives for them.

    Requests are pulled one by one, and asked for again after there were none; in the ``queue``, before new segments
    come those that are rendered again.
    """

    def __init__(self, requests: Iterable[RenderRequest], renderer: Renderer, tail: float) -> None:
        self._requests, self._renderer, self._tail = iter(requests), renderer, tail
        self._segments: Iterator[ModelInput] = iter(())
        self.queue: Queue[ModelInput] = Queue(self)
        self._trials: dict[ModelInput, tuple[_Piece, Trial]] = {}

    def __bool__(self) -> bool:
        return bool(self._trials)

    def __iter__(self) -> "_UnderWay":
        return self

    def __next__(self) -> ModelInput:
        while (segment := next(self._segments, None)) is None:
            self._segments = self._cut(next(self._requests))
        return segment

    def progress_of(self, work: ModelInput) -> tuple[str, float]:
        """Which item a frame of a segment is for, and for how many of its seconds: segments overlap."""
        piece, trial = self._trials[work]
        segment = trial.segment
        return piece.request.item_id, (segment.end - segment.keep) / segment.frames / piece.frame_rate

    def finished(self, generated: Sequence[tuple[ModelInput, torch.Tensor]]) -> list[Rendering]:
        """Decode segments' codes (frames, K): the renderings of which these were the last."""
        renderings, codec = [], self._renderer.codec
        for first in range(0, len(generated), codec.clips_at_once):
            some = generated[first : first + codec.clips_at_once]
            notes = [piece.notes_near(trial.segment) for piece, trial in (self._trials[work] for work, _ in some)]
            decoded = decode_clips(codec, [codes for _, codes in some], notes)
            for (work, codes), audio in zip(some, decoded, strict=True):
                piece = self._take(work, Take(codes.cpu().numpy(), audio.cpu().numpy()))
                if piece.missing == 0:
                    renderings.append(piece.rendering())
        return renderings

    def _cut(self, request: RenderRequest) -> Iterator[ModelInput]:
        renderer = self._renderer
        piece = _Piece(request, renderer, self._tail)
        for segment in piece.segments:
            work = model_input(
                segment,
                request.prompt,
                request.seed,
                renderer.engine.model.config,
                renderer.codec.frame_rate,
                renderer.description.time_grid,
            )
            self._trials[work] = (piece, Trial(segment, request.attempts))
            yield work

    def _take(self, work: ModelInput, take: Take) -> "_Piece":
        """Judge a take of a segment, which ends the segment or lets it be rendered again."""
        piece, trial = self._trials.pop(work)
        trial.add(take, self._renderer.sample_rate, self._renderer.limits.crossfade)
        if trial.is_over:
            piece.add(trial)
        else:
            again = replace(work, key=noise_key(piece.request.seed, trial.segment.index, trial.count))
            self._trials[again] = (piece, trial)
            self.queue.put_first(again)
        return piece


class _Piece:
    """A request on its way: which segments are still missing, and the audio so far."""

    def __init__(self, request: RenderRequest, renderer: Renderer, tail: float) -> None:
        self.request = request
        self.sample_rate = renderer.sample_rate
        self.frame_rate = renderer.codec.frame_rate
        notes, codec, limits = request.performance.notes, renderer.codec, renderer.limits
        self.duration = notes.end + tail
        samples = round(self.duration * self.sample_rate)
        frame_samples = self.sample_rate // codec.frame_rate
        frames = -(-samples // frame_samples)
        self.segments = list(plan_segments(notes, frames, codec.frame_rate, limits))
        self.missing = len(self.segments)
        self.retried = 0
        self.joints = np.array([segment.keep / codec.frame_rate for segment in self.segments[1:]])
        self.crossfade = limits.crossfade / codec.frame_rate
        self._joiner = Joiner(samples, frame_samples, limits.crossfade)
        self._codes = np.empty((codec.codebooks, frames), np.uint16)

    def notes_near(self, segment: Segment) -> Notes:
        """What a segment's decoder is told: unlike the model, it is told when notes before the segment were struck."""
        start, stop = segment.start / self.frame_rate, segment.stop / self.frame_rate
        return notes_near(self.request.performance.notes, start, stop)

    def add(self, trial: Trial) -> None:
        """Add the best of a segment's takes."""
        segment, take = trial.segment, trial.best
        self._joiner.add(segment, take.audio)
        own = take.codes[segment.keep - segment.start : segment.end - segment.start]
        self._codes[:, segment.keep : segment.end] = own.T
        self.missing -= 1
        self.retried += trial.count > 1

    def rendering(self) -> Rendering:
        return Rendering(
            item_id=self.request.item_id,
            samples=self._joiner.samples,
            sample_rate=self.sample_rate,
            duration=self.duration,
            notes=self.request.performance.notes,
            report=self.request.performance.report,
            segments=len(self.segments),
            seed=self.request.seed,
            prompt_id=self.request.prompt.prompt_id,
            codes=self._codes,
            joints=self.joints,
            crossfade=self.crossfade,
            segments_retried=self.retried,
        )

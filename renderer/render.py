"""The public Python API: performances and prompts in, piano audio out.

>>> from renderer import Renderer
>>> rendering = Renderer.load("mini").render_file("piece.mid", prompt="salamander-close")
>>> rendering.write("piece.flac")
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from renderer.attempts import Attempts, Take, Trial
from renderer.audio import AudioFormat, FloatSamples, resample, write_audio
from renderer.batch_size import plan_batch
from renderer.checkpoint import ModelDescription, find_model, load_codec, load_model
from renderer.codec import Codec, decode_clips
from renderer.conditioning import segment_input
from renderer.device import choose_batch_size, choose_device, choose_dtype, choose_precision
from renderer.engine import Engine, SegmentInput
from renderer.errors import PromptError
from renderer.loudness import Gain, Level
from renderer.midi import read_midi
from renderer.model import MidiValle
from renderer.notes import Excerpt, FloatArray, NoteReport, Notes, PedalPolicy, Performance
from renderer.piano_roll import notes_near
from renderer.prompt import Prompt, prompt_from_files
from renderer.quality import Quality, measure_quality
from renderer.sampling import Sampling, noise_key
from renderer.schedule import Queue
from renderer.segments import Joiner, Segment, SegmentLimits, plan_segments


@dataclass(frozen=True)
class RenderRequest:
    """One performance to render with one prompt; ``seed`` decides its noise, and nothing else does.

    ``excerpt`` says which part of a longer one the performance is, for those who want to know; it has been applied.
    ``attempts`` says when a segment is rendered again, with other noise, and how often.
    """

    item_id: str
    performance: Performance
    prompt: Prompt
    seed: int = 0
    excerpt: Excerpt = field(default_factory=Excerpt)
    attempts: Attempts = field(default_factory=Attempts)


@dataclass(frozen=True, eq=False)
class Rendering:
    """A rendered performance.

    ``samples`` is mono float32, exactly round(duration x sample_rate) long, where ``duration`` is the last offset
    and the tail, in seconds; ``notes`` are the notes that sound in it, on the same clock, and ``report`` counts what
    was decided about the others. ``gain`` is what was done to the level the model gave. ``joints`` (segments - 1,)
    are where segments follow one another, in seconds, each at the end of a cross-fade of ``crossfade`` seconds.
    ``segments_retried`` counts the segments that were attempted more than once.

    ``codes`` are the codec's, (K, T): each segment's own frames, one after the other, so T frames cover the piece
    exactly once. The audio was decoded from segments that overlap, with what lies before and after their own
    frames: decoding ``codes`` (and ``notes``) in one go gives nearly the same audio, but not at the joints.
    """

    item_id: str
    samples: FloatSamples
    sample_rate: int
    duration: float
    notes: Notes
    report: NoteReport
    segments: int
    seed: int
    prompt_id: str
    codes: NDArray[np.uint16] | None = None
    gain: Gain = field(default_factory=Gain)
    joints: FloatArray = field(default_factory=lambda: np.empty(0))
    crossfade: float = 0.0
    segments_retried: int = 0

    def quality(self) -> Quality:
        """Measures of the audio as it is (renderer/quality.py); ValueError if it is empty or no numbers."""
        return measure_quality(self.samples, self.sample_rate, self.notes, self.duration, self.joints, self.crossfade)

    def resampled(self, sample_rate: int) -> "Rendering":
        """The same at another rate, again exactly round(duration x sample_rate) samples long."""
        if sample_rate == self.sample_rate:
            return self
        length = round(self.duration * sample_rate)
        samples = resample(self.samples, self.sample_rate, sample_rate)[:length]
        samples = np.pad(samples, (0, length - len(samples)))  # The filter's rounding: by a sample, if at all.
        return replace(self, samples=samples, sample_rate=sample_rate)

    def levelled(self, level: Level) -> "Rendering":
        """The same at another level; ``gain`` says by how much, or why not."""
        gain = level.gain(self.samples, self.sample_rate)
        return replace(self, samples=gain.apply(self.samples), gain=gain)

    def write(self, path: Path | str, audio_format: AudioFormat = "flac") -> int:
        """Write the audio; how many samples beyond full scale had to be clipped. AudioError if it cannot be."""
        return write_audio(path, self.samples, self.sample_rate, audio_format)


class Renderer:
    """A model on a device, ready to render."""

    def __init__(self, description: ModelDescription, model: MidiValle, codec: Codec, batch_size: int) -> None:
        self.description = description
        self.codec = codec
        self.limits = SegmentLimits(int(description.max_segment_seconds * description.frame_rate))
        self.batch_plan = plan_batch(model, self.limits.longest, description.frame_rate, batch_size)
        self.engine = Engine(model, self.batch_plan.size)
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

        ``precision`` is fp32, bf16, or the faster of them on the device. ``batch_size`` segments are generated side by
        side, by default as many as are worth it; fewer where memory does not hold them (``batch_plan``).
        CheckpointError if the model is absent or broken.
        """
        description = model if isinstance(model, ModelDescription) else find_model(model)
        place = choose_device(device)
        dtype = choose_dtype(choose_precision(precision, place.type))
        network = load_model(description).to(place, dtype)
        codec = load_codec(description).for_inference().to(place, dtype)
        return cls(description, network, codec, choose_batch_size(batch_size, place.type))

    @property
    def sample_rate(self) -> int:
        """Samples per second of all that this renderer makes."""
        return self.codec.sample_rate

    @property
    def batch_size(self) -> int:
        """How many segments are generated side by side: less than was planned where memory has run out."""
        return self.engine.batch_size

    @property
    def occupancy(self) -> float:
        """The share of the batch's steps that served a segment, in the latest call of :meth:`render`."""
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

    @torch.inference_mode()
    def render(
        self,
        requests: Iterable[RenderRequest],
        *,
        sampling: Sampling | None = None,
        tail: float = 1.0,
        progress: Callable[[float], None] | None = None,
    ) -> Iterator[Rendering]:
        """Render requests, pulled as the device has room for them, in the order in which they finish.

        ``progress`` is told of seconds of audio as they are generated.
        """
        under_way: dict[SegmentInput, tuple[_Piece, Trial]] = {}

        def segments() -> Iterator[SegmentInput]:
            for request in requests:
                piece = _Piece(request, self, tail)
                for segment in piece.segments:
                    work = segment_input(
                        segment,
                        request.prompt,
                        request.seed,
                        self.engine.model.config,
                        self.codec.frame_rate,
                        self.description.time_grid,
                    )
                    under_way[work] = (piece, Trial(segment, request.attempts))
                    yield work

        def frames_done(frames: int) -> None:
            if progress is not None:
                progress(frames / self.codec.frame_rate)

        queue = Queue(segments())
        while True:
            generated = self.engine.generate(queue, sampling or Sampling(), frames_done)
            while some := list(islice(generated, self.codec.clips_at_once)):
                notes = [piece.notes_near(trial.segment) for piece, trial in (under_way[work] for work, _ in some)]
                decoded = decode_clips(self.codec, [codes for _, codes in some], notes)
                for (work, codes), audio in zip(some, decoded, strict=True):
                    piece, trial = under_way.pop(work)
                    trial.add(Take(codes.cpu().numpy(), audio.cpu().numpy()), self.sample_rate, self.limits.crossfade)
                    if trial.is_over:
                        piece.add(trial)
                    else:
                        again = replace(work, key=noise_key(piece.request.seed, trial.segment.index, trial.count))
                        under_way[again] = (piece, trial)
                        queue.put_first(again)
                    if piece.missing == 0:
                        yield piece.rendering()
            if not under_way:
                return


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

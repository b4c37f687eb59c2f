"""The same segment as the published code does it: alone, in fp32, and without a cache.

Every step of its sampler takes the whole sequence through the AR decoder. A few steps are measured, at lengths from the
first to the last, and the others estimated from them: their cost is quadratic in the step. The layers are ours, with
fused attention, so the published code itself is no faster than this.
"""

from dataclasses import dataclass

import numpy as np
import torch

from jobs.bench.network import RandomSegment
from renderer.codecs.neural_codec import NeuralCodec
from renderer.decoding.model_input import ModelInput
from renderer.model.attention import FullAttention, PrefixAttention
from renderer.model.midi_valle import MidiValle
from renderer.stopwatch import Stopwatch

MEASURED_STEPS = 5
REPETITIONS = 2


@dataclass(frozen=True)
class PublishedWay:
    """Seconds that one segment takes: ``decode`` is estimated from ``measured_steps``, the rest measured.

    Of two repetitions the faster counts.
    """

    audio_seconds: float
    decode: float
    complete: float
    codec: float
    measured_steps: dict[int, float]

    @property
    def audio_seconds_per_second(self) -> float:
        """Of everything together."""
        return self.audio_seconds / (self.decode + self.complete + self.codec)


@torch.inference_mode()
def measure_published_way(
    model: MidiValle, codec: NeuralCodec, random: RandomSegment, device: torch.device
) -> PublishedWay:
    """Measure with a model and a codec in fp32, whose weight norms are not folded yet."""
    segment = random.input
    steps = sorted({round(step) for step in np.linspace(0, segment.frames - 1, MEASURED_STEPS)})
    prompt, first = segment.prompt[:, 0], torch.zeros(segment.frames, dtype=torch.int64)
    midi = model.ar_midi(segment.rows[None].to(device), segment.positions[None].to(device))
    _step(model, midi, prompt)
    watches = [Stopwatch(device) for _ in range(REPETITIONS)]
    for watch in watches:
        for step in steps:
            with watch(f"step {step}"):
                _step(model, midi, torch.cat([prompt, first[:step]]))
        with watch("complete"):
            codes = _complete(model, segment, first, device)
        with watch("codec"):
            # Not decode(), which fills a recurrent network's rows up for clips that are not there.
            codec.synthesize(codec.dequantize(codes.T[None]), notes=[random.notes])
    fastest = {stage: min(watch.seconds[stage] for watch in watches) for stage in watches[0].seconds}
    measured = {step: fastest[f"step {step}"] for step in steps}
    return PublishedWay(
        audio_seconds=segment.frames / codec.frame_rate,
        decode=over_all_steps(measured, segment.frames),
        complete=fastest["complete"],
        codec=fastest["codec"],
        measured_steps=measured,
    )


def over_all_steps(measured: dict[int, float], steps: int) -> float:
    """Seconds of all steps by the parabola that fits those measured best."""
    parabola = np.polyfit(list(measured), list(measured.values()), deg=2)
    return float(np.polyval(parabola, np.arange(steps)).sum())


def _step(model: MidiValle, midi: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    """The code that follows MIDI (1, S, d) and the codes (T,) of prompt and segment so far."""
    codes = codes[None].to(midi.device)
    x = torch.cat([midi, model.ar_audio(codes, _frame_numbers(codes))], dim=1)
    hidden = model.ar_decoder(x, model.ar_decoder.affines(), PrefixAttention(midi.shape[1]))
    return model.ar_logits(hidden[:, -1]).softmax(-1).multinomial(1)


def _complete(model: MidiValle, segment: ModelInput, first: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Codebook 0 (frames,) -> all codes (frames, K); the norms are computed, not folded."""
    prompt_frames, beginning = len(segment.prompt), len(segment.rows) + len(segment.prompt)
    codes = torch.cat([segment.prompt, first[:, None].expand(-1, segment.prompt.shape[1])])[None].to(device)
    midi = model.nar_midi(segment.rows[None].to(device), segment.positions[None].to(device))
    for stage, affines in enumerate(model.nar_affines()):
        audio = model.nar_audio_position(model.nar_audio(codes, prompt_frames, stage), _frame_numbers(codes[..., 0]))
        hidden = model.nar_decoder(torch.cat([midi, audio], dim=1), affines, FullAttention())
        codes[:, prompt_frames:, stage + 1] = model.nar_logits(hidden[:, beginning:], stage).argmax(-1)
    return codes[0, prompt_frames:]


def _frame_numbers(codes: torch.Tensor) -> torch.Tensor:
    return torch.arange(codes.shape[1], device=codes.device)[None].float()

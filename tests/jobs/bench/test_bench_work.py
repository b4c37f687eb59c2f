"""The counted work is what torch counts in a run, what the weights weigh, and what the paper's sizes come to."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from jobs.bench.codec_work import codec_work
from jobs.bench.work import Span, Work, complete_work, decode_work, prefill_work
from renderer.codecs.encodec_codec import EncodecCodec, EncodecConfig
from renderer.model.layers import AdaptiveLayerNorm
from renderer.model.midi_valle import MidiValle, ModelConfig
from renderer.weights.checkpoint import find_model, load_codec

TINY = ModelConfig(d_model=32, heads=2, layers=2, codebooks=3, codebook_size=16)
MINI = ModelConfig(d_model=256, heads=4, layers=6, codebook_size=1024)
PUBLISHED = ModelConfig()
BATCH = [Span(rows=7, prompt=4, frames=5), Span(rows=3, prompt=1, frames=9)]


class VisibleAttention:
    """Computes what is visible and nothing else: all MIDI for MIDI rows, MIDI and the audio so far for a frame.

    In plain products: on a CPU, torch does not count fused attention.
    """

    def __init__(self, midi_rows: int) -> None:
        self.midi_rows = midi_rows

    def __call__(self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        ends = [self.midi_rows, *range(self.midi_rows + 1, query.shape[2] + 1)]
        seen = [
            (query[:, :, begin:end] @ key[:, :, :end].mT).softmax(-1) @ value[:, :, :end]
            for begin, end in zip([0, *ends], ends, strict=False)
        ]
        return torch.cat(seen, dim=2)


def model_of(config: ModelConfig) -> MidiValle:
    return MidiValle(config).eval().requires_grad_(False)


def ar_flops(model: MidiValle, span: Span, frames: int) -> int:
    """Of the AR decoder over MIDI, all but the last prompt frame, and the first ``frames`` steps."""
    with FlopCounterMode(display=False) as counter:
        midi = model.ar_midi(torch.ones(1, span.rows, 6, dtype=torch.int64), torch.zeros(1, span.rows))
        audio = span.prompt - 1 + frames
        x = torch.cat([midi, model.ar_audio(torch.zeros(1, audio, dtype=torch.int64), torch.zeros(1, audio))], dim=1)
        hidden = model.ar_decoder(x, model.ar_decoder.affines(), VisibleAttention(span.rows))
        if frames:
            model.ar_logits(hidden[:, -frames:])
    return int(counter.get_total_flops())


def nar_flops(model: MidiValle, span: Span) -> int:
    affines = model.nar_affines()
    codes = torch.zeros(1, span.prompt + span.frames, model.config.codebooks, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        midi = model.nar_midi(torch.ones(1, span.rows, 6, dtype=torch.int64), torch.zeros(1, span.rows))
        for stage, norms in enumerate(affines):
            x = torch.cat([midi, model.nar_audio(codes, span.prompt, stage)], dim=1)
            hidden = model.nar_decoder(x, norms, VisibleAttention(x.shape[1]))
            model.nar_logits(hidden[:, -span.frames :], stage)
    return int(counter.get_total_flops())


@pytest.mark.parametrize("config", [TINY, MINI])
def test_operations_are_those_that_torch_counts(config: ModelConfig) -> None:
    model = model_of(config)
    prefill = sum(ar_flops(model, span, 0) for span in BATCH)
    assert prefill_work(config, BATCH, 4, 4).flops == prefill
    decode = sum(ar_flops(model, span, span.frames) for span in BATCH) - prefill
    assert decode_work(config, BATCH, 4, 4).flops == decode
    assert complete_work(config, BATCH, 4).flops == sum(nar_flops(model, span) for span in BATCH)


@pytest.mark.parametrize("config", [TINY, MINI])
def test_every_weight_that_a_pass_needs_is_read_once(config: ModelConfig) -> None:
    model = model_of(config)

    def size(*modules: torch.nn.Module) -> int:
        return sum(weights.numel() for module in modules for weights in module.parameters())

    assert prefill_work(config, BATCH, 2, 0).bytes == 2 * size(model.ar_decoder, model.ar_text_embedding)
    steps = 9  # Of the longer one: all segments share a step.
    assert decode_work(config, BATCH, 2, 0).bytes == steps * 2 * size(model.ar_decoder, model.ar_predict_layer)
    folded = sum(number.numel() for affine in model.nar_affines()[0] for number in affine)
    unfolded = sum(size(norm) for norm in model.nar_decoder.modules() if isinstance(norm, AdaptiveLayerNorm))
    decoder = size(model.nar_decoder) - unfolded + folded
    stages = sum(decoder + size(head) for head in model.nar_predict_layers)
    assert complete_work(config, BATCH, 4).bytes == 4 * (stages + size(model.nar_text_embedding))


def test_keys_and_values_are_written_once_and_read_at_every_step() -> None:
    position = 2 * TINY.layers * TINY.d_model
    assert prefill_work(TINY, BATCH, 0, 4).bytes == 4 * position * (10 + 3)
    seen = sum(range(11, 16)) + sum(range(4, 13))
    assert decode_work(TINY, BATCH, 0, 4).bytes == 4 * position * seen


def test_the_published_size_comes_to_the_known_figures() -> None:
    """AR 346 MFLOP and 49,152 B (bf16) a position at 800 of them; NAR 76.3 GFLOP a second of audio; codec 7.8."""
    step = decode_work(PUBLISHED, [Span(rows=650, prompt=150, frames=1)], 2, 2)
    assert step.flops == pytest.approx(346e6, rel=2e-3)
    assert step.bytes == pytest.approx(306.5e6 + 800 * 49_152, rel=2e-3)
    assert complete_work(PUBLISHED, [Span(200, 150, 900)], 2).flops / 18 == pytest.approx(76.3e9, rel=1e-2)
    codec = EncodecCodec(EncodecConfig()).for_inference()
    assert codec_work(codec, 50, 1).flops == pytest.approx(7.8e9, rel=5e-3)


def test_a_recurrent_codec_reads_its_inner_weights_at_every_frame() -> None:
    """And its products, which torch's counter does not see on a CPU, are counted."""
    codec = EncodecCodec(EncodecConfig(n_filters=4, dimension=16)).for_inference()
    width, layers = 4 * 2**4, 2
    inner = layers * 4 * width**2
    one, two = codec_work(codec, 10, 1), codec_work(codec, 11, 1)
    assert two.bytes - one.bytes == 4 * inner
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        codec.decode(torch.zeros(1, 4, 10, dtype=torch.int64))
    recurrent = sum(flops for kind, flops in counter.get_flop_counts()["Global"].items() if "conv" not in str(kind))
    convolutions = counter.get_total_flops() - recurrent
    assert one.flops == convolutions + 10 * layers * 2 * 4 * width * 2 * width
    assert codec_work(codec, 10, 3) == Work(3 * one.flops, one.bytes)


def test_a_light_codec_is_counted_in_its_own_precision() -> None:
    codec = load_codec(find_model("mini")).for_inference()
    single = codec_work(codec, 25, 2)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        codec.decode(torch.zeros(2, codec.codebooks, 25, dtype=torch.int64))
    assert single.flops == counter.get_total_flops()
    half = codec_work(codec.to(torch.bfloat16), 25, 2)
    assert half == Work(single.flops, single.bytes // 2)


def test_the_roofline_is_whichever_limit_is_nearer() -> None:
    assert Work(flops=100, bytes=10).least_seconds(peak_flops=10, peak_bytes=10) == 10
    assert Work(flops=100, bytes=500).least_seconds(peak_flops=10, peak_bytes=10) == 50

"""What both codecs promise beyond their numbers; sizes are small, weights random."""

from collections.abc import Callable

import pytest
import torch

from renderer.codecs.codec import Codec
from renderer.codecs.encodec_codec import EncodecCodec, EncodecConfig
from renderer.codecs.frame_codec import FrameCodec, FrameCodecConfig
from renderer.codecs.neural_codec import NeuralCodec


def small_encodec() -> NeuralCodec:
    codec = EncodecCodec(EncodecConfig(n_filters=8, dimension=32, codebook_size=64))
    for layer in codec.quantizer.vq.layers:
        layer.get_submodule("_codebook").get_buffer("embed").normal_(std=0.1)
    return codec


def small_frame_codec() -> NeuralCodec:
    return FrameCodec(FrameCodecConfig(encoder_width=64, latent=16, codebook_size=64, decoder_width=96))


@pytest.fixture(params=[small_encodec, small_frame_codec])
def codec(request: pytest.FixtureRequest) -> NeuralCodec:
    torch.manual_seed(0)
    make: Callable[[], NeuralCodec] = request.param
    return make().eval()


def as_protocol(codec: NeuralCodec) -> Codec:
    return codec


@torch.inference_mode()
def test_a_clip_is_the_same_to_the_bit_alone_and_in_any_batch(codec: NeuralCodec) -> None:
    lengths = [20_000, 1, 31_999, 640, 0, 32_000]
    audio = torch.randn(len(lengths), 32_000) * 0.1
    codes = codec.encode(audio, torch.tensor(lengths))
    frames = torch.tensor([-(-length // 640) for length in lengths])
    sound = codec.decode(codes, frames)
    assert codes.shape == (6, 4, 50) and sound.shape == (6, 32_000)
    for row, length in enumerate(lengths):
        clip_frames = int(frames[row])
        alone = codec.encode(audio[row : row + 1, :length])
        assert torch.equal(codes[row, :, :clip_frames], alone[0])
        assert not codes[row, :, clip_frames:].any()
        assert torch.equal(sound[row, : clip_frames * 640], codec.decode(alone)[0])
        assert not sound[row, clip_frames * 640 :].any()
    order = torch.tensor([5, 0, 3])
    shorter = codec.encode(audio[order, :32_000], torch.tensor(lengths)[order])
    assert torch.equal(shorter, codes[order])


@torch.inference_mode()
def test_what_lies_behind_a_clip_does_not_matter(codec: NeuralCodec) -> None:
    audio = torch.randn(1, 9_000) * 0.1
    noisy = torch.cat([audio, torch.full((1, 3_800), torch.nan)], dim=1)
    assert torch.equal(codec.encode(noisy, torch.tensor([9_000]))[..., :15], codec.encode(audio))


@torch.inference_mode()
def test_a_cast_reaches_the_decoder_alone(codec: NeuralCodec) -> None:
    audio = torch.randn(2, 16_000) * 0.1
    codes = codec.encode(audio)
    full = codec.decode(codes)
    codec.for_inference().to("cpu", torch.bfloat16)
    for name, tensor in [*codec.named_parameters(), *codec.named_buffers()]:
        assert tensor.dtype == (torch.bfloat16 if name.startswith("decoder.") else torch.float32), name
    assert torch.equal(codec.encode(audio), codes)
    rounded = codec.decode(codes)
    assert rounded.dtype == torch.float32
    assert 0 < (rounded - full).norm() < 0.1 * full.norm()


def test_every_parameter_can_be_trained_through_the_steps(codec: NeuralCodec) -> None:
    codec.train()
    latent = codec.latent(torch.randn(2, 6_400) * 0.1)
    quantized = codec.dequantize(codec.quantize(latent))
    straight_through = latent + (quantized - latent).detach()
    (codec.synthesize(straight_through).square().mean() + (quantized - latent).square().mean()).backward()
    assert not [name for name, p in codec.named_parameters() if p.grad is None or not p.grad.abs().sum()]


def test_wrong_shapes_and_lengths_are_refused(codec: NeuralCodec) -> None:
    with pytest.raises(ValueError, match=r"audio must be \(clips, samples\)"):
        codec.encode(torch.zeros(640))
    with pytest.raises(ValueError, match=r"codes must be \(clips, 4, frames\), not \(1, 3, 10\)"):
        codec.decode(torch.zeros(1, 3, 10, dtype=torch.int64))
    for lengths in ([641], [-1], [640, 640]):
        with pytest.raises(ValueError, match="do not fit a batch of 1 clips of 640"):
            codec.encode(torch.zeros(1, 640), torch.tensor(lengths))


def test_both_codecs_satisfy_the_protocol(codec: NeuralCodec) -> None:
    protocol = as_protocol(codec)
    assert (protocol.sample_rate, protocol.frame_rate, protocol.codebooks, protocol.codebook_size) == (
        32000,
        50,
        4,
        64,
    )

import pytest
import torch

from renderer.codecs.frame_codec import FrameCodec, FrameCodecConfig
from renderer.codecs.mel import mel_filters


def random_codec() -> FrameCodec:
    torch.manual_seed(4)
    return FrameCodec(FrameCodecConfig()).for_inference()


@pytest.fixture(scope="module")
def codec() -> FrameCodec:
    return random_codec()


@pytest.fixture(scope="module")
def audio() -> torch.Tensor:
    """A chord of 2.5 s that dies away, (1, 80,000)."""
    seconds = torch.arange(80_000) / 32_000
    tones = sum(torch.sin(2 * torch.pi * hertz * seconds) for hertz in (220.0, 277.2, 329.6))
    return (0.2 * tones * (-seconds).exp())[None]


@torch.inference_mode()
def test_a_broken_last_frame_is_filled_with_zeros(codec: FrameCodec, audio: torch.Tensor) -> None:
    audio = audio.clone()
    audio[:, 64_001:] = 0
    assert torch.equal(codec.encode(audio[:, :64_001]), codec.encode(audio[:, :64_640]))


@torch.inference_mode()
def test_bfloat16_decoder_stays_close_and_codes_stay_equal(codec: FrameCodec, audio: torch.Tensor) -> None:
    rounded = random_codec().to(torch.bfloat16)
    codes = codec.encode(audio)
    assert torch.equal(rounded.encode(audio), codes)
    exact = codec.decode(codes)
    assert 10 * torch.log10(exact.square().sum() / (rounded.decode(codes) - exact).square().sum()) > 35


def test_mel_filters_are_triangles_of_height_one_over_the_whole_band() -> None:
    filters = mel_filters(128, 2048, 32000)
    assert filters.shape == (128, 1025)
    assert filters.min() == 0 and filters.max() <= 1
    assert filters[:, 2:1024].sum(dim=0).min() > 0
    # Neighbouring triangles cross so that between two centres they sum to one.
    torch.testing.assert_close(filters.sum(dim=0)[100:900], torch.ones(800))


def test_config_refuses_hops_that_do_not_fill_a_frame() -> None:
    with pytest.raises(ValueError, match="whole number of analysis hops of 300"):
        FrameCodecConfig(analysis_hop=300)

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import renderer
from renderer.frame_codec import FrameCodec, FrameCodecConfig, mel_filters

FIXTURES = Path(__file__).parent.parent / "fixtures"
MINI = Path(renderer.__path__[0]) / "models" / "mini"


@pytest.fixture(scope="module")
def golden() -> dict[str, torch.Tensor]:
    with np.load(FIXTURES / "golden" / "golden.npz") as arrays:
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


@pytest.fixture(scope="module")
def codec() -> FrameCodec:
    values = json.loads((MINI / "config.json").read_text("utf-8"))["codec"]
    assert values.pop("type") == "frame"
    codec = FrameCodec(FrameCodecConfig(**values))
    codec.load_state_dict(load_file(MINI / "codec.safetensors"))
    return codec.for_inference()


@torch.inference_mode()
def test_codes_and_audio_of_the_bundled_codec_equal_the_golden(
    codec: FrameCodec, golden: dict[str, torch.Tensor]
) -> None:
    codes = codec.encode(golden["audio"])
    assert torch.equal(codes[0], golden["codes"])
    torch.testing.assert_close(codec.decode(codes), golden["audio_out"], rtol=0, atol=1e-5)


@torch.inference_mode()
def test_a_broken_last_frame_is_filled_with_zeros(codec: FrameCodec, golden: dict[str, torch.Tensor]) -> None:
    audio = golden["audio"].clone()
    audio[:, 64_001:] = 0
    assert torch.equal(codec.encode(audio[:, :64_001]), codec.encode(audio[:, :64_640]))


@torch.inference_mode()
def test_bfloat16_decoder_stays_close_and_codes_stay_equal(golden: dict[str, torch.Tensor]) -> None:
    codec = FrameCodec(FrameCodecConfig())
    codec.load_state_dict(load_file(MINI / "codec.safetensors"))
    codec.for_inference().to(torch.bfloat16)
    assert torch.equal(codec.encode(golden["audio"])[0], golden["codes"])
    audio = codec.decode(golden["codes"][None])
    noise = (audio - golden["audio_out"]).square().sum()
    assert 10 * torch.log10(golden["audio_out"].square().sum() / noise) > 35


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

import pytest
import torch
from torch import nn

from renderer.codecs.encodec_codec import EncodecCodec, EncodecConfig
from renderer.codecs.side_by_side import FRAMES, run_side_by_side

ROWS = 16


@pytest.fixture(scope="module")
def lstm() -> nn.LSTM:
    torch.manual_seed(0)
    return nn.LSTM(96, 96, 2)


def clips(count: int) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(count)
    return [torch.randn(1 + (37 * place) % (3 * FRAMES), 96, generator=random) for place in range(count)]


@torch.inference_mode()
def test_clips_side_by_side_give_what_each_gives_alone(lstm: nn.LSTM) -> None:
    some = clips(ROWS + 3)
    for clip, output in zip(some, run_side_by_side(lstm, some, ROWS), strict=True):
        assert output.shape == clip.shape
        assert torch.allclose(output, lstm(clip[:, None])[0][:, 0], atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.inference_mode()
def test_no_bit_of_a_clip_depends_on_its_neighbours(lstm: nn.LSTM, dtype: torch.dtype) -> None:
    network = nn.LSTM(96, 96, 2)
    network.load_state_dict(lstm.state_dict())
    network = network.to(dtype)
    some = [clip.to(dtype) for clip in clips(ROWS + 3)]
    together = run_side_by_side(network, some, ROWS)
    for place, clip in enumerate(some):
        assert torch.equal(run_side_by_side(network, [clip], ROWS)[0], together[place])
    reversed_order = run_side_by_side(network, some[::-1], ROWS)[::-1]
    assert all(torch.equal(one, other) for one, other in zip(together, reversed_order, strict=True))


@torch.inference_mode()
def test_an_encodec_decodes_together_what_it_decodes_in_one_go() -> None:
    torch.manual_seed(1)
    codec = EncodecCodec(EncodecConfig(n_filters=4, codebook_size=32)).for_inference()
    codes = torch.randint(32, (3, 4, 90))
    together = codec.decode(codes, torch.tensor([90, 31, 64]))
    for row, frames in enumerate((90, 31, 64)):
        alone = codec.synthesize(codec.dequantize(codes[row : row + 1, :, :frames]))[0]
        assert torch.allclose(together[row, : len(alone)], alone, atol=1e-5)
        assert not together[row, len(alone) :].any()

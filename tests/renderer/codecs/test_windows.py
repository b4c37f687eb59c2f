"""A codec's convolutions in windows of one shape: what comes out is what a clip gives alone. The policy of CUDA."""

import copy
from collections.abc import Sequence

import numpy as np
import pytest
import torch

import renderer.codecs.encodec_codec
import renderer.codecs.touch
from renderer.codecs.encodec_codec import EncodecCodec, EncodecConfig, PadMode
from renderer.codecs.neural_codec import NeuralCodec
from renderer.codecs.windows import in_windows
from renderer.device import WindowShape
from renderer.midi.notes import Notes
from renderer.weights.checkpoint import find_model, load_codec

LENGTHS = (50, 3, 12, 13, 24, 31)


@torch.inference_mode()
def test_every_frame_comes_out_once_and_sees_all_it_may() -> None:
    clips = [torch.randn(2, length) for length in LENGTHS]
    network = torch.nn.Conv1d(2, 3, 5, padding=2)
    shapes = []

    def watched(x: torch.Tensor) -> torch.Tensor:
        shapes.append(tuple(x.shape))
        return network(x)

    found = in_windows(watched, clips, WindowShape(12, 4), reach=2)
    assert set(shapes) == {(4, 2, 12), (1, 2, 3)}
    for clip, output in zip(clips, found, strict=True):
        torch.testing.assert_close(output, network(clip[None])[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("pad_mode", ["constant", "reflect", "replicate"])
@torch.inference_mode()
def test_an_encodec_decodes_in_windows_what_it_decodes_in_one_go(
    pad_mode: PadMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    codec = EncodecCodec(EncodecConfig(n_filters=4, dimension=16, codebook_size=32, pad_mode=pad_mode)).for_inference()
    codes = torch.randint(32, (len(LENGTHS), 4, max(LENGTHS)))
    monkeypatch.setattr(renderer.codecs.encodec_codec, "codec_window", lambda device: WindowShape(12, 4))
    monkeypatch.setattr(renderer.codecs.encodec_codec, "clips_at_once", lambda device: 4)
    together = codec.decode(codes, torch.tensor(LENGTHS))
    backwards = codec.decode(codes.flip(0), torch.tensor(LENGTHS[::-1])).flip(0)
    assert torch.equal(together, backwards)
    for row, frames in enumerate(LENGTHS):
        alone = codec.decode(codes[row : row + 1, :, :frames])[0]
        assert torch.equal(together[row, : len(alone)], alone)
        whole = codec.synthesize(codec.dequantize(codes[row : row + 1, :, :frames]))[0]
        torch.testing.assert_close(alone, whole, rtol=0, atol=1e-5 * float(whole.abs().max()))


@torch.inference_mode()
def test_keys_that_are_silent_may_be_computed_like_others(monkeypatch: pytest.MonkeyPatch) -> None:
    codec = load_codec(find_model("mini"))
    codes, notes = some_codes(codec, [40])
    skipped = codec.decode(codes, notes=notes)
    monkeypatch.setattr(renderer.codecs.touch, "skips_silent_keys", lambda device: False)
    torch.testing.assert_close(codec.decode(codes, notes=notes), skipped, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["encodec", "mini"])
@torch.inference_mode()
def test_decoding_never_waits_for_the_device(kind: str) -> None:
    """Torch's "meta" has no data: whoever asks for some fails."""
    small = EncodecCodec(EncodecConfig(n_filters=4, dimension=16, codebook_size=32))
    codec = (small if kind == "encodec" else load_codec(find_model("mini"))).for_inference()
    codes, notes = some_codes(codec, [40, 25])
    there = copy.deepcopy(codec).to("meta")
    audio = there.decode(codes.to("meta"), torch.tensor([40, 25]), notes)
    assert audio.device.type == "meta" and audio.shape == (2, 40 * codec.frame_samples)


def some_codes(codec: NeuralCodec, lengths: Sequence[int]) -> tuple[torch.Tensor, list[Notes]]:
    random = np.random.default_rng(0)
    codes = random.integers(0, codec.codebook_size, (len(lengths), codec.codebooks, max(lengths)))
    onset = np.sort(random.uniform(0, 0.5, 12))
    notes = Notes.of(onset, onset + 0.3, random.integers(30, 100, 12), random.integers(20, 110, 12))
    return torch.from_numpy(codes), [notes for _ in lengths]

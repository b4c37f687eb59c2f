"""Embeddings: the codec's own latents, and one that knows no codec."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch

from renderer.audio.audio_file import read_audio
from renderer.codecs.frame_codec import FrameCodec, FrameCodecConfig
from renderer.errors import RendererError
from renderer.evaluation.embedding import CodecEmbedding
from renderer.evaluation.musicnn import Musicnn
from renderer.weights.checkpoint import BUNDLED

PIANO_TAG = 9
PROMPT = sorted((BUNDLED / "mini" / "prompts").glob("*.wav"))[0]


def small_codec() -> FrameCodec:
    torch.manual_seed(0)
    config = FrameCodecConfig(
        encoder_width=8, encoder_blocks=1, latent=6, codebook_size=16, decoder_width=8, decoder_blocks=1, fine_blocks=1
    )
    return FrameCodec(config).for_inference()


def test_the_codecs_embedding_is_its_quantized_latents() -> None:
    codec = small_codec()
    embedding = CodecEmbedding(codec)
    samples = np.random.default_rng(0).normal(0, 0.1, 32000 + 1).astype(np.float32)
    frames = embedding.frames(samples)
    codes = codec.encode(torch.from_numpy(samples)[None])
    assert frames.shape == (51, 6)
    assert frames.dtype == np.float64
    np.testing.assert_array_equal(frames, codec.dequantize(codes)[0].numpy())
    np.testing.assert_array_equal(embedding.of_codes(codes[0].T.numpy()), frames)


@pytest.mark.skipif(find_spec("musicnn") is None, reason="musicnn is not installed")
def test_the_independent_embedding_knows_a_piano_when_it_hears_one() -> None:
    embedding = Musicnn()
    piano = read_audio(PROMPT, embedding.sample_rate)
    noise = np.random.default_rng(0).normal(0, 0.1, len(piano)).astype(np.float32)
    assert embedding.tags(piano).argmax() == PIANO_TAG
    assert embedding.tags(piano)[PIANO_TAG] > 0.5
    assert embedding.tags(noise)[PIANO_TAG] < 0.2


@pytest.mark.skipif(find_spec("musicnn") is None, reason="musicnn is not installed")
@pytest.mark.parametrize(("seconds", "frames"), [(0.5, 0), (1.2, 1), (10.0, 9)])
def test_there_is_a_frame_for_each_second(seconds: float, frames: int) -> None:
    embedding = Musicnn()
    assert embedding.frames(np.zeros(round(seconds * embedding.sample_rate), np.float32)).shape == (frames, 128)


@pytest.mark.skipif(find_spec("musicnn") is not None, reason="musicnn is installed")
def test_an_embedding_that_is_not_installed_says_how_to_install_it() -> None:
    with pytest.raises(RendererError, match="pip install --no-deps musicnn"):
        Musicnn()

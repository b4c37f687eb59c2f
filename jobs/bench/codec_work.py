"""The work of a codec's decoder. Every codec is another network, so its operations are counted on a run of it."""

import copy

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from jobs.bench.work import Work
from renderer.codecs.neural_codec import NeuralCodec


def codec_work(codec: NeuralCodec, frames: int, clips: int) -> Work:
    """Codes of ``clips`` clips of as many ``frames`` each to audio.

    Operations are those of products and convolutions; Fourier transforms, activations and oscillators' phases are not
    counted, nor what a decoder does with the notes that it is given: how much that is depends on them. Traffic is the
    decoder's weights, but a recurrent network's inner ones once for every frame.
    """
    shapes = copy.deepcopy(codec).to("meta")  # Where a recurrent network is the products that it is made of.
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        # Not decode(), which also computes what fills a recurrent network's rows up.
        shapes.synthesize(shapes.dequantize(torch.zeros(1, codec.codebooks, frames, dtype=torch.int64, device="meta")))
    decoder = codec.get_submodule("decoder")
    return Work(clips * counter.get_total_flops(), _bytes(decoder) + (frames - 1) * _inner_bytes(decoder))


def _bytes(module: nn.Module) -> int:
    return sum(weights.numel() * weights.element_size() for weights in module.parameters())


def _inner_bytes(module: nn.Module) -> int:
    """Of the weights that lead from a recurrent network's state to the next."""
    return sum(
        weights.numel() * weights.element_size()
        for network in module.modules()
        if isinstance(network, nn.RNNBase)
        for name, weights in network.named_parameters()
        if name.startswith("weight_hh")
    )

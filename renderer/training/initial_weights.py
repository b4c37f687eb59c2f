"""Weights to begin with, where no trained ones are at hand."""

import torch
from torch import nn

from renderer.model import AdaptiveLayerNorm, Layer, MidiValle, TokenEmbedding

_EMBEDDING = 0.25
_LOGIT = 0.3
"""Standard deviations of what is embedded, and of the first logits where heads are tied to embeddings."""


@torch.no_grad()
def initialise(model: MidiValle) -> None:
    """Begin as a plain pre-norm transformer whose predictions are nearly even.

    With the layers' own defaults, adaptive norms would begin with scales of random sign, and the heads that are
    tied to embeddings with logits as wide as the root of d_model. Stage embeddings begin small, because a step of
    Adam changes an adaptive norm by the sum of their magnitudes: at their default the first steps overshoot.
    """
    depth = model.config.layers
    for module in model.modules():
        if isinstance(module, AdaptiveLayerNorm):
            width = module.norm.normalized_shape[0]
            nn.init.normal_(module.project_layer.weight, std=0.02 / width**0.5)
            module.project_layer.bias.copy_(torch.cat([torch.ones(width), torch.zeros(width)]))
        elif isinstance(module, Layer):
            module.self_attn.out_proj.weight.mul_((2 * depth) ** -0.5)
            nn.init.zeros_(module.self_attn.out_proj.bias)
            module.linear2.weight.mul_((2 * depth) ** -0.5)
    width = model.config.d_model
    audio = [(embedding, _EMBEDDING) for embedding in (model.ar_audio_embedding, *model.nar_audio_embeddings)]
    for embedding, deviation in [*audio, *((stage, 1 / width) for stage in model.nar_stage_embeddings)]:
        assert isinstance(embedding, TokenEmbedding)
        nn.init.normal_(embedding.word_embeddings.weight, std=deviation)
    final = model.nar_decoder.norm
    assert isinstance(final, AdaptiveLayerNorm)
    final.project_layer.bias.mul_(_LOGIT / (_EMBEDDING * width**0.5))
    last = model.nar_predict_layers[-1]
    assert isinstance(last, nn.Linear)
    nn.init.normal_(last.weight, std=_EMBEDDING)

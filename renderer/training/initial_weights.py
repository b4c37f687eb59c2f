"""Weights to begin with, where no trained ones are at hand."""

from collections.abc import Sequence

import torch
from torch import nn

from renderer.model.layers import AdaptiveLayerNorm, Layer, TokenEmbedding
from renderer.model.midi_valle import MidiValle
from renderer.model.piano_roll import PianoRoll
from renderer.model.prompt_summary import PromptSummary

_EMBEDDING = 0.25
_LOGIT = 0.3
_KEY = 0.6
"""Standard deviations: of what is embedded, of the first logits where heads are tied to embeddings, and of what a
piano roll's features weigh."""


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
        elif isinstance(module, PianoRoll):
            # As loud as what it is added to: of a roll's features few are not 0.
            nn.init.normal_(module.keys.weight, std=_KEY)
        elif isinstance(module, PromptSummary):
            nn.init.zeros_(module.out.weight)  # It begins as if it were not there.
            nn.init.zeros_(module.out.bias)
    width = model.config.d_model
    for embedding in _token_embeddings(model):
        nn.init.normal_(embedding.word_embeddings.weight, std=_EMBEDDING)
    for stage in model.nar_stage_embeddings:
        assert isinstance(stage, TokenEmbedding)
        nn.init.normal_(stage.word_embeddings.weight, std=1 / width)
    final = model.nar_decoder.norm
    assert isinstance(final, AdaptiveLayerNorm)
    final.project_layer.bias.mul_(_LOGIT / (_EMBEDDING * width**0.5))
    last = model.nar_predict_layers[-1]
    assert isinstance(last, nn.Linear)
    nn.init.normal_(last.weight, std=_EMBEDDING)


@torch.no_grad()
def embed_codebooks(model: MidiValle, tables: Sequence[torch.Tensor]) -> None:
    """Begin, after :func:`initialise`, with what the codec knows of its codes: which of them sound alike.

    ``tables`` are the codec's codebooks (codebook_size, D). Codes are embedded as their rows, so that a frame's sum is
    the latent that its codes stand for so far, and given by their rows too. The two lie in directions of their own, as
    the NAR decoder's heads are also embeddings of the next codebook. What is learned of one code then holds for those
    near it from the first step on; a decoder that knows codes by number alone must see each of them many times.
    """
    width, depth = model.config.d_model, tables[0].shape[1]
    heard, named = nn.init.orthogonal_(torch.empty(2 * depth, width)).split(depth)
    size = _EMBEDDING * width**0.5
    loudest = _row_size(tables[0])
    weights = [embedding.word_embeddings.weight for embedding in _token_embeddings(model)]
    for weight, table in zip(weights, [tables[0], *tables], strict=True):
        weight[: len(table)] = table @ heard * (size / loudest)
    for head, table in zip(model.nar_predict_layers, tables[1:], strict=True):
        assert isinstance(head, nn.Linear)
        if head is model.nar_predict_layers[-1]:
            head.weight.zero_()
        head.weight.add_(table @ named * (size / _row_size(table)))
    own = model.ar_predict_layer.weight[: len(tables[0])]
    own.copy_(tables[0] @ named * (_row_size(own) / loudest))
    for summary in (model.ar_summary, model.nar_summary):
        if summary is not None:
            _summarise_codebooks(summary, tables)


def _summarise_codebooks(summary: PromptSummary, tables: Sequence[torch.Tensor]) -> None:
    """Let a summary hear the latent that the codes of a frame add up to."""
    width = summary.near.in_channels
    heard = nn.init.orthogonal_(torch.empty(max(width, tables[0].shape[1]), width))[: tables[0].shape[1]]
    loudest = _row_size(tables[0]) / width**0.5
    for embedding, table in zip(summary.codes, tables, strict=True):
        assert isinstance(embedding, nn.Embedding)
        embedding.weight.copy_(table @ heard / loudest)


def _token_embeddings(model: MidiValle) -> list[TokenEmbedding]:
    embeddings = [model.ar_audio_embedding, *model.nar_audio_embeddings]
    assert all(isinstance(embedding, TokenEmbedding) for embedding in embeddings)
    return embeddings


def _row_size(table: torch.Tensor) -> float:
    return float(table.square().sum(1).mean().sqrt())

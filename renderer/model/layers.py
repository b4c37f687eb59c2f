"""What the two transformers are made of: embeddings, positions, norms, attention, a layer and a stack of them.

What attends to what is not decided here: every pass takes an ``Attend`` (renderer/model/attention.py), so that
training, prefill and cached decoding run the same layers. Module names give the key names of the published state dict.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from renderer.model.attention import Attend

Affine = tuple[torch.Tensor, torch.Tensor]
"""Weight and bias of a layer norm, each (d_model,)."""

Product = Callable[[torch.Tensor], torch.Tensor]
"""X (..., inputs) -> (..., outputs)."""

MakeProduct = Callable[[torch.Tensor, torch.Tensor | None], Product]
"""Makes one of a weight (outputs, inputs) and a bias (outputs,)."""


def plain_product(weight: torch.Tensor, bias: torch.Tensor | None = None) -> Product:
    """Torch's own, in the type of the weight."""
    return partial(F.linear, weight=weight, bias=bias)


class Products(NamedTuple):
    """The matrix products of a layer, made of its weights."""

    in_proj: Product
    out_proj: Product
    linear1: Product
    linear2: Product


class TokenEmbedding(nn.Module):
    """A lookup table (entries, width)."""

    def __init__(self, entries: int, width: int) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(entries, width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens (...) int64 -> (..., width)."""
        return F.embedding(tokens, self.word_embeddings.weight)


class SinePosition(nn.Module):
    """Adds ``alpha`` times the sinusoidal position; positions are floats and need not be whole."""

    def __init__(self, learned: bool) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1), requires_grad=learned)

    def forward(self, x: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """X (B, T, d), positions (B, T) float32 -> (B, T, d)."""
        width = x.shape[-1]
        even = torch.arange(0, width, 2, device=x.device, dtype=torch.float32)
        angle = positions.float()[..., None] * torch.exp(even * -(torch.tensor(10000.0).log().item() / width))
        sines = torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(-2)
        return x + self.alpha * sines.to(x.dtype)


class PlainLayerNorm(nn.LayerNorm):
    """A layer norm whose scale and shift are its own, whatever the stage."""

    def affine(self, stage: torch.Tensor | None) -> Affine:
        """Its weight and bias."""
        return self.weight, self.bias


class AdaptiveLayerNorm(nn.Module):
    """A layer norm whose scale and shift come from the NAR stage's embedding."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project_layer = nn.Linear(width, 2 * width)
        self.norm = nn.LayerNorm(width)

    def affine(self, stage: torch.Tensor | None) -> Affine:
        """Stage embedding (1, d) -> weight and bias of the plain layer norm that is equal for this stage."""
        if stage is None:
            raise TypeError("an adaptive layer norm needs the embedding of its stage")
        scale, shift = self.project_layer(stage)[0].chunk(2)
        return scale * self.norm.weight, scale * self.norm.bias + shift


class SelfAttention(nn.Module):
    """Multi-head self-attention with packed query, key and value projections."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(self, x: torch.Tensor, attend: partial[torch.Tensor], products: Products) -> torch.Tensor:
        """X (B, T, d) -> (B, T, d); ``attend`` gets queries, keys and values (B, heads, T, d / heads)."""
        query, key, value = products.in_proj(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return products.out_proj(attend(query, key, value).transpose(1, 2).flatten(2))


class Layer(nn.Module):
    """A pre-norm transformer layer with a ReLU feed-forward of four times the width."""

    def __init__(self, width: int, heads: int, adaptive: bool) -> None:
        super().__init__()
        norm = AdaptiveLayerNorm if adaptive else PlainLayerNorm
        self.self_attn = SelfAttention(width, heads)
        self.linear1 = nn.Linear(width, 4 * width)
        self.linear2 = nn.Linear(4 * width, width)
        self.norm1 = norm(width)
        self.norm2 = norm(width)

    def products(self, make: MakeProduct) -> Products:
        """The products of its weights."""
        attention = self.self_attn
        return Products(
            make(attention.in_proj_weight, attention.in_proj_bias),
            make(attention.out_proj.weight, attention.out_proj.bias),
            make(self.linear1.weight, self.linear1.bias),
            make(self.linear2.weight, self.linear2.bias),
        )

    def forward(
        self, x: torch.Tensor, affine1: Affine, affine2: Affine, attend: partial[torch.Tensor], products: Products
    ) -> torch.Tensor:
        """X (B, T, d) -> (B, T, d)."""
        x = x + self.self_attn(layer_norm(x, affine1), attend, products)
        return x + products.linear2(F.relu(products.linear1(layer_norm(x, affine2)), inplace=True))


class Decoder(nn.Module):
    """A stack of layers and a final norm."""

    def __init__(self, width: int, heads: int, layers: int, adaptive: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(width, heads, adaptive) for _ in range(layers))
        self.norm = (AdaptiveLayerNorm if adaptive else PlainLayerNorm)(width)

    def affines(self, stage: torch.Tensor | None = None) -> list[Affine]:
        """Every layer norm's weight and bias, two a layer and the final one.

        With adaptive norms they depend on the stage embedding (1, d) alone: compute them once and keep them.
        """
        norms = (module for module in self.modules() if isinstance(module, PlainLayerNorm | AdaptiveLayerNorm))
        return [norm.affine(stage) for norm in norms]

    def products(self, make: MakeProduct = plain_product) -> list[Products]:
        """Every layer's; others than the plain ones are made once, and kept."""
        return [layer.products(make) for layer in self.layers if isinstance(layer, Layer)]

    def forward(
        self, x: torch.Tensor, affines: list[Affine], attend: Attend, products: Sequence[Products] | None = None
    ) -> torch.Tensor:
        """X (B, T, d) -> (B, T, d), after the final norm; ``products`` are by default the plain ones."""
        for index, (layer, its_products) in enumerate(zip(self.layers, products or self.products(), strict=True)):
            x = layer(x, affines[2 * index], affines[2 * index + 1], partial(attend, index), its_products)
        return layer_norm(x, affines[-1])


def layer_norm(x: torch.Tensor, affine: Affine) -> torch.Tensor:
    """Layer norm over the last dimension with the given weight and bias (eps 1e-5)."""
    return F.layer_norm(x, affine[0].shape, *affine)

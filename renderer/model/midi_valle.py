"""The two transformers of MIDI-VALLE, to be read beside the paper (arXiv 2507.08530, section 3).

An autoregressive (AR) decoder writes codebook 0 frame by frame; a non-autoregressive (NAR) decoder then writes the
other codebooks, one stage each. Both read MIDI rows first, then audio frames. Module names give the key names of
the published state dict.

What attends to what is not decided here: every pass takes an ``Attend`` (renderer/model/attention.py), so that
training, prefill and cached decoding run the same layers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from renderer.model.attention import Attend
from renderer.model.piano_roll import PianoRoll, RollNotes
from renderer.model.prompt_summary import PromptSummary, told_frames
from renderer.model.tokens import VOCABULARIES

MIDI_WIDTHS = (32, 32, 256, 128, 64, 32)

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


@dataclass(frozen=True)
class ModelConfig:
    """Sizes and switches of the network; the defaults are the published ones.

    ``note_position`` says where a MIDI row stands: ``index`` is its row number (published); ``onset`` is its onset
    in frames, so that notes and audio share a clock. ``roll_frame_rate`` gives every audio frame the piano roll of
    so many frames a second (renderer/model/piano_roll.py); 0 is none. ``summary_width`` gives every frame a vector of
    what the prompt sounds like, from a network of this width (renderer/model/prompt_summary.py); 0 is none.
    ``absent_prompt`` says that the network knows what to do without a prompt's codes, in place of which it is given
    the end code.
    """

    d_model: int = 1024
    heads: int = 16
    layers: int = 12
    codebooks: int = 4
    codebook_size: int = 2048
    note_position: Literal["index", "onset"] = "index"
    roll_frame_rate: int = 0
    summary_width: int = 0
    absent_prompt: bool = False

    def __post_init__(self) -> None:
        if self.d_model % (2 * self.heads):
            raise ValueError(f"d_model {self.d_model} is not a multiple of 2 x heads ({self.heads})")
        if self.codebooks < 2:
            raise ValueError(f"codebooks is {self.codebooks}; the NAR decoder needs at least 2")
        if self.note_position not in ("index", "onset"):
            raise ValueError(f"note_position is {self.note_position!r}; it must be 'index' or 'onset'")

    @property
    def end_code(self) -> int:
        """The AR decoder's end-of-audio code, one past the codebook."""
        return self.codebook_size


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

    def __init__(self, config: ModelConfig, adaptive: bool) -> None:
        super().__init__()
        norm = AdaptiveLayerNorm if adaptive else PlainLayerNorm
        self.self_attn = SelfAttention(config.d_model, config.heads)
        self.linear1 = nn.Linear(config.d_model, 4 * config.d_model)
        self.linear2 = nn.Linear(4 * config.d_model, config.d_model)
        self.norm1 = norm(config.d_model)
        self.norm2 = norm(config.d_model)

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

    def __init__(self, config: ModelConfig, adaptive: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(config, adaptive) for _ in range(config.layers))
        self.norm = (AdaptiveLayerNorm if adaptive else PlainLayerNorm)(config.d_model)

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


class MidiValle(nn.Module):
    """The language model: MIDI rows and prompt codes in, codes of the performance out."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        width, size, books = config.d_model, config.codebook_size, config.codebooks
        self.feat_emb = nn.ModuleList(map(TokenEmbedding, VOCABULARIES, MIDI_WIDTHS))
        self.ar_text_embedding = nn.Linear(sum(MIDI_WIDTHS), width)
        self.nar_text_embedding = nn.Linear(sum(MIDI_WIDTHS), width)
        self.ar_audio_embedding = TokenEmbedding(size + 1, width)
        self.ar_text_position = SinePosition(learned=True)
        self.ar_audio_position = SinePosition(learned=True)
        self.ar_decoder = Decoder(config, adaptive=False)
        self.ar_predict_layer = nn.Linear(width, size + 1, bias=False)
        embeddings = [TokenEmbedding(size + 1 if book == 0 else size, width) for book in range(books)]
        heads = [nn.Linear(width, size, bias=False) for _ in range(books - 1)]
        for head, embedding in zip(heads[:-1], embeddings[2:], strict=True):
            # Published ties: the head that predicts codebook i is also the embedding of codebook i + 1.
            head.weight = embedding.word_embeddings.weight
        self.nar_audio_embeddings = nn.ModuleList(embeddings)
        self.nar_text_position = SinePosition(learned=False)
        self.nar_audio_position = SinePosition(learned=False)
        self.nar_decoder = Decoder(config, adaptive=True)
        self.nar_predict_layers = nn.ModuleList(heads)
        self.nar_stage_embeddings = nn.ModuleList(TokenEmbedding(1, width) for _ in range(books - 1))
        rate = config.roll_frame_rate
        self.ar_roll, self.nar_roll = (PianoRoll(width, rate) if rate else None for _ in range(2))
        self.ar_summary, self.nar_summary = (
            PromptSummary(books, size, config.summary_width, width, rate > 0) if config.summary_width else None
            for _ in range(2)
        )

    def ar_midi(self, rows: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """MIDI rows (B, S, 6) int64 at positions (B, S) float32 -> AR inputs (B, S, d)."""
        return self.ar_text_position(self.ar_text_embedding(self._features(rows)), positions)

    def nar_midi(self, rows: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """MIDI rows (B, S, 6) int64 at positions (B, S) float32 -> NAR inputs (B, S, d)."""
        return self.nar_text_position(self.nar_text_embedding(self._features(rows)), positions)

    def ar_audio(self, codes: torch.Tensor, positions: torch.Tensor, told: torch.Tensor | None = None) -> torch.Tensor:
        """Codes of codebook 0 (B, T) at positions (B, T) float32 -> AR inputs (B, T, d).

        ``told`` (B, T, d) is what the frames are told (``ar_told``), where the model tells them anything.
        """
        embedded = self.ar_audio_embedding(codes)
        return self.ar_audio_position(embedded if told is None else embedded + told, positions)

    @property
    def tells_frames(self) -> bool:
        """Whether frames are told anything beside their codes."""
        return self.ar_roll is not None or self.ar_summary is not None

    def ar_told(self, notes: RollNotes, prompt: torch.Tensor, frames: int) -> torch.Tensor | None:
        """What the AR decoder is told of each frame beside its codes, (1, frames, d); None of a published network.

        Notes (n,) and prompt codes (P, K) are a window's. The prompt's summary is told from its last frame on, as no
        frame may know of later ones.
        """
        return told_frames(self.ar_roll, self.ar_summary, notes, prompt, frames, len(prompt) - 1)

    def nar_told(self, notes: RollNotes, prompt: torch.Tensor, frames: int) -> torch.Tensor | None:
        """The same for the NAR decoder; the summary is told of all frames."""
        return told_frames(self.nar_roll, self.nar_summary, notes, prompt, frames, 0)

    def ar_logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Final AR hidden states (..., d) -> float32 logits of the next code (..., codebook_size + 1)."""
        return self.ar_predict_layer(hidden).float()

    def nar_affines(self) -> list[list[Affine]]:
        """The NAR decoder's folded norms, one list a stage: for inference, where they never change."""
        only = torch.zeros(1, dtype=torch.int64, device=self.ar_predict_layer.weight.device)
        return [self.nar_decoder.affines(stage(only)) for stage in self.nar_stage_embeddings]

    def nar_audio(
        self, codes: torch.Tensor, prompt_frames: int, stage: int, told: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The audio input of a NAR stage, before positions: codes (B, T, K) int64 -> (B, T, d).

        A prompt frame is the sum of the embeddings of all its codes, any other frame of codebooks 0 to ``stage``.
        ``told`` (B, T, d) is what the frames are told (``nar_told``), where the model tells them anything.
        """
        known = torch.zeros(())
        for book, embedding in enumerate(self.nar_audio_embeddings):
            frames = codes if book <= stage else codes[:, :prompt_frames]
            embedded = embedding(frames[..., book])
            if book == 0:
                known = embedded
            else:
                known[:, : embedded.shape[1]] += embedded
        return known if told is None else known + told

    def nar_logits(self, hidden: torch.Tensor, stage: int) -> torch.Tensor:
        """Final NAR hidden states (..., d) -> float32 logits of codebook ``stage + 1`` (..., codebook_size)."""
        return self.nar_predict_layers[stage](hidden).float()

    def _features(self, rows: torch.Tensor) -> torch.Tensor:
        columns = rows.unbind(-1)
        return torch.cat([embed(column) for embed, column in zip(self.feat_emb, columns, strict=True)], dim=-1)


def layer_norm(x: torch.Tensor, affine: Affine) -> torch.Tensor:
    """Layer norm over the last dimension with the given weight and bias (eps 1e-5)."""
    return F.layer_norm(x, affine[0].shape, *affine)

"""The two transformers of MIDI-VALLE, to be read beside the paper (arXiv 2507.08530, section 3).

An autoregressive (AR) decoder writes codebook 0 frame by frame; a non-autoregressive (NAR) decoder then writes the
other codebooks, one stage each. Both read MIDI rows first, then audio frames. Module names give the key names of
the published state dict. What the decoders are made of: renderer/model/layers.py.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from renderer.model.layers import Affine, Decoder, SinePosition, TokenEmbedding
from renderer.model.piano_roll import PianoRoll, RollNotes
from renderer.model.prompt_summary import PromptSummary, frame_conditioning
from renderer.model.tokens import VOCABULARIES

MIDI_WIDTHS = (32, 32, 256, 128, 64, 32)


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
        self.ar_decoder = Decoder(width, config.heads, config.layers, adaptive=False)
        self.ar_predict_layer = nn.Linear(width, size + 1, bias=False)
        embeddings = [TokenEmbedding(size + 1 if book == 0 else size, width) for book in range(books)]
        heads = [nn.Linear(width, size, bias=False) for _ in range(books - 1)]
        for head, embedding in zip(heads[:-1], embeddings[2:], strict=True):
            # Published ties: the head that predicts codebook i is also the embedding of codebook i + 1.
            head.weight = embedding.word_embeddings.weight
        self.nar_audio_embeddings = nn.ModuleList(embeddings)
        self.nar_text_position = SinePosition(learned=False)
        self.nar_audio_position = SinePosition(learned=False)
        self.nar_decoder = Decoder(width, config.heads, config.layers, adaptive=True)
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

    def ar_audio(
        self, codes: torch.Tensor, positions: torch.Tensor, conditioning: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Codes of codebook 0 (B, T) at positions (B, T) float32 -> AR inputs (B, T, d).

        ``conditioning`` (B, T, d) is added to the codes' embeddings (``ar_conditioning``), where the model has any.
        """
        embedded = self.ar_audio_embedding(codes)
        return self.ar_audio_position(embedded if conditioning is None else embedded + conditioning, positions)

    @property
    def has_conditioning(self) -> bool:
        """Whether frames are conditioned on anything beside their codes."""
        return self.ar_roll is not None or self.ar_summary is not None

    def ar_conditioning(self, notes: RollNotes, prompt: torch.Tensor, frames: int) -> torch.Tensor | None:
        """What each frame of the AR decoder is given beside its codes, (1, frames, d); None in a published network.

        Notes (n,) and prompt codes (P, K) are a window's. The prompt's summary is given from its last frame on, as no
        frame may know of later ones.
        """
        return frame_conditioning(self.ar_roll, self.ar_summary, notes, prompt, frames, len(prompt) - 1)

    def nar_conditioning(self, notes: RollNotes, prompt: torch.Tensor, frames: int) -> torch.Tensor | None:
        """The same for the NAR decoder; all frames are given the summary."""
        return frame_conditioning(self.nar_roll, self.nar_summary, notes, prompt, frames, 0)

    def ar_logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Final AR hidden states (..., d) -> float32 logits of the next code (..., codebook_size + 1)."""
        return self.ar_predict_layer(hidden).float()

    def nar_affines(self) -> list[list[Affine]]:
        """The NAR decoder's folded norms, one list a stage: for inference, where they never change."""
        only = torch.zeros(1, dtype=torch.int64, device=self.ar_predict_layer.weight.device)
        return [self.nar_decoder.affines(stage(only)) for stage in self.nar_stage_embeddings]

    def nar_audio(
        self, codes: torch.Tensor, prompt_frames: int, stage: int, conditioning: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The audio input of a NAR stage, before positions: codes (B, T, K) int64 -> (B, T, d).

        A prompt frame is the sum of the embeddings of all its codes, any other frame of codebooks 0 to ``stage``.
        ``conditioning`` (B, T, d) is added to the codes' embeddings (``nar_conditioning``), where the model has any.
        """
        known = torch.zeros(())
        for book, embedding in enumerate(self.nar_audio_embeddings):
            frames = codes if book <= stage else codes[:, :prompt_frames]
            embedded = embedding(frames[..., book])
            if book == 0:
                known = embedded
            else:
                known[:, : embedded.shape[1]] += embedded
        return known if conditioning is None else known + conditioning

    def nar_logits(self, hidden: torch.Tensor, stage: int) -> torch.Tensor:
        """Final NAR hidden states (..., d) -> float32 logits of codebook ``stage + 1`` (..., codebook_size)."""
        return self.nar_predict_layers[stage](hidden).float()

    def _features(self, rows: torch.Tensor) -> torch.Tensor:
        columns = rows.unbind(-1)
        return torch.cat([embed(column) for embed, column in zip(self.feat_emb, columns, strict=True)], dim=-1)

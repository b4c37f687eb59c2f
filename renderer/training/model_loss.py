"""What the two decoders are trained for: the next code of codebook 0, and the other codebooks from those before.

Source: MIDI-VALLE (arXiv 2507.08530) and its published training code.
"""

from dataclasses import dataclass

import torch
from torch.nn import functional

from renderer.model.midi_valle import MidiValle
from renderer.training.packing import Pack, PackedFullAttention, PackedPrefixAttention

IGNORED = -100


@dataclass(frozen=True)
class CodeLoss:
    """Negative log-likelihood in nats (N,), and whether the likeliest code is the right one (N,), of N codes."""

    nats: torch.Tensor
    correct: torch.Tensor


def ar_loss(model: MidiValle, pack: Pack, first: int, train_end: bool = False) -> CodeLoss:
    """Codebook 0 of each window's frames from ``first`` (at least 1) on, each from all before.

    With ``train_end``, the end code is to follow the last frame.
    """
    midi = model.ar_midi(pack.rows, pack.positions)
    x = pack.joined(midi, model.ar_audio(pack.codes[..., 0], pack.frames, pack.roll(model.ar_roll)))
    with torch.autocast(x.device.type, enabled=False):
        affines = model.ar_decoder.affines()
    hidden = pack.audio(model.ar_decoder(x, affines, PackedPrefixAttention(pack.spans)))
    after = model.config.end_code if train_end else IGNORED
    targets = torch.cat([functional.pad(window.codes[1:, 0], (0, 1), value=after) for window in pack.windows])
    places = torch.cat([torch.arange(frames) >= first - 1 for frames in pack.per_window])
    wanted = places & (targets != IGNORED)
    return _code_loss(model.ar_logits(hidden[wanted.to(hidden.device)]), targets[wanted].to(hidden.device))


def nar_loss(model: MidiValle, pack: Pack, stage: int, prefixes: list[int]) -> CodeLoss:
    """Codebook ``stage + 1`` behind each window's prefix, from the codebooks before, and all codes of the prefix."""
    embedded = torch.cat(
        [
            model.nar_audio(codes, prefix, stage)
            for codes, prefix in zip(pack.codes.split(pack.per_window, dim=1), prefixes, strict=True)
        ],
        dim=1,
    )
    roll = pack.roll(model.nar_roll)
    audio = model.nar_audio_position(embedded if roll is None else embedded + roll, pack.frames)
    x = pack.joined(model.nar_midi(pack.rows, pack.positions), audio)
    with torch.autocast(x.device.type, enabled=False):
        affines = model.nar_decoder.affines(model.nar_stage_embeddings[stage](pack.rows.new_zeros(1)))
    hidden = pack.audio(model.nar_decoder(x, affines, PackedFullAttention(pack.spans)))
    behind = torch.cat(
        [torch.arange(frames) >= prefix for frames, prefix in zip(pack.per_window, prefixes, strict=True)]
    ).to(hidden.device)
    return _code_loss(model.nar_logits(hidden[behind], stage), pack.codes[0, behind, stage + 1])


def _code_loss(logits: torch.Tensor, targets: torch.Tensor) -> CodeLoss:
    nats = functional.cross_entropy(logits, targets, reduction="none")
    return CodeLoss(nats, logits.argmax(-1) == targets)

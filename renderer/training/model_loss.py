"""What the two decoders are trained for: the next code of codebook 0, and the other codebooks from those before.

Source: MIDI-VALLE (arXiv 2507.08530) and its published training code.
"""

import torch
from torch.nn import functional

from renderer.model.midi_valle import MidiValle
from renderer.training.packing import PackedWindows
from renderer.training.window_attention import Within, attend_one_by_one

_EVEN = 8
"""Matrix products on GPUs want widths that are multiples of it; the AR decoder's codes are one more."""


def ar_loss(model: MidiValle, pack: PackedWindows, within: Within = attend_one_by_one) -> torch.Tensor:
    """Nats (Y,) of the codes of codebook 0 that the pack's lesson asks for, each from all before."""
    return _nats(ar_logits(model, pack, within), pack.ar_targets)


def ar_logits(model: MidiValle, pack: PackedWindows, within: Within = attend_one_by_one) -> torch.Tensor:
    """Logits (Y, codebook_size + 1 or more) of these codes."""
    midi = model.ar_midi(pack.rows, pack.positions)
    x = pack.joined(midi, model.ar_audio(pack.codes[..., 0], pack.frames, pack.ar_conditioning(model)))
    with torch.autocast(x.device.type, enabled=False):
        affines = model.ar_decoder.affines()
    hidden = model.ar_decoder(x, affines, pack.prefix_attention(within))
    predicting = hidden[0].index_select(0, pack.audio_places[pack.ar_places])
    weight = model.ar_predict_layer.weight
    filling = -len(weight) % _EVEN if x.device.type == "cuda" else 0
    logits = functional.linear(predicting, functional.pad(weight, (0, 0, 0, filling)))
    return logits[:, : len(weight)]


def nar_loss(model: MidiValle, pack: PackedWindows, stage: int, within: Within = attend_one_by_one) -> torch.Tensor:
    """Nats (X,) of codebook ``stage + 1`` behind each window's prefix, from the codebooks before, and the prefix."""
    return _nats(nar_logits(model, pack, stage, within), pack.codes[0, pack.nar_places, stage + 1])


def nar_logits(model: MidiValle, pack: PackedWindows, stage: int, within: Within = attend_one_by_one) -> torch.Tensor:
    """Logits (X, codebook_size) of these codes."""
    audio = _nar_audio(model, pack, stage)
    conditioning = pack.nar_conditioning(model)
    audio = model.nar_audio_position(audio if conditioning is None else audio + conditioning, pack.frames)
    x = pack.joined(model.nar_midi(pack.rows, pack.positions), audio)
    with torch.autocast(x.device.type, enabled=False):
        affines = model.nar_decoder.affines(model.nar_stage_embeddings[stage](pack.rows.new_zeros(1)))
    hidden = model.nar_decoder(x, affines, pack.full_attention(within))
    return model.nar_logits(hidden[0].index_select(0, pack.audio_places[pack.nar_places]), stage)


def _nar_audio(model: MidiValle, pack: PackedWindows, stage: int) -> torch.Tensor:
    """``MidiValle.nar_audio`` of all windows at once, (1, sum T, d)."""
    first, *others = model.nar_audio_embeddings
    known = first(pack.codes[0, :, 0])
    for book, embedding in enumerate(others, 1):
        if book <= stage:
            heard = embedding(pack.codes[0, :, book])
            if len(pack.absent):
                heard = heard.index_fill(0, pack.absent, 0)
            known = known + heard
        else:
            known = known.index_add(0, pack.given, embedding(pack.codes[0, pack.given, book]))
    return known[None]


def _nats(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(logits.float(), targets, reduction="none")

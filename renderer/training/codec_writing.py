"""A trained codec as a directory that training and rendering load, and as audiocraft's file."""

import json
import shutil
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file

from renderer.codecs.encodec_codec import EncodecConfig
from renderer.errors import TrainingError
from renderer.weights.checkpoint import CODEC_FORMAT, CodecConfig, codec_document


def write_codec(
    folder: Path,
    name: str,
    config: CodecConfig,
    weights: Mapping[str, torch.Tensor],
    card: Mapping[str, Any],
    uses: Sequence[torch.Tensor] = (),
) -> None:
    """Write a codec directory in place of any there is; an EnCodec's also as ``audiocraft.bin``.

    The frame codecs' weights are kept in half precision, an EnCodec's as they are. ``uses`` says of every codebook
    how often each of its rows (codes,) is chosen in a step, in the mean. TrainingError if it cannot be written.
    """
    is_encodec = isinstance(config, EncodecConfig)
    document = {
        "format": CODEC_FORMAT,
        "name": name,
        "sample_rate": config.sample_rate,
        "frame_rate": config.frame_rate,
        "codec": codec_document(config),
    }
    kept = {key: value.detach().cpu().clone() for key, value in weights.items()}
    if is_encodec:
        _tell_codebooks(kept, uses)
    temporary = folder.with_name(f".{folder.name}-{uuid.uuid4().hex}")
    try:
        temporary.mkdir(parents=True)
        for file, content in (("config.json", document), ("card.json", {"name": name, **card})):
            (temporary / file).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")
        tensors = kept if is_encodec else {key: value.half() for key, value in kept.items()}
        save_file(tensors, temporary / "codec.safetensors")
        # safetensors lets nobody but the owner read; a shared folder should stay shared.
        (temporary / "codec.safetensors").chmod((temporary / "config.json").stat().st_mode)
        if isinstance(config, EncodecConfig):
            torch.save(audiocraft_export(config, kept), temporary / "audiocraft.bin")
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
    except OSError as error:
        raise TrainingError(f"the codec cannot be written to {folder}: {error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _tell_codebooks(weights: dict[str, torch.Tensor], uses: Sequence[torch.Tensor]) -> None:
    """Set the moving averages that audiocraft keeps beside each codebook to those of the codebook as it is.

    Whoever trains on computes the codebook from them anew, and begins with k-means where they say that there is none.
    """
    books = [name.removesuffix("embed") for name in weights if name.endswith("_codebook.embed")]
    for place, book in enumerate(books):
        embed = weights[f"{book}embed"]
        count = uses[place].detach().cpu().float() if uses else weights[f"{book}cluster_size"]
        count = count.clone() if (count > 0).all() else torch.ones(len(embed))
        weights[f"{book}cluster_size"] = count
        weights[f"{book}embed_avg"] = embed * count[:, None]
        weights[f"{book}inited"] = torch.ones(1)


def audiocraft_export(config: EncodecConfig, weights: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """What audiocraft's own export of a compression model holds."""
    settings = {
        "compression_model": "encodec",
        "sample_rate": config.sample_rate,
        "channels": 1,
        "encodec": {
            "autoencoder": "seanet",
            "quantizer": "rvq",
            "sample_rate": config.sample_rate,
            "channels": 1,
            "causal": False,
            "renormalize": False,
        },
        "seanet": {
            "dimension": config.dimension,
            "channels": 1,
            "causal": False,
            "n_filters": config.n_filters,
            "n_residual_layers": 1,
            "ratios": list(config.ratios),
            "activation": "ELU",
            "activation_params": {"alpha": 1.0},
            "norm": "weight_norm",
            "norm_params": {},
            "kernel_size": 7,
            "residual_kernel_size": 3,
            "last_kernel_size": 7,
            "dilation_base": 2,
            "pad_mode": config.pad_mode,
            "true_skip": True,
            "compress": 2,
            "lstm": 2,
            "disable_norm_outer_blocks": 0,
            "decoder": {"trim_right_ratio": 1.0, "final_activation": None, "final_activation_params": None},
            "encoder": {},
        },
        "rvq": {"n_q": config.codebooks, "q_dropout": False, "bins": config.codebook_size},
    }
    return {"best_state": dict(weights), "xp.cfg": yaml.safe_dump(settings), "version": "1.3.0", "exported": True}

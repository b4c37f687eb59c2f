"""Published files to a model directory: every tensor checked, and all written or nothing."""

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from renderer.codecs.encodec_codec import EncodecConfig, read_audiocraft_export
from renderer.errors import CheckpointError
from renderer.file_hash import file_hash
from renderer.model.midi_valle import MidiValle, ModelConfig
from renderer.weights.weight_files import read_weights

StateDict = dict[str, torch.Tensor]

LICENCE_NOTE = """\
The MIDI-VALLE weights (Zenodo record 15976272) are the work of Jingjing Tang, Xin Wang, Zhe Zhang,
Junichi Yamagishi, Geraint Wiggins and György Fazekas. Their project states two licences that contradict
each other: its badge says CC BY-NC-SA 4.0 (https://creativecommons.org/licenses/by-nc-sa/4.0/), its README
says CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/). Until the authors settle it, treat the weights
as non-commercial: give credit, make no commercial use of them, and share changes alike.
"""

_PUBLISHED_HEAD_WIDTH = 64
_LANGUAGE_MODEL = "the state dict of a MIDI-VALLE language model"
_CODEC = "an audiocraft export of an EnCodec model"
_NAMES_SHOWN = 3


def import_published(
    model_file: Path,
    codec_file: Path,
    out_dir: Path,
    heads: int | None = None,
    licence_file: Path | None = None,
) -> None:
    """Writes a model directory from a published language model and codec; all of it or nothing.

    ``model_file`` and ``heads`` are as for ``read_language_model``, ``codec_file`` is an audiocraft export of
    an EnCodec model; the publisher's ``licence_file`` is stored beside our note. Tied tensors are stored
    under both of their names, as in the published file. CheckpointError if a file is not what it should be,
    the two do not fit, or ``out_dir`` exists or cannot be written.
    """
    if out_dir.exists():
        raise CheckpointError(f"{out_dir} exists already; give another folder, or delete it first.")
    model_config, model_state = read_language_model(model_file, heads)
    codec_config, codec_state = _read_codec(codec_file)
    _check_fit(model_config, codec_config)
    config = {
        "format": "midi-valle/1",
        "name": "midi-valle",
        "sample_rate": codec_config.sample_rate,
        "frame_rate": codec_config.frame_rate,
        "prompt_seconds": 3.0,
        "max_segment_seconds": 15.0,
        "pedal": "ignore",
        "time_grid": "published",
        "model": asdict(model_config),
        "codec": {"type": "encodec", **asdict(codec_config)},
    }
    card = {
        "name": "midi-valle",
        "purpose": "the published MIDI-VALLE weights, imported",
        "licence": "CC BY-NC-SA 4.0 by its badge, CC BY 4.0 by its README: non-commercial; see LICENSE",
        "source": "https://zenodo.org/records/15976272",
        "files": [_origin(model_file), _origin(codec_file)],
        "parameters": {"language_model": _count_parameters(model_config)},
        "measured": "nothing yet by this project",
    }
    temporary = out_dir.with_name(f".{out_dir.name}.{os.getpid()}")
    try:
        temporary.mkdir(parents=True)
        for name, content in (("config.json", config), ("card.json", card)):
            (temporary / name).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        (temporary / "LICENSE").write_text(LICENCE_NOTE, encoding="utf-8")
        if licence_file is not None:
            shutil.copyfile(licence_file, temporary / "LICENSE.zenodo")
        for part, state in (("model", model_state), ("codec", codec_state)):
            weights = temporary / f"{part}.safetensors"
            save_file(state, weights)
            # safetensors lets nobody but the owner read; a shared folder should stay shared.
            weights.chmod((temporary / "config.json").stat().st_mode)
        temporary.rename(out_dir)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"Cannot write {out_dir}: {error}.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def read_language_model(path: Path, heads: int | None = None) -> tuple[ModelConfig, StateDict]:
    """The sizes and weights in a published language model file, checked to be whole and consistent.

    The file is a bare state dict, or a training checkpoint with one under ``model``; PyTorch or safetensors.
    The sizes come from the shapes, except the number of ``heads``, which no shape shows: one per 64
    dimensions if not given, as published. The state dict has the published names, and no two tensors share
    memory. CheckpointError says what was expected and what was found.
    """
    content = read_weights(path, _LANGUAGE_MODEL)
    inner = content.get("model")
    state = _tensors(path, inner if isinstance(inner, Mapping) else content)
    config = _infer_config(path, state, heads)
    with torch.device("meta"):
        model = MidiValle(config)
    _check_shapes(path, state, model)
    _check_values(path, state)
    _check_ties(path, state, model)
    return config, _unshared(state)


def _read_codec(path: Path) -> tuple[EncodecConfig, StateDict]:
    content = read_weights(path, _CODEC)
    try:
        config, state = read_audiocraft_export(content)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    _check_values(path, state)
    return config, _unshared(state)


def _tensors(path: Path, content: Mapping[str, object]) -> StateDict:
    state = {name: value for name, value in content.items() if isinstance(value, torch.Tensor)}
    if len(state) < len(content):
        others = [str(name) for name in content if name not in state]
        raise CheckpointError(
            f"{path}: expected {_LANGUAGE_MODEL}, found {len(state)} tensors and also {_some(others)}."
        )
    return state


def _infer_config(path: Path, state: StateDict, heads: int | None) -> ModelConfig:
    def shape(name: str, dimension: int) -> int:
        if name not in state or state[name].dim() <= dimension:
            raise CheckpointError(f"{path}: expected {_LANGUAGE_MODEL}, found {len(state)} tensors without {name}.")
        return state[name].shape[dimension]

    def count(pattern: str) -> int:
        return len({found[1] for name in state if (found := re.match(pattern, name))})

    width = shape("ar_text_embedding.weight", 0)
    try:
        return ModelConfig(
            d_model=width,
            heads=heads or max(1, width // _PUBLISHED_HEAD_WIDTH),
            layers=count(r"ar_decoder\.layers\.(\d+)\."),
            codebooks=count(r"nar_audio_embeddings\.(\d+)\."),
            codebook_size=shape("ar_predict_layer.weight", 0) - 1,
        )
    except ValueError as error:
        raise CheckpointError(f"{path}: expected {_LANGUAGE_MODEL}, but {error}.") from error


def _check_shapes(path: Path, state: StateDict, model: MidiValle) -> None:
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    faults = {
        "missing": sorted(expected.keys() - state.keys()),
        "unknown": sorted(state.keys() - expected.keys()),
        "of another shape": [
            f"{name} {tuple(state[name].shape)} instead of {shape}"
            for name, shape in expected.items()
            if name in state and tuple(state[name].shape) != shape
        ],
    }
    if any(faults.values()):
        config = model.config
        found = "; ".join(f"{len(names)} {fault}: {_some(names)}" for fault, names in faults.items() if names)
        raise CheckpointError(
            f"{path}: expected {len(expected)} tensors for {config.layers} layers of width {config.d_model}, "
            f"{config.codebooks} codebooks of {config.codebook_size}; found {found}."
        )


def _check_values(path: Path, state: StateDict) -> None:
    for name, tensor in state.items():
        if not tensor.is_floating_point():
            raise CheckpointError(f"{path}: {name} should hold floating-point numbers, found {tensor.dtype}.")
        if not tensor.isfinite().all():
            raise CheckpointError(f"{path}: {name} holds values that are infinite or not numbers.")


def _check_ties(path: Path, state: StateDict, model: MidiValle) -> None:
    """What is one parameter in the network must be equal in the file, or one of the two would be lost."""
    first_names: dict[int, str] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        first = first_names.setdefault(id(parameter), name)
        if not torch.equal(state[first], state[name]):
            raise CheckpointError(
                f"{path}: {first} and {name} should be equal, for the network ties them; they differ."
            )


def _check_fit(model: ModelConfig, codec: EncodecConfig) -> None:
    if (model.codebooks, model.codebook_size) != (codec.codebooks, codec.codebook_size):
        raise CheckpointError(
            f"The files do not fit: the language model has {model.codebooks} codebooks of "
            f"{model.codebook_size}, the codec "
            f"{codec.codebooks} of {codec.codebook_size}."
        )


def _unshared(state: StateDict) -> StateDict:
    """A safetensors file holds no tensor twice, so tied ones become copies."""
    seen: set[int] = set()
    result = {}
    for name, tensor in state.items():
        memory = tensor.untyped_storage().data_ptr()
        result[name] = tensor.clone() if memory in seen else tensor.contiguous()
        seen.add(memory)
    return result


def _origin(path: Path) -> dict[str, object]:
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": file_hash(path)}


def _count_parameters(config: ModelConfig) -> int:
    """Tied parameters count once."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in MidiValle(config).parameters())


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more

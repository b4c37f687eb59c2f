"""A trained language model as a model directory that the renderer loads."""

import json
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from renderer.audio.audio_file import FloatSamples, write_audio
from renderer.errors import TrainingError
from renderer.midi.midi_file import write_midi
from renderer.midi.notes import Notes, PedalPolicy
from renderer.model.midi_valle import ModelConfig
from renderer.model.tokens import TimeGrid
from renderer.prompt import PROMPT_SECONDS
from renderer.weights.checkpoint import FORMAT, CodecDescription, codec_document
from renderer.weights.probe_file import PROBE_FILE


@dataclass(frozen=True)
class ModelMetadata:
    """What a model directory says of a language model, beside its weights."""

    name: str
    config: ModelConfig
    max_segment_seconds: float
    pedal: PedalPolicy
    time_grid: TimeGrid
    card: Mapping[str, Any]
    match_prompt: bool = False


@dataclass(frozen=True, eq=False)
class RecordedPrompt:
    """A prompt before it is encoded: 3 s of mono float32 samples at the model's rate, and the notes in them."""

    samples: FloatSamples
    notes: Notes


def write_model(
    folder: Path,
    weights: Mapping[str, torch.Tensor],
    facts: ModelMetadata,
    codec: CodecDescription,
    prompts: Mapping[str, RecordedPrompt] | None = None,
    probe: Path | None = None,
) -> None:
    """Write a model directory, in half precision, in place of any there is; the codec's weights are copied.

    Its prompts are those given by their names, or those that lie beside the codec. A ``probe`` of it is copied,
    by default the one that lies beside it, if there is one. TrainingError if it cannot be written.
    """
    config = {
        "format": FORMAT,
        "name": facts.name,
        "sample_rate": codec.sample_rate,
        "frame_rate": codec.frame_rate,
        "prompt_seconds": PROMPT_SECONDS,
        "max_segment_seconds": facts.max_segment_seconds,
        "pedal": facts.pedal,
        "time_grid": facts.time_grid,
        "match_prompt": facts.match_prompt,
        "model": asdict(facts.config),
        "codec": codec_document(codec.codec),
    }
    temporary = folder.with_name(f".{folder.name}-{uuid.uuid4().hex}")
    try:
        temporary.mkdir(parents=True)
        for name, content in (("config.json", config), ("card.json", {"name": facts.name, **facts.card})):
            (temporary / name).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")
        # A copy each: a safetensors file holds no tensor twice, so tied ones are written out.
        halves = {name: value.detach().cpu().half().clone() for name, value in weights.items()}
        save_file(halves, temporary / "model.safetensors")
        # safetensors lets nobody but the owner read; a shared folder should stay shared.
        (temporary / "model.safetensors").chmod((temporary / "config.json").stat().st_mode)
        shutil.copyfile(codec.folder / "codec.safetensors", temporary / "codec.safetensors")
        probe = probe or codec.folder / PROBE_FILE
        if probe.is_file():
            shutil.copyfile(probe, temporary / PROBE_FILE)
        if prompts is not None:
            (temporary / "prompts").mkdir()
            for name, prompt in prompts.items():
                write_audio(temporary / "prompts" / f"{name}.wav", prompt.samples, codec.sample_rate, "wav-float")
                write_midi(prompt.notes, temporary / "prompts" / f"{name}.mid")
        elif (codec.folder / "prompts").is_dir():
            shutil.copytree(codec.folder / "prompts", temporary / "prompts")
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
    except OSError as error:
        raise TrainingError(f"the model cannot be written to {folder}: {error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)

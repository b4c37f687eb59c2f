"""Model directories: ``config.json``, ``model.safetensors``, ``codec.safetensors``, card, licence, prompts, probe.

``mini`` is bundled, ``midi-valle`` stands for the published weights (renderer/weights/published.py brings them into
this format), and anything else is the path of a directory.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from renderer.codecs.encodec_codec import EncodecCodec, EncodecConfig
from renderer.codecs.frame_codec import FrameCodec, FrameCodecConfig
from renderer.codecs.neural_codec import NeuralCodec
from renderer.codecs.sinusoidal_codec import SinusoidalCodec, SinusoidalCodecConfig
from renderer.errors import CheckpointError
from renderer.midi.notes import PedalPolicy
from renderer.model.midi_valle import MidiValle, ModelConfig
from renderer.model.tokens import MAX_SECONDS, TimeGrid
from renderer.prompt import PROMPT_SECONDS
from renderer.weights.published import published_directory

FORMAT, CODEC_FORMAT = "midi-valle/1", "midi-valle-codec/1"
BUNDLED = Path(__file__).parent / "bundled"

CodecConfig = EncodecConfig | FrameCodecConfig | SinusoidalCodecConfig
CODEC_TYPES: dict[str, type[CodecConfig]] = {
    "encodec": EncodecConfig,
    "frame": FrameCodecConfig,
    "sinusoidal": SinusoidalCodecConfig,
}


def codec_document(config: CodecConfig) -> dict[str, Any]:
    """What a ``config.json`` says of a codec."""
    kind = next(kind for kind, config_type in CODEC_TYPES.items() if isinstance(config, config_type))
    return {"type": kind, **asdict(config)}


@dataclass(frozen=True)
class CodecDescription:
    """All that is known of a codec without loading its weights."""

    name: str
    folder: Path
    sample_rate: int
    frame_rate: int
    codec: CodecConfig


@dataclass(frozen=True, kw_only=True)
class ModelDescription(CodecDescription):
    """All that is known of a model without loading its weights.

    ``match_prompt`` is whether renderings are brought to the spectrum of their prompts (renderer/sound_checks.py).
    """

    max_segment_seconds: float
    pedal: PedalPolicy
    time_grid: TimeGrid
    licence: str
    model: ModelConfig
    match_prompt: bool = False

    def __post_init__(self) -> None:
        if self.pedal not in get_args(PedalPolicy):
            raise ValueError(f"pedal is {self.pedal!r}; it must be one of {', '.join(get_args(PedalPolicy))}")
        if self.time_grid not in get_args(TimeGrid):
            raise ValueError(f"time_grid is {self.time_grid!r}; it must be one of {', '.join(get_args(TimeGrid))}")
        if not 0 < self.max_segment_seconds <= MAX_SECONDS - PROMPT_SECONDS:
            raise ValueError(
                f"max_segment_seconds is {self.max_segment_seconds}; with {PROMPT_SECONDS:g} s of prompt "
                f"at most {MAX_SECONDS:g} s can be written as tokens"
            )

    @property
    def prompt_ids(self) -> tuple[str, ...]:
        """The prompts that come with the model."""
        return tuple(sorted(path.stem for path in (self.folder / "prompts").glob("*.mid")))

    def fingerprint(self) -> str:
        """SHA-256 over all that decides what the model renders: configuration, weights and prompts."""
        digest = hashlib.sha256()
        names = ["config.json", "model.safetensors", "codec.safetensors"]
        prompts = sorted(p for p in (self.folder / "prompts").glob("*") if p.suffix in (".wav", ".mid"))
        for path in [*(self.folder / name for name in names), *prompts]:
            digest.update(f"{path.name}\0".encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()


def find_model(
    model: str,
    *,
    model_file: Path | None = None,
    codec_file: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    announce: Callable[[str], None] | None = None,
) -> ModelDescription:
    """The model by name or directory; ``midi-valle`` is downloaded, or imported from the given files, if need be.

    ``progress`` is called with bytes downloaded and bytes in all, ``announce`` gets the licence. CheckpointError if
    there is no such model, or its directory is not whole.
    """
    if (model_file or codec_file) and model != "midi-valle":
        raise CheckpointError(f"model_file and codec_file go with --model midi-valle, not with {model!r}")
    if model == "midi-valle":
        return describe(published_directory(None, model_file, codec_file, progress, announce))
    if (BUNDLED / model / "config.json").is_file():
        return describe(BUNDLED / model)
    if Path(model).is_dir():
        return describe(Path(model))
    known = ", ".join(sorted(path.name for path in BUNDLED.iterdir()))
    raise CheckpointError(f"no model {model!r}: give {known}, midi-valle, or the path of a model directory")


def describe(folder: Path) -> ModelDescription:
    """Read a model directory's configuration; CheckpointError says what is missing or wrong."""
    config = _read_config(folder, "a model directory", FORMAT, ("model.safetensors", "codec.safetensors"))
    with _faults_of(folder):
        return ModelDescription(
            **_codec_facts(folder, config),
            max_segment_seconds=float(config["max_segment_seconds"]),
            pedal=config["pedal"],
            time_grid=config.get("time_grid", "direct"),
            licence=_licence(folder),
            model=_configure(ModelConfig, config["model"]),
            match_prompt=bool(config.get("match_prompt", False)),
        )


def read_card(folder: Path) -> dict[str, Any]:
    """What a model directory's ``card.json`` tells people: licence, data, measures; empty where there is none."""
    path = folder / "card.json"
    card: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return card


def find_codec(codec: str) -> CodecDescription:
    """A codec by its directory, or that of a model by the model's name or directory; CheckpointError as find_model."""
    folder = Path(codec)
    if (folder / "model.safetensors").exists() or not folder.is_dir():
        return find_model(codec)
    config = _read_config(folder, "a codec directory", CODEC_FORMAT, ("codec.safetensors",))
    with _faults_of(folder):
        return CodecDescription(**_codec_facts(folder, config))


def load_model(description: ModelDescription) -> MidiValle:
    """The language model in fp32 on the CPU, for inference."""
    model = MidiValle(description.model)
    _load_weights(model, description.folder / "model.safetensors")
    return model


def make_codec(config: CodecConfig) -> NeuralCodec:
    """A codec with weights as they come."""
    if isinstance(config, EncodecConfig):
        return EncodecCodec(config)
    return FrameCodec(config) if isinstance(config, FrameCodecConfig) else SinusoidalCodec(config)


def load_codec(description: CodecDescription) -> NeuralCodec:
    """The codec in fp32 on the CPU, for inference."""
    codec = make_codec(description.codec)
    _load_weights(codec, description.folder / "codec.safetensors")
    if codec.sample_rate != description.sample_rate or codec.frame_rate != description.frame_rate:
        raise CheckpointError(
            f"{description.folder}: the codec runs at {codec.sample_rate} Hz and {codec.frame_rate} frames/s, "
            f"config.json says {description.sample_rate} Hz and {description.frame_rate}"
        )
    return codec


def _read_config(folder: Path, kind: str, expected: str, weights: tuple[str, ...]) -> dict[str, Any]:
    for name in ("config.json", *weights):
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder} is not {kind}: it has no {name}")
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{folder / 'config.json'} is not JSON: {error}") from None
    if not isinstance(config, dict) or config.get("format") != expected:
        found = config.get("format") if isinstance(config, dict) else type(config).__name__
        raise CheckpointError(f"{folder / 'config.json'} has format {found!r}, expected {expected!r}")
    return config


def _codec_facts(folder: Path, config: dict[str, Any]) -> dict[str, Any]:
    codec = dict(config["codec"])
    return {
        "name": config["name"],
        "folder": folder,
        "sample_rate": int(config["sample_rate"]),
        "frame_rate": int(config["frame_rate"]),
        "codec": _configure(CODEC_TYPES[codec.pop("type")], codec),
    }


@contextmanager
def _faults_of(folder: Path) -> Iterator[None]:
    """Let what is wrong in a configuration be known as its fault."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        reason = f"{error.args[0]!r} is missing or unknown" if isinstance(error, KeyError) else str(error)
        raise CheckpointError(f"{folder / 'config.json'}: {reason}") from None


def _load_weights(module: torch.nn.Module, path: Path) -> None:
    try:
        weights = load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read as safetensors (truncated?): {error}") from None
    try:
        module.load_state_dict({key: value.float() for key, value in weights.items()})
    except RuntimeError as error:
        raise CheckpointError(f"{path} does not fit the config.json beside it: {error}") from None
    module.eval().requires_grad_(False)


def _configure(kind: type[Any], values: dict[str, Any]) -> Any:
    known = {field.name for field in fields(kind)}
    if unknown := sorted(set(values) - known):
        raise ValueError(f"{kind.__name__} does not know {', '.join(unknown)}")
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


def _licence(folder: Path) -> str:
    return str(read_card(folder).get("licence", "not stated"))

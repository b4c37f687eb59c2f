"""Piano-Encodec: audiocraft's EnCodec at 32 kHz (arXiv 2210.13438), on the modules of `encodec`."""

import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import torch
import yaml
from torch import nn
from torch.nn.utils import remove_weight_norm

from renderer.codecs.neural_codec import NeuralCodec
from renderer.codecs.side_by_side import run_side_by_side
from renderer.codecs.windows import in_windows
from renderer.device import clips_at_once, codec_block, codec_window
from renderer.errors import CheckpointError
from renderer.midi.notes import Notes

PadMode = Literal["constant", "reflect", "replicate"]

REACH = 2
"""No sample depends on more frames to either side, behind the LSTM: kernels are of two strides, or three samples."""

_FIRST_REACH = 3
"""The same before the LSTM: a kernel of seven frames."""


@dataclass(frozen=True)
class EncodecConfig:
    """Sizes of an EnCodec of the 32 kHz family; all else is the same for every one of them.

    ``ratios`` are the decoder's upsampling factors in order: their product is the samples per frame.
    ``pad_mode`` is how convolutions pad both ends of a clip; weights do not show it, and the wrong one
    changes a clip's first 3 and last 5 frames.
    """

    sample_rate: int = 32000
    n_filters: int = 64
    dimension: int = 128
    ratios: tuple[int, ...] = (8, 5, 4, 4)
    codebooks: int = 4
    codebook_size: int = 2048
    pad_mode: PadMode = "constant"

    def __post_init__(self) -> None:
        if self.pad_mode not in get_args(PadMode):
            raise ValueError(f"pad_mode {self.pad_mode!r} is unknown; use one of {', '.join(get_args(PadMode))}")
        if self.sample_rate % math.prod(self.ratios):
            raise ValueError(f"ratios {self.ratios} do not give a whole number of frames at {self.sample_rate} Hz")

    @property
    def frame_rate(self) -> int:
        """Frames per second."""
        return self.sample_rate // math.prod(self.ratios)


class EncodecCodec(NeuralCodec):
    """EnCodec with audiocraft's state-dict keys: ``load_state_dict`` takes an audiocraft state as it is.

    A clip that does not fill its last frame is padded inside the encoder, by each strided convolution.
    """

    def __init__(self, config: EncodecConfig) -> None:
        # Here, so that all other codecs run where there is no `encodec`.
        from renderer.codecs.encodec_import import ResidualVectorQuantizer, SEANetDecoder, SEANetEncoder

        super().__init__()
        self.config = config
        self.sample_rate = config.sample_rate
        self.frame_rate = config.frame_rate
        self.codebooks = config.codebooks
        self.codebook_size = config.codebook_size
        sizes: dict[str, Any] = {
            "channels": 1,
            "dimension": config.dimension,
            "n_filters": config.n_filters,
            "ratios": list(config.ratios),
            "pad_mode": config.pad_mode,
            "true_skip": True,
        }
        with warnings.catch_warnings():
            # `encodec` uses torch's first weight_norm, and the published keys are those that it gives.
            warnings.filterwarnings("ignore", message=".*weight_norm.* is deprecated", category=FutureWarning)
            self.encoder = SEANetEncoder(**sizes)
            self.decoder = SEANetDecoder(**sizes)
        self.quantizer = ResidualVectorQuantizer(
            dimension=config.dimension, n_q=config.codebooks, bins=config.codebook_size
        )

    @property
    def clips_at_once(self) -> int:
        """See ``Codec``."""
        return clips_at_once(self._device())

    def latent(self, audio: torch.Tensor) -> torch.Tensor:  # noqa: D102
        latent: torch.Tensor = self.encoder(audio[:, None])
        return latent.transpose(1, 2)

    def quantize(self, latent: torch.Tensor) -> torch.Tensor:  # noqa: D102
        codes: torch.Tensor = self.quantizer.vq.encode(latent.transpose(1, 2))
        return codes.transpose(0, 1)

    def dequantize(self, codes: torch.Tensor) -> torch.Tensor:  # noqa: D102
        latent: torch.Tensor = self.quantizer.decode(codes.transpose(0, 1))
        return latent.transpose(1, 2)

    def synthesize(  # noqa: D102
        self,
        latent: torch.Tensor,
        first_frame: torch.Tensor | None = None,
        notes: Sequence[Notes | None] | None = None,
    ) -> torch.Tensor:
        dtype = next(self.decoder.parameters()).dtype
        audio: torch.Tensor = self.decoder(latent.transpose(1, 2).to(dtype))
        return audio[:, 0].float()

    def _decoded(self, clips: Sequence[torch.Tensor], notes: Sequence[Notes | None]) -> Iterator[torch.Tensor]:
        """See ``NeuralCodec._decoded``: as :meth:`synthesize`, but with the clips side by side in the LSTM."""
        if not clips:
            return
        first, recurrent = self.decoder.model[0], self.decoder.model[1]
        dtype, device = next(self.decoder.parameters()).dtype, self._device()
        latents = self.dequantize(torch.cat(list(clips), dim=2))[0].T.to(dtype).split([c.shape[2] for c in clips], 1)
        window = codec_window(device)
        inputs = in_windows(first, latents, window, _FIRST_REACH) if window else [first(x[None])[0] for x in latents]
        assert isinstance(recurrent.lstm, nn.LSTM)
        outputs = run_side_by_side(recurrent.lstm, [x.T for x in inputs], self.clips_at_once)
        summed = [x + output.T for x, output in zip(inputs, outputs, strict=True)]  # The skip of encodec's SLSTM.
        if window:
            for audio in in_windows(self.decoder.model[2:], summed, window, REACH, self.frame_samples):
                yield audio.float()
        else:
            yield from (self._upsampled(x[None]) for x in summed)

    def _upsampled(self, x: torch.Tensor) -> torch.Tensor:
        """What comes behind the LSTM, (1, D, T) -> audio (1, T * frame_samples): some frames after the others."""
        frames, block = x.shape[-1], codec_block(x.device)
        parts = []
        for start in range(0, frames, block):
            stop, first = min(start + block, frames), max(0, start - REACH)
            audio = self.decoder.model[2:](x[..., first : stop + REACH])[:, 0]
            parts.append(audio[:, (start - first) * self.frame_samples : (stop - first) * self.frame_samples])
        return torch.cat(parts, dim=1).float()

    def codebook_tables(self) -> list[torch.Tensor]:  # noqa: D102
        return [self.quantizer.get_buffer(f"vq.layers.{book}._codebook.embed") for book in range(self.codebooks)]

    def for_inference(self) -> Self:
        """Also fold the weight norm into the weights: that changes keys, and is exact only before a cast."""
        for module in self.modules():
            if hasattr(module, "weight_g"):
                remove_weight_norm(module)
        return super().for_inference()


def read_audiocraft_export(
    loaded: Mapping[str, object], pad_mode: PadMode | None = None
) -> tuple[EncodecConfig, dict[str, torch.Tensor]]:
    """What an audiocraft checkpoint holds: the configuration and a state dict for ``EncodecCodec``.

    Args:
        loaded: the content of the file: an export, a training checkpoint, or a plain state dict.
        pad_mode: instead of what the file says; for a plain state dict, audiocraft's default is "constant".

    Raises:
        CheckpointError: the content is something else, or not whole; it says what was expected and found.

    """
    if "pretrained" in loaded:
        raise CheckpointError(
            f"the codec file holds no weights, only a pointer to the hub model {loaded['pretrained']!r}; "
            "give the file with the exported weights"
        )
    state = _state_dict(loaded)
    settings = _settings(loaded.get("xp.cfg"))
    try:
        config = EncodecConfig(
            sample_rate=settings.get("sample_rate", EncodecConfig.sample_rate),
            pad_mode=pad_mode or settings.get("seanet.pad_mode", EncodecConfig.pad_mode),
            **_sizes(state),
        )
    except ValueError as error:
        raise CheckpointError(f"the codec file does not describe a usable EnCodec: {error}") from None
    _check_settings(settings, config)
    _check_state(state, config)
    return config, state


def _state_dict(loaded: Mapping[str, object]) -> dict[str, torch.Tensor]:
    """The weights of an export or of a training checkpoint (its 'model'), or the mapping itself."""
    content: object = loaded
    for key in ("best_state", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    assert isinstance(content, Mapping)
    others = [str(key) for key, value in content.items() if not isinstance(value, torch.Tensor)]
    if others or not content:
        found = f"{len(others)} other entries ({_few(others)})" if others else "nothing"
        raise CheckpointError(f"expected an audiocraft export ('best_state', 'xp.cfg') or a state dict, found {found}")
    return {str(key): value.float().contiguous() for key, value in content.items()}


def _settings(text: object) -> dict[str, Any]:
    """The YAML's values under dotted names, without those that point to another value by '${...}'."""
    if not isinstance(text, str):
        return {}
    try:
        tree = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise CheckpointError(f"the codec file's configuration ('xp.cfg') is not YAML: {error}") from None
    settings: dict[str, Any] = {}

    def walk(prefix: str, value: object) -> None:
        if isinstance(value, dict):
            for key, below in value.items():
                walk(f"{prefix}.{key}" if prefix else str(key), below)
        elif not (isinstance(value, str) and "${" in value):
            settings[prefix] = value

    walk("", tree)
    return settings


def _sizes(state: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """The sizes, by the weights' shapes. An upsampling convolution has a kernel of twice its ratio."""
    upsampling = re.compile(r"decoder\.model\.(\d+)\.convtr\.convtr\.weight_v")
    layers = sorted((int(match[1]), key) for key in state if (match := upsampling.fullmatch(key)))
    codebooks = [key for key in state if re.fullmatch(r"quantizer\.vq\.layers\.\d+\._codebook\.embed", key)]
    try:
        n_filters = state["encoder.model.0.conv.conv.weight_v"].shape[0]
        codebook_size, dimension = state["quantizer.vq.layers.0._codebook.embed"].shape
        ratios = tuple(state[key].shape[2] // 2 for _, key in layers)
    except (KeyError, ValueError, IndexError) as error:
        raise CheckpointError(
            "expected EnCodec's weights ('encoder.model.*', 'quantizer.vq.layers.*', 'decoder.model.*'), "
            f"found {len(state)} tensors ({_few(state)}); first problem: {error}"
        ) from None
    return {
        "n_filters": n_filters,
        "dimension": dimension,
        "ratios": ratios,
        "codebooks": len(codebooks),
        "codebook_size": codebook_size,
    }


def _check_settings(settings: Mapping[str, Any], config: EncodecConfig) -> None:
    """Refuse a configuration that contradicts the weights, or asks for what ``EncodecCodec`` does not do."""
    expected = {
        "channels": 1,
        "seanet.dimension": config.dimension,
        "seanet.n_filters": config.n_filters,
        "seanet.ratios": list(config.ratios),
        "seanet.activation": "ELU",
        "seanet.causal": False,
        "seanet.decoder.final_activation": None,
        "encodec.causal": False,
        "encodec.renormalize": False,
        "rvq.n_q": config.codebooks,
        "rvq.bins": config.codebook_size,
    }
    for name, value in expected.items():
        if settings.get(name, value) != value:
            raise CheckpointError(
                f"the codec file's configuration says {name} = {settings[name]!r}; "
                f"its weights, or this program, need {value!r}"
            )


def _check_state(state: Mapping[str, torch.Tensor], config: EncodecConfig) -> None:
    with torch.device("meta"):
        expected = {key: tuple(value.shape) for key, value in EncodecCodec(config).state_dict().items()}
    problems = {
        "missing": [key for key in expected if key not in state],
        "unexpected": [key for key in state if key not in expected],
        "of another shape": [
            f"{key} {tuple(state[key].shape)} instead of {shape}"
            for key, shape in expected.items()
            if key in state and tuple(state[key].shape) != shape
        ],
    }
    found = "; ".join(f"{len(keys)} {kind}: {_few(keys)}" for kind, keys in problems.items() if keys)
    if found:
        raise CheckpointError(f"expected the {len(expected)} tensors of {config}, found {len(state)}: {found}")


def _few(names: Mapping[str, object] | list[str]) -> str:
    first = list(names)[:3]
    return ", ".join(first) + (", ..." if len(names) > len(first) else "")

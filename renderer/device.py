"""The only place that knows how devices differ."""

import platform
from typing import Literal

import torch

Precision = Literal["fp32", "bf16"]

_DTYPES: dict[str, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}


def choose_device(name: str) -> torch.device:
    """``auto`` (CUDA if there is any, else the CPU), ``cpu``, ``cuda`` or ``cuda:N``; ValueError if it is absent."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"device {name!r} is unknown; use auto, cpu, cuda or cuda:N") from None
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"device {name!r} is not supported; use auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device {name!r} is not there: torch sees {torch.cuda.device_count()} CUDA devices")
    return device


def choose_dtype(precision: str) -> torch.dtype:
    """The arithmetic of the transformers and the codec's decoder."""
    if precision not in _DTYPES:
        raise ValueError(f"precision {precision!r} is unknown; use one of {', '.join(_DTYPES)}")
    return _DTYPES[precision]


def cache_dtype(device: torch.device, dtype: torch.dtype) -> torch.dtype:
    """How keys and values are kept: on the CPU in fp32, whose attention reads them three times faster than bf16."""
    return torch.float32 if device.type == "cpu" else dtype


def device_name(device: torch.device) -> str:
    """What the device calls itself."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.machine()} cpu"


def synchronize(device: torch.device) -> None:
    """Wait until the device has done its work, for timing."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)

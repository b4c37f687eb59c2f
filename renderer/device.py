"""The only place that knows how devices differ."""

import os
import platform
import warnings
from pathlib import Path
from typing import NamedTuple

import torch


class Precision(NamedTuple):
    """In what networks multiply, and in what is kept what every step of decoding reads anew.

    This is the AR decoder's weights, and its keys and values.
    """

    arithmetic: torch.dtype
    decoding: torch.dtype


CPU = torch.device("cpu")

BF16_IN_COMPANY = "what shares a batch may change a result in it; fp16 and fp32 are faster here, and hold"

_DTYPES: dict[str, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}
_LARGEST_BATCH = {"cpu": 16, "cuda": 256}
"""More side by side brings nothing: measured on CPUs; reckoned for GPUs, where reading the cache is the limit."""

_LENGTH_STEP = {"cpu": 32, "cuda": 128}


_OUT_OF_MEMORY = (
    "DefaultCPUAllocator: can't allocate memory",
    "out of memory",  # CUDA's own, where it is not torch that allocates: while a graph is captured, say.
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


class WindowShape(NamedTuple):
    """Windows of so many ``frames``, ``at_once`` side by side."""

    frames: int
    at_once: int


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


def choose_precision(precision: str, device_type: str) -> str:
    """``auto`` becomes the fastest of fp32, bf16 and fp16 on ``cpu`` or ``cuda``.

    On CPUs bf16 is faster than fp32 where they multiply it in hardware: AVX-512 BF16 (1.15 to 1.5 times), AMX (twice).
    Elsewhere fp16 decodes 1.3 to 1.8 times as fast as fp32, where there is FBGEMM. ValueError if the name is unknown,
    or nothing for the device.
    """
    if precision == "fp16" and (device_type != "cpu" or not has_fbgemm()):
        raise ValueError("precision 'fp16' is for x86 CPUs with AVX2; use one of auto, fp32, bf16")
    if precision == "bf16" and device_type == "cpu" and emulates_bf16():
        warnings.warn(f"this CPU has no bf16: {BF16_IN_COMPANY}", stacklevel=2)
    if precision != "auto":
        precision_named(precision)
        return precision
    if device_type == "cuda" or torch.cpu._is_avx512_bf16_supported():
        return "bf16"
    return "fp16" if has_fbgemm() else "fp32"


def emulates_bf16() -> bool:
    """Whether this CPU's products of bf16 are made of AVX-512 that has none, whose sums depend on the rows beside."""
    has_bf16: bool = torch.cpu._is_avx512_bf16_supported()
    return has_fbgemm() and not has_bf16 and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def precision_named(name: str) -> Precision:
    """What a precision of rendering means; ValueError if the name is unknown.

    ``fp16`` multiplies in fp32, and decodes from what is kept in fp16.
    """
    if name == "fp16":
        return Precision(torch.float32, torch.float16)
    if name not in _DTYPES:
        raise ValueError(f"precision {name!r} is unknown; use one of auto, {', '.join(_DTYPES)}, fp16")
    return Precision(_DTYPES[name], _DTYPES[name])


def choose_dtype(precision: str) -> torch.dtype:
    """The arithmetic of training, fp32 or bf16; ValueError if the name is unknown."""
    if precision not in _DTYPES:
        raise ValueError(f"precision {precision!r} is unknown; use {' or '.join(_DTYPES)}")
    return _DTYPES[precision]


def choose_batch_size(batch_size: int | None, device_type: str) -> int:
    """``None`` becomes as many segments side by side as are worth it on ``cpu`` or ``cuda``."""
    return _LARGEST_BATCH[device_type] if batch_size is None else batch_size


def cache_dtype(device: torch.device, dtype: torch.dtype) -> torch.dtype:
    """How keys and values are kept, where decoding is to read this type.

    CPUs with AMX read them in bf16 at twice the speed of fp32, others in fp32 at three times the speed of bf16.
    """
    if device.type == "cpu" and dtype == torch.bfloat16 and not torch.cpu._is_amx_tile_supported():
        return torch.float32
    return dtype


def even_length(length: int, device: torch.device) -> int:
    """The length to which a sequence is filled up.

    On CPUs matrix tiles of 32 positions are worth it. On CUDA every new length has its kernels chosen anew: few do.
    """
    step = _LENGTH_STEP.get(device.type, 1)
    return -(-length // step) * step


def codec_dtype(device: torch.device, arithmetic: torch.dtype) -> torch.dtype:
    """In what a codec's decoder multiplies beside a model that multiplies so.

    CUDA is as fast in fp16 as in bf16, and cuDNN's LSTM faster. Its three more bits are heard: against fp32, an
    EnCodec's audio has a signal-to-noise ratio of 52 dB where bf16 has 34 (random weights, 16 filters).
    """
    return torch.float16 if device.type == "cuda" and arithmetic == torch.bfloat16 else arithmetic


def compute_the_same_way(device: torch.device) -> None:
    """Let torch compute equal shapes alike, and not choose kernels by trying: for this process, wherever it computes.

    From torch 2.11 on, attention on Hopper GPUs is cuDNN's by default, which plans anew, tens of milliseconds, for
    every pair of lengths. Convolutions in fp32 stay fp32.
    """
    if device.type == "cuda":
        torch.backends.cuda.enable_cudnn_sdp(False)
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False


def adds_up_rows_fast(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether a cache of this type is read fastest as sums of rows (renderer/decoding/key_values/row_sum_cache.py)."""
    return device.type == "cpu" and dtype != torch.bfloat16 and has_fbgemm()


def reads_slots_apart(device: torch.device, position_bytes: int) -> bool:
    """Whether attention reads each slot's cache by itself, up to its own length, rather than all in one call.

    On CPUs a step of decoding is then 1.2 times as fast with the published 4 KiB of keys and values a position and
    layer, 1.1 times with 2 KiB, and slower with 1 KiB, where the calls take longer than the reading.
    """
    return device.type == "cpu" and position_bytes >= 2048


def has_fbgemm() -> bool:
    """Whether torch has FBGEMM, its library of small numbers for x86 from AVX2 on, and with it products in fp16."""
    return "fbgemm" in torch.backends.quantized.supported_engines and hasattr(
        torch.ops.quantized, "linear_dynamic_fp16"
    )


def codec_block(device: torch.device) -> int:
    """How many frames of a clip go through an EnCodec's convolutions at once, where it has no windows.

    On CPUs activations that the caches hold are worth it: at full size 1.3 to 1.6 times as fast as 15 s at once.
    Elsewhere it bounds the memory.
    """
    return 120 if device.type == "cpu" else 1500


def codec_window(device: torch.device) -> WindowShape | None:
    """Windows that go through an EnCodec's convolutions side by side, where that is worth it: on CUDA."""
    return WindowShape(132, 64) if device.type == "cuda" else None


def clips_at_once(device: torch.device) -> int:
    """How many clips an EnCodec decodes at once: its LSTM reads its weights anew for every frame."""
    return 64 if device.type == "cuda" else 16


def fetches_at_once(device: torch.device) -> int:
    """How many segments' audio the host takes care of between two steps: a GPU should not wait for new ones."""
    return 8 if device.type == "cuda" else 1024


def skips_silent_keys(device: torch.device) -> bool:
    """Whether it is worth it to look where keys are struck, and compute these alone; a GPU would be waited for."""
    return device.type == "cpu"


def free_bytes(device: torch.device) -> int:
    """Memory that is left on the device, or on this machine."""
    if device.type == "cuda":
        kept_for_later = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept_for_later
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):  # No Linux: half of all there is.
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def is_out_of_memory(error: Exception) -> bool:
    """Whether a computation failed because a device had no memory left for it."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _OUT_OF_MEMORY)


def release_memory(device: torch.device) -> None:
    """Give back what the device keeps for later."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def device_name(device: torch.device) -> str:
    """What the device calls itself."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.machine()} cpu"


def synchronize(device: torch.device) -> None:
    """Wait until the device has done its work, for timing."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)

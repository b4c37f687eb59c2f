"""What a device can do at best, measured: matrix products and reading memory."""

from collections.abc import Callable

import torch
from torch.nn import functional as F

from renderer.stopwatch import Stopwatch

# A repetition has to keep the device busy. On a CPU it has to be over, too, before other programs have their turn.
_PRODUCT_WIDTHS = {"cpu": (512, 1024, 2048), "cuda": (4096, 8192)}
_READ_MEGABYTES = {"cpu": 16, "cuda": 1024}
# Repetitions read one part after another of what is larger than all caches: some processors have hundreds of megabytes.
_BUFFER_MEGABYTES = 1024
_ROW_BYTES = 2**14
_LONG_SECONDS = 5.0


def gemm_gflops(device: torch.device, dtype: torch.dtype) -> float:
    """A square matrix product, of the width that is fastest."""
    return max(_product_gflops(device, dtype, width) for width in _PRODUCT_WIDTHS[device.type])


def _product_gflops(device: torch.device, dtype: torch.dtype, width: int) -> float:
    a, b = (torch.randn(width, width, device=device, dtype=dtype) for _ in range(2))
    return 2 * width**3 / _fastest(device, lambda number: a @ b, repetitions=16) / 1e9


@torch.inference_mode()
def read_gigabytes(device: torch.device) -> dict[str, float]:
    """GB/s by method; no one is the fastest everywhere, nor does each use all threads."""
    megabytes = _READ_MEGABYTES[device.type]
    numbers = _BUFFER_MEGABYTES // megabytes, megabytes * 2**20 // _ROW_BYTES, _ROW_BYTES // 4
    single = torch.ones(numbers, device=device)
    half = single.view(torch.bfloat16)
    vector, half_vector = single[0, :1].clone(), half[0, :1].clone()
    methods: dict[str, Callable[[int], torch.Tensor]] = {
        "sum": lambda number: single[number % len(single)].sum(),
        "row sums": lambda number: single[number % len(single)].sum(dim=1),
        "largest": lambda number: single[number % len(single)].amax(),
        "fp32 product with a vector": lambda number: F.linear(vector, single[number % len(single)]),
        "bf16 product with a vector": lambda number: F.linear(half_vector, half[number % len(half)]),
    }
    return {name: megabytes * 2**20 / _fastest(device, read) / 1e9 for name, read in methods.items()}


def _fastest(device: torch.device, work: Callable[[int], torch.Tensor], repetitions: int = 64) -> float:
    """Seconds of the fastest of several repetitions; of two, if they take long, as bf16 does without its hardware."""
    watch = Stopwatch(device)
    for number in range(repetitions):
        with watch(str(number)):
            work(number)
        if number and sum(watch.seconds.values()) > _LONG_SECONDS:
            break
    return min(watch.seconds.values())

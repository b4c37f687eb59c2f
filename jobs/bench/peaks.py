"""What the machine can do at best, measured: matrix products and reading memory."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from jobs.bench.work import Work
from renderer.device import precision_named
from renderer.stopwatch import Stopwatch

# An attempt has to keep the device busy. On a CPU it has to be over, too, before other programs have their turn.
_PRODUCT_WIDTHS = {"cpu": (512, 1024, 2048), "cuda": (4096, 8192)}
_READ_MEGABYTES = {"cpu": 16, "cuda": 1024}
# Attempts read one part after another of what is larger than all caches: some processors have hundreds of megabytes.
_BUFFER_MEGABYTES = 1024
_ROW_BYTES = 2**14
_LONG_SECONDS = 5.0


@dataclass(frozen=True)
class Peaks:
    """GFLOP/s of a large product by precision, and GB/s of reading memory by method, of which the fastest counts."""

    gflops: Mapping[str, float]
    read_gb_per_second: Mapping[str, float]

    @property
    def read(self) -> float:
        """GB/s of the fastest way to read."""
        return max(self.read_gb_per_second.values())

    def best_with(self, other: "Peaks") -> "Peaks":
        """The higher of the two for everything: what else the machine does can only lower a peak."""
        return Peaks(_higher(self.gflops, other.gflops), _higher(self.read_gb_per_second, other.read_gb_per_second))

    def roofline(self, work: Work, seconds: float, precision: str) -> float:
        """The share of the seconds that this machine needs for the work at least."""
        return work.least_seconds(self.gflops[precision] * 1e9, self.read * 1e9) / seconds


def measure_peaks(device: torch.device, precision: str) -> Peaks:
    """Of fp32 and the precision in use, with the threads that torch now has."""
    precisions = dict.fromkeys(("fp32", precision))
    products = {name: gemm_gflops(device, precision_named(name).arithmetic) for name in precisions}
    return Peaks(products, read_gigabytes(device))


def gemm_gflops(device: torch.device, dtype: torch.dtype) -> float:
    """A square matrix product, of the width that is fastest."""
    return max(_product_gflops(device, dtype, width) for width in _PRODUCT_WIDTHS[device.type])


def _product_gflops(device: torch.device, dtype: torch.dtype, width: int) -> float:
    a, b = (torch.randn(width, width, device=device, dtype=dtype) for _ in range(2))
    return 2 * width**3 / _fastest(device, lambda attempt: a @ b, attempts=16) / 1e9


@torch.inference_mode()
def read_gigabytes(device: torch.device) -> dict[str, float]:
    """GB/s by method; no one is the fastest everywhere, nor does each use all threads."""
    megabytes = _READ_MEGABYTES[device.type]
    numbers = _BUFFER_MEGABYTES // megabytes, megabytes * 2**20 // _ROW_BYTES, _ROW_BYTES // 4
    single = torch.ones(numbers, device=device)
    half = single.view(torch.bfloat16)
    vector, half_vector = single[0, :1].clone(), half[0, :1].clone()
    methods: dict[str, Callable[[int], torch.Tensor]] = {
        "sum": lambda attempt: single[attempt % len(single)].sum(),
        "row sums": lambda attempt: single[attempt % len(single)].sum(dim=1),
        "largest": lambda attempt: single[attempt % len(single)].amax(),
        "fp32 product with a vector": lambda attempt: F.linear(vector, single[attempt % len(single)]),
        "bf16 product with a vector": lambda attempt: F.linear(half_vector, half[attempt % len(half)]),
    }
    return {name: megabytes * 2**20 / _fastest(device, read) / 1e9 for name, read in methods.items()}


def _higher(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    return {name: max(rate, other[name]) for name, rate in one.items()}


def _fastest(device: torch.device, work: Callable[[int], torch.Tensor], attempts: int = 64) -> float:
    """Seconds of the fastest of several attempts; of two, where they take long, as bf16 does without its hardware."""
    watch = Stopwatch(device)
    for attempt in range(attempts):
        with watch(str(attempt)):
            work(attempt)
        if attempt and sum(watch.seconds.values()) > _LONG_SECONDS:
            break
    return min(watch.seconds.values())

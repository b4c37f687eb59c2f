"""What the machine can do at best, measured: matrix products and reading memory."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from jobs.bench.work import Work
from renderer.device import choose_dtype
from renderer.stopwatch import Stopwatch

_ROW_BYTES = 2**14


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
    """Of fp32, bf16 and the precision in use, with the threads that torch now has."""
    precisions = dict.fromkeys(("fp32", "bf16", precision))
    return Peaks({name: gemm_gflops(device, choose_dtype(name)) for name in precisions}, read_gigabytes(device))


def gemm_gflops(device: torch.device, dtype: torch.dtype, width: int = 2048) -> float:
    """A square matrix product."""
    a, b = (torch.randn(width, width, device=device, dtype=dtype) for _ in range(2))
    return 2 * width**3 / _fastest(device, lambda: a @ b) / 1e9


@torch.inference_mode()
def read_gigabytes(device: torch.device, megabytes: int = 1024) -> dict[str, float]:
    """GB/s by method. The buffer has to be larger than all caches: some processors have hundreds of megabytes.

    No one method is the fastest everywhere, nor does each use all threads.
    """
    single = torch.ones(megabytes * 2**20 // _ROW_BYTES, _ROW_BYTES // 4, device=device)
    half = single.view(torch.bfloat16)
    methods: dict[str, Callable[[], torch.Tensor]] = {
        "sum": single.sum,
        "row sums": lambda: single.sum(dim=1),
        "largest": single.amax,
        "fp32 product with a vector": _product(single),
        "bf16 product with a vector": _product(half),
    }
    return {name: megabytes * 2**20 / _fastest(device, read) / 1e9 for name, read in methods.items()}


def _higher(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    return {name: max(rate, other[name]) for name, rate in one.items()}


def _product(matrix: torch.Tensor) -> Callable[[], torch.Tensor]:
    vector = torch.ones(1, matrix.shape[1], device=matrix.device, dtype=matrix.dtype)
    return lambda: F.linear(vector, matrix)


def _fastest(device: torch.device, work: Callable[[], torch.Tensor], attempts: int = 6) -> float:
    """Seconds of the fastest of several attempts."""
    watch = Stopwatch(device)
    for attempt in range(attempts):
        with watch(str(attempt)):
            work()
    return min(watch.seconds.values())

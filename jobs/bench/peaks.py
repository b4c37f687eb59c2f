"""What the machine can do at best, measured: matrix products and reading memory."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from jobs.bench.work import Work
from renderer.device import precision_named
from renderer.device_speed import gemm_gflops, read_gigabytes


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


def _higher(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    return {name: max(rate, other[name]) for name, rate in one.items()}

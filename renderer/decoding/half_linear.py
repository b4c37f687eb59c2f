"""Products with weights that are kept in fp16 and multiplied in fp32: for few rows, as a step of decoding has.

Reading weights is what such products wait for. FBGEMM's kernel reads half as much and is made for few rows: 16 of them,
of the published width, at 68 GFLOP/s on one core of an AMD EPYC that reaches 82 at best, where torch's fp32 product
reaches 31. What is lost is the rounding of weights to 11 bits.
"""

from functools import cache

import torch
from torch.nn import functional as F

_USUAL_ROWS = 168
"""So many leave none over for a kernel of few: it is a multiple of the 6 and 14 rows that FBGEMM's take."""


class HalfLinear:
    """X (..., inputs) float32 -> (..., outputs) float32, with the weights (outputs, inputs) rounded to fp16.

    Any row of x comes out the same, whatever its place and however many others there are.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None = None) -> None:
        largest, limit = float(weight.abs().max()), torch.finfo(torch.float16).max
        if not largest <= limit:
            raise ValueError(f"a weight of the model is {largest:g}, and fp16 ends at {limit:g}: use --precision fp32")
        self._packed = torch.ops.quantized.linear_prepack_fp16(weight.detach(), bias if bias is None else bias.detach())

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """The product."""
        rows = x.shape[:-1].numel()
        filling = alike_rows(rows) - rows
        if not filling:
            return _product(x, self._packed)
        return _product(F.pad(x.flatten(0, -2), (0, 0, 0, filling)), self._packed)[:rows].unflatten(0, x.shape[:-1])


@cache
def alike_rows(rows: int) -> int:
    """The fewest rows, at least so many, of which each is multiplied alike.

    The kernel takes some rows at a time; the last few may come to one that adds up in another order. RuntimeError
    if no number is found: what is beside a row would then change it.
    """
    random = torch.Generator().manual_seed(0)
    packed = torch.ops.quantized.linear_prepack_fp16(torch.randn(64, 256, generator=random), None)
    row = torch.randn(1, 256, generator=random)
    usual = _product(row.expand(_USUAL_ROWS, -1).contiguous(), packed)[0]
    for more in range(rows, rows + _USUAL_ROWS):
        if (_product(row.expand(more, -1).contiguous(), packed) == usual).all():
            return more
    raise RuntimeError(f"this CPU's fp16 product does not multiply {rows} rows or more alike: use --precision fp32")


def _product(rows: torch.Tensor, packed: object) -> torch.Tensor:
    product: torch.Tensor = torch.ops.quantized.linear_dynamic_fp16.default(rows, packed)
    return product

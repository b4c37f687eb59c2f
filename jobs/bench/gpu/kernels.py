"""What products and attention do by themselves: how fast, and whether what lies beside a row changes its bits."""

from collections.abc import Iterator
from functools import partial

import torch
from torch.nn import functional as F

from jobs.bench.gpu.bed import Bed
from jobs.bench.gpu.figures import Figure
from jobs.bench.peaks import measure_peaks
from jobs.bench.work import Work
from renderer.device import device_name
from renderer.model.varlen import ONE_BY_ONE, OPERATOR, PUBLIC, Spans, VarlenKernel, fault_of

PRODUCT_SHARE, ATTENTION_READ_SHARE, ATTENTION_FLOP_SHARE = 0.75, 0.67, 0.45
"""Of the peaks, as predicted: large products in bf16; attention of one query; attention within sequences."""


def environment(bed: Bed) -> Iterator[Figure]:
    """Versions, the device, its peaks, and what torch's attention takes."""
    device = bed.device
    yield Figure(
        "torch", note=f"{torch.__version__}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
    )
    yield Figure("device", note=device_name(device))
    yield Figure("flash operator", note=str(torch.ops.aten._flash_attention_forward.default._schema))
    for kernel in (PUBLIC, OPERATOR):
        fault = fault_of(kernel.attend, device, torch.bfloat16, bed.sizes.model.d_model // bed.sizes.model.heads)
        yield Figure(kernel.name, note=(fault or "works")[:100])
    yield Figure("attention in use", note=bed.kernel.name)
    if bed.device.type == "cpu":
        return  # That takes long, and is not what the check is for.
    peaks = measure_peaks(device, bed.precision)
    yield Figure("peak product", max(peaks.gflops.values()) / 1e3, "TFLOP/s", 798)
    yield Figure("peak read", peaks.read, "GB/s", 3000)


def products(bed: Bed) -> Iterator[Figure]:
    """Every product of a layer at every number of rows: speed, and bits under other places and other company."""
    config, sizes = bed.sizes.model, bed.sizes.packed
    width = config.d_model
    shapes = {"qkv": (3 * width, width), "out": (width, width), "up": (4 * width, width), "down": (width, 4 * width)}
    shapes["head"] = (config.codebook_size + 1, width)
    for rows in (sizes.step, sizes.prefill, sizes.complete):
        for name, (outputs, inputs) in shapes.items():
            x = torch.randn(rows, inputs, device=bed.device).to(bed.dtype)
            weight = torch.randn(outputs, inputs, device=bed.device).to(bed.dtype)
            order = torch.randperm(rows, device=bed.device)
            straight = F.linear(x, weight)
            moved = torch.equal(F.linear(x[order], weight), straight[order])
            alone = torch.zeros_like(x)
            alone[rows // 2] = x[rows // 2]
            company = torch.equal(F.linear(alone, weight)[rows // 2], straight[rows // 2])
            fewer = torch.equal(F.linear(x[: rows // 2], weight), straight[: rows // 2])
            seconds = bed.timed(partial(F.linear, x, weight))
            flops = 2 * rows * outputs * inputs
            least = bed.least_seconds(Work(flops, (x.numel() + weight.numel() + straight.numel()) * 2))
            yield Figure(
                f"{name}, {rows} rows",
                seconds * 1e6,
                "us",
                least / PRODUCT_SHARE * 1e6,
                f"{flops / seconds / 1e12:.0f} TFLOP/s; same bits: {_said(moved)} moved, {_said(company)} in other "
                f"company, {_said(fewer)} with half the rows",
            )


def attention(bed: Bed) -> Iterator[Figure]:
    """One query a slot at several numbers of slots, and whole sequences in packs."""
    config, sizes = bed.sizes.model, bed.sizes.packed
    heads, width = config.heads, config.d_model // config.heads
    for kernel in _kernels(bed):
        for slots in bed.sizes.batches:
            yield _of_slots(bed, kernel, slots, heads, width)
        length = sizes.complete // sizes.completes
        spans = Spans(torch.arange(sizes.completes + 1, dtype=torch.int32, device=bed.device) * length, length)
        qkv = torch.randn(sizes.complete, 3, heads, width, device=bed.device).to(bed.dtype)
        query, key, value = qkv.unbind(1)
        seconds = bed.timed(partial(kernel.attend, query, key, value, spans, spans))
        flops = 4 * sizes.completes * length**2 * heads * width
        least = bed.least_seconds(Work(flops, qkv.numel() * 2)) / ATTENTION_FLOP_SHARE
        note = f"{flops / seconds / 1e12:.0f} TFLOP/s, {kernel.name}"
        yield Figure(f"attention, {sizes.completes} x {length}", seconds * 1e6, "us", least * 1e6, note)


def _kernels(bed: Bed) -> list[VarlenKernel]:
    width = bed.sizes.model.d_model // bed.sizes.model.heads
    working = [each for each in (PUBLIC, OPERATOR) if fault_of(each.attend, bed.device, bed.dtype, width) is None]
    return working or [ONE_BY_ONE]


def _of_slots(bed: Bed, kernel: VarlenKernel, slots: int, heads: int, width: int) -> Figure:
    capacity = bed.sizes.packed.positions
    keys, values = (torch.randn(slots * capacity, heads, width, device=bed.device).to(bed.dtype) for _ in range(2))
    query = torch.randn(slots, heads, width, device=bed.device).to(bed.dtype)
    lengths = torch.linspace(capacity // 3, capacity - 1, slots, device=bed.device).to(torch.int32)
    rows = torch.arange(slots + 1, dtype=torch.int32, device=bed.device)
    asking, asked = Spans(rows, 1), Spans(rows * capacity, capacity)
    together = kernel.attend(query, keys, values, asking, asked, lengths)
    others = torch.ones_like(lengths)
    others[slots // 2] = lengths[slots // 2]
    alone = kernel.attend(query, keys, values, asking, asked, others)
    same = torch.equal(together[slots // 2], alone[slots // 2])
    seconds = bed.timed(lambda: kernel.attend(query, keys, values, asking, asked, lengths))
    read = int(lengths.sum()) * 2 * heads * width * keys.element_size()
    least = bed.least_seconds(Work(0, read)) / ATTENTION_READ_SHARE
    note = f"{read / seconds / 1e9:.0f} GB/s, same bits alone: {_said(same)}, {kernel.name}"
    return Figure(f"attention of a step, {slots} slots", seconds * 1e6, "us", least * 1e6, note)


def _said(is_so: bool) -> str:
    return "yes" if is_so else "NO"

"""Attention within sequences of any lengths that lie one after another in one tensor: torch's flash attention.

torch says this in two ways. ``torch.nn.attention.varlen`` is public, but takes lengths of its own for the keys, as
decoding needs them, from torch 2.12 on. The operator behind it has taken them at least since 2.8. Which of the two is
used is decided once, by trying.
"""

import warnings
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import torch
from torch.nn import functional as F


@dataclass(frozen=True, eq=False)
class Spans:
    """Where sequences lie: ``starts`` (sequences + 1,) int32 ends with where the last one does; none is longer."""

    starts: torch.Tensor
    longest: int


class VarlenAttention(Protocol):
    """Queries (N, heads, width) of sequences to keys and values (M, heads, width) of as many -> (N, heads, width)."""

    def __call__(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        asking: Spans,
        asked: Spans,
        used: torch.Tensor | None = None,
        causal: bool = False,
    ) -> torch.Tensor:
        """``used`` (sequences,) int32 says how many of each sequence's keys count, by default all.

        With ``causal`` the last query sees all of them, the one before it all but the last, and so on. What lies beside
        a sequence does not change its result: positions are never shared out among parts of the device.
        """
        ...


@dataclass(frozen=True)
class VarlenKernel:
    """A way to compute it, and what it is called."""

    name: str
    attend: VarlenAttention


def choose_varlen(device: torch.device, dtype: torch.dtype, width: int) -> VarlenKernel | None:
    """What works on the device for heads of this width; None if nothing does, with a warning where it should."""
    if device.type != "cuda" or dtype.itemsize != 2:
        return None
    faults = []
    for kernel in (PUBLIC, OPERATOR):
        if (fault := fault_of(kernel.attend, device, dtype, width)) is None:
            return kernel
        faults.append(f"{kernel.name}: {fault}")
    warnings.warn(f"all segments are read as far as the longest, and slower: {'; '.join(faults)}", stacklevel=2)
    return None


def _attend_publicly(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    asking: Spans,
    asked: Spans,
    used: torch.Tensor | None = None,
    causal: bool = False,
) -> torch.Tensor:
    from torch.nn.attention.varlen import varlen_attn

    attended = varlen_attn(
        query,
        key,
        value,
        asking.starts,
        asked.starts,
        asking.longest,
        asked.longest,
        window_size=(-1, 0 if causal else -1),
        seqused_k=used,
        num_splits=1,
    )
    assert isinstance(attended, torch.Tensor)
    return attended


def _attend_by_operator(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    asking: Spans,
    asked: Spans,
    used: torch.Tensor | None = None,
    causal: bool = False,
) -> torch.Tensor:
    # Before torch 2.12 positions are shared out only where heads of queries share keys, which ours do not.
    attended: torch.Tensor = torch.ops.aten._flash_attention_forward(
        query,
        key,
        value,
        asking.starts,
        asked.starts,
        asking.longest,
        asked.longest,
        0.0,
        causal,
        False,
        seqused_k=used,
    )[0]
    return attended


PUBLIC = VarlenKernel("torch.nn.attention.varlen", _attend_publicly)
OPERATOR = VarlenKernel("torch's flash attention operator", _attend_by_operator)


def attend_one_by_one(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    asking: Spans,
    asked: Spans,
    used: torch.Tensor | None = None,
    causal: bool = False,
) -> torch.Tensor:
    """See ``VarlenAttention``: on a CPU, which is asked where the sequences lie; what belongs to none is 0."""
    attended = torch.zeros_like(query)
    queries, keys = asking.starts.tolist(), asked.starts.tolist()
    counts = [end - start for start, end in pairwise(keys)] if used is None else used.tolist()
    for sequence, count in enumerate(counts):
        first, end = queries[sequence : sequence + 2]
        if first == end or not count:
            continue
        seen = slice(keys[sequence], keys[sequence] + count)
        q, k, v = (x.transpose(0, 1)[None] for x in (query[first:end], key[seen], value[seen]))
        mask = None
        if causal:
            mask = torch.ones(end - first, count, dtype=torch.bool, device=query.device).tril(count - (end - first))
        attended[first:end] = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)[0].transpose(0, 1)
    return attended


ONE_BY_ONE = VarlenKernel("each sequence by itself", attend_one_by_one)


def fault_of(attend: VarlenAttention, device: torch.device, dtype: torch.dtype, width: int) -> str | None:
    """What is wrong with a kernel on a device: that it cannot be had, or is not right; None if nothing is."""
    lengths = torch.tensor([3, 40, 0, 77], dtype=torch.int32)
    ends = lengths.cumsum(0, dtype=torch.int32)
    all_of = Spans(F.pad(ends, (1, 0)), 128)
    one_each = Spans(torch.arange(5, dtype=torch.int32), 1)
    slots = Spans(torch.arange(5, dtype=torch.int32) * 128, 128)
    used = torch.tensor([1, 65, 128, 77], dtype=torch.int32)
    cases: list[tuple[int, int, Spans, Spans, torch.Tensor | None, bool]] = [
        (int(ends[-1]), int(ends[-1]), all_of, all_of, None, False),
        (int(ends[-1]), int(ends[-1]), all_of, all_of, None, True),
        (4, 4 * 128, one_each, slots, used, False),
    ]
    # Queries, keys and values lie beside one another, as one product gives them.
    waves = torch.linspace(0, 999, 4 * 128 * 3 * 2 * width).sin().view(4 * 128, 3, 2, width).to(dtype)

    def attended(
        attend: VarlenAttention, x: torch.Tensor, case: tuple[int, int, Spans, Spans, torch.Tensor | None, bool]
    ) -> torch.Tensor:
        queries, keys, asking, asked, counted, causal = case
        asking, asked = (Spans(each.starts.to(x.device), each.longest) for each in (asking, asked))
        counted = None if counted is None else counted.to(x.device)
        return attend(x[:queries, 0], x[:keys, 1], x[:keys, 2], asking, asked, counted, causal).float().cpu()

    try:
        for case in cases:
            expected = attended(attend_one_by_one, waves.float(), case)
            torch.testing.assert_close(attended(attend, waves.to(device), case), expected, atol=0.02, rtol=0.02)
    except (ImportError, TypeError, ValueError, RuntimeError, AssertionError, AttributeError) as error:
        return str(error).partition("\n")[0]
    return None

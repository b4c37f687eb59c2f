"""Attention within sequences that lie one after another: what torch is asked for, and what is chosen."""

import itertools

import pytest
import torch
import torch.nn.attention.varlen

from renderer.model import varlen
from renderer.model.varlen import (
    ONE_BY_ONE,
    OPERATOR,
    PUBLIC,
    Spans,
    VarlenKernel,
    attend_one_by_one,
    choose_varlen,
    fault_of,
)

CPU = torch.device("cpu")


def spans(*lengths: int) -> Spans:
    return Spans(torch.tensor([0, *itertools.accumulate(lengths)], dtype=torch.int32), max(lengths))


def written_out(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, causal: bool) -> torch.Tensor:
    """One sequence, (T, heads, width) to (S, heads, width), in double precision."""
    q, k, v = (x.transpose(0, 1).double() for x in (query, key, value))
    scores = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5
    if causal:
        row, column = torch.arange(len(query))[:, None], torch.arange(len(key))
        scores = scores.masked_fill(column > row + len(key) - len(query), float("-inf"))
    return (scores.softmax(-1) @ v).transpose(0, 1).float()


@pytest.mark.parametrize("causal", [False, True])
def test_sequences_see_themselves_alone_and_the_last_query_all_of_its_keys(causal: bool) -> None:
    asking, asked, used = spans(3, 0, 5), spans(10, 4, 5), torch.tensor([7, 4, 5], dtype=torch.int32)
    query, (key, value) = torch.randn(8, 2, 16), torch.randn(2, 19, 2, 16)
    found = attend_one_by_one(query, key, value, asking, asked, used, causal)
    for rows, columns in ((slice(0, 3), slice(0, 7)), (slice(3, 8), slice(14, 19))):
        expected = written_out(query[rows], key[columns], value[columns], causal)
        assert (found[rows] - expected).abs().max() < 1e-5


@pytest.mark.parametrize("kernel", [PUBLIC, OPERATOR], ids=["public", "operator"])
@pytest.mark.parametrize("is_counted", [False, True])
def test_this_torch_takes_what_it_is_given(kernel: VarlenKernel, is_counted: bool) -> None:
    """On tensors without data, which go through all but the computation."""
    query = torch.empty(8, 2, 64, dtype=torch.bfloat16, device="meta")
    key, value = torch.empty(2, 24, 2, 64, dtype=torch.bfloat16, device="meta")
    starts = torch.empty(4, dtype=torch.int32, device="meta")
    used = torch.empty(3, dtype=torch.int32, device="meta") if is_counted else None
    for causal in (False, True):
        found = kernel.attend(query, key, value, Spans(starts, 5), Spans(starts, 10), used, causal)
        assert found.shape == query.shape and found.dtype == query.dtype


def test_a_kernel_that_is_absent_or_wrong_is_found_out() -> None:
    def wrong(*about: object) -> torch.Tensor:
        return attend_one_by_one(*about) + 0.1  # type: ignore[arg-type]

    assert fault_of(ONE_BY_ONE.attend, CPU, torch.float32, 64) is None
    assert fault_of(ONE_BY_ONE.attend, CPU, torch.bfloat16, 64) is None
    assert "not close" in str(fault_of(wrong, CPU, torch.float32, 64))  # type: ignore[arg-type]
    assert "CPU" in str(fault_of(OPERATOR.attend, CPU, torch.bfloat16, 64))


def test_the_operator_is_used_where_the_public_call_takes_no_lengths(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in torch 2.11."""

    def older(
        query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *starts: object, window_size: tuple[int, int]
    ) -> torch.Tensor:
        raise AssertionError("it would not see the lengths")

    class Cuda:
        type = "cuda"

    def try_here(attend: object, device: object, dtype: torch.dtype, width: int) -> str | None:
        return fault_of(attend, CPU, dtype, width)  # type: ignore[arg-type]

    monkeypatch.setattr(torch.nn.attention.varlen, "varlen_attn", older)
    monkeypatch.setattr(varlen, "fault_of", try_here)
    with pytest.warns(UserWarning, match="read as far as the longest.*unexpected keyword argument 'seqused_k'.*CPU"):
        assert choose_varlen(Cuda(), torch.bfloat16, 64) is None  # type: ignore[arg-type]
    there = VarlenKernel("operator", attend_one_by_one)
    monkeypatch.setattr(varlen, "OPERATOR", there)
    assert choose_varlen(Cuda(), torch.bfloat16, 64) is there  # type: ignore[arg-type]
    assert choose_varlen(Cuda(), torch.float32, 64) is None  # type: ignore[arg-type]

import pytest
import torch
import torch.nn.attention.varlen

import renderer.attention
from renderer.attention import KeyValueCache
from renderer.ragged_attention import has_ragged_attention
from tests.renderer.ragged import varlen_reference

HEADS, WIDTH = 16, 64
USED = [700, 0, 130, 65]


def filled_cache(dtype: torch.dtype, slots: int) -> KeyValueCache:
    cache = KeyValueCache(1, slots, HEADS, WIDTH, dtype, torch.device("cpu"))
    cache.reserve(max(USED))
    random = torch.Generator().manual_seed(0)
    for tensor in (cache.keys, cache.values):
        tensor.copy_(torch.randn(tensor.shape, generator=random))
    return cache


def attended(cache: KeyValueCache, extents: tuple[int, ...], used: list[int]) -> torch.Tensor:
    random = torch.Generator().manual_seed(1)
    query, key, value = torch.randn(3, len(USED), HEADS, 1, WIDTH, generator=random)[:, : len(used)].to(
        cache.keys.dtype
    )
    positions = torch.tensor([max(0, positions - 1) for positions in used])
    return cache.attend(positions, extents)(0, query, key, value)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.inference_mode()
def test_slots_that_are_read_apart_see_what_they_see_together(dtype: torch.dtype) -> None:
    cache = filled_cache(dtype, len(USED))
    together = attended(cache, (704,), USED)
    apart = attended(cache, (704, 64, 192, 128), USED)
    for slot, used in enumerate(USED):
        if used:
            assert torch.allclose(
                apart[slot].float(), together[slot].float(), atol=1e-2 if dtype.itemsize == 2 else 1e-5
            )
    alone, filled = KeyValueCache(1, 1, HEADS, WIDTH, dtype, torch.device("cpu")), filled_cache(dtype, len(USED))
    alone.reserve(max(USED))
    alone.keys.copy_(filled.keys[:, :1])
    alone.values.copy_(filled.values[:, :1])
    assert torch.equal(attended(alone, (704,), USED[:1])[0], apart[0])


@torch.inference_mode()
def test_ragged_attention_sees_what_a_mask_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    masked = filled_cache(torch.float32, len(USED))
    expected = attended(masked, (704,), USED)
    monkeypatch.setattr(renderer.attention, "has_ragged_attention", lambda *about: True)
    monkeypatch.setattr(torch.nn.attention.varlen, "varlen_attn", varlen_reference)
    ragged = KeyValueCache(1, len(USED), HEADS, WIDTH, torch.float32, torch.device("cpu"))
    ragged.reserve(130)
    assert ragged.capacity == 192 and ragged.extents(USED) == (192,)
    ragged.keys.copy_(filled_cache(torch.float32, len(USED)).keys[:, :, :, :192])
    ragged.reserve(700)
    assert torch.equal(ragged.keys[:, :, :, :192], filled_cache(torch.float32, len(USED)).keys[:, :, :, :192])
    fresh = filled_cache(torch.float32, len(USED))
    ragged.keys.copy_(fresh.keys)
    ragged.values.copy_(fresh.values)
    found = attended(ragged, ragged.extents(USED), USED)
    for slot, used in enumerate(USED):
        if used:
            assert torch.allclose(found[slot], expected[slot], atol=1e-5)
    assert torch.equal(ragged.keys, masked.keys) and torch.equal(ragged.values, masked.values)


def test_extents_are_a_few_sizes_and_never_beyond_the_cache() -> None:
    long, short = (KeyValueCache(1, 4, heads, 64, torch.float32, torch.device("cpu")) for heads in (16, 2))
    for cache in (long, short):
        cache.reserve(700)
    assert long.extents(USED) == (704, 64, 192, 128)
    assert short.extents(USED) == (704,)
    assert long.extents([0, 0, 1, 64]) == (64, 64, 64, 64)


def test_where_the_kernel_fails_decoding_goes_on_without_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, about = torch.device("cpu"), (torch.bfloat16, 64)
    assert not has_ragged_attention(cpu, *about)

    class Cuda:
        type = "cuda"

    made, tensor = torch.linspace, torch.tensor
    monkeypatch.setattr(torch, "linspace", lambda *sizes, device: made(*sizes))
    monkeypatch.setattr(torch, "tensor", lambda data, dtype, device: tensor(data, dtype=dtype))
    with pytest.warns(UserWarning, match="reads all segments as far as the longest.*CPU"):
        assert not has_ragged_attention(Cuda(), *about)  # type: ignore[arg-type]
    monkeypatch.setattr(torch.nn.attention.varlen, "varlen_attn", varlen_reference)
    assert has_ragged_attention(Cuda(), *about)  # type: ignore[arg-type]
    monkeypatch.setattr(torch.nn.attention.varlen, "varlen_attn", lambda *a, **b: varlen_reference(*a, **b) + 0.1)
    with pytest.warns(UserWarning, match="not close"):
        assert not has_ragged_attention(Cuda(), *about)  # type: ignore[arg-type]

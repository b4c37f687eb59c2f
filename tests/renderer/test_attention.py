import pytest
import torch

from renderer.attention import CachedAttention, KeyValueCache

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
    return CachedAttention(cache, positions, extents)(0, query, key, value)


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
    alone = filled_cache(dtype, len(USED))
    alone.keys, alone.values = alone.keys[:, :1], alone.values[:, :1]
    assert torch.equal(attended(alone, (704,), USED[:1])[0], apart[0])


def test_extents_are_a_few_sizes_and_never_beyond_the_cache() -> None:
    long, short = (KeyValueCache(1, 4, heads, 64, torch.float32, torch.device("cpu")) for heads in (16, 2))
    for cache in (long, short):
        cache.reserve(700)
    assert long.extents(USED) == (704, 64, 192, 128)
    assert short.extents(USED) == (704,)
    assert long.extents([0, 0, 1, 64]) == (64, 64, 64, 64)

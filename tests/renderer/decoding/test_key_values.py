"""All caches see the same, and in each a slot's result is its own."""

from collections.abc import Callable

import pytest
import torch

import renderer.device
from renderer.decoding.key_values import make_cache
from renderer.decoding.key_values.cache import KeyValueCache
from renderer.decoding.key_values.masked_cache import MaskedCache
from renderer.decoding.key_values.row_sum_cache import RowSumCache
from renderer.device import adds_up_rows_fast, cache_dtype

LAYERS, HEADS, WIDTH = 2, 16, 64
CPU = torch.device("cpu")
USED = [700, 0, 130, 65]
"""Positions that each slot holds with the new one; the second slot is free."""

MakeCache = Callable[[int], KeyValueCache]


def masked(slots: int, dtype: torch.dtype = torch.float32) -> MaskedCache:
    return MaskedCache(LAYERS, slots, HEADS, WIDTH, dtype, CPU)


def row_sums(slots: int, dtype: torch.dtype = torch.float32) -> RowSumCache:
    return RowSumCache(LAYERS, slots, HEADS, WIDTH, dtype)


MAKERS: dict[str, MakeCache] = {
    "masked, fp32": masked,
    "masked, bf16": lambda slots: masked(slots, torch.bfloat16),
    "row sums, fp32": row_sums,
    "row sums, fp16": lambda slots: row_sums(slots, torch.float16),
}


def past(slot: int) -> torch.Tensor:
    """Keys and values of a slot, (2, LAYERS, HEADS, positions before the new one, WIDTH)."""
    random = torch.Generator().manual_seed(slot)
    return torch.randn(2, LAYERS, HEADS, max(0, USED[slot] - 1), WIDTH, generator=random)


def attended(cache: KeyValueCache, slots: list[int], extents: tuple[int, ...] | None = None) -> torch.Tensor:
    """Fill a cache with what these slots hold and do the last layer's step: (slots, HEADS, 1, WIDTH)."""
    for place, slot in enumerate(slots):
        keys, values = past(slot)
        # As it goes on in a run: room is made as segments come, and each layer is filled.
        cache.reserve(max(1, USED[slot]))
        for layer in range(LAYERS):
            cache.fill(layer, place, keys[layer], values[layer])
    used = [USED[slot] for slot in slots]
    positions = torch.tensor([max(0, held - 1) for held in used])
    random = torch.Generator().manual_seed(99)
    query, key, value = torch.randn(3, len(USED), HEADS, 1, WIDTH, generator=random)[:, slots]
    attend = cache.attend(positions, extents or cache.extents(used))
    for layer in range(LAYERS - 1):
        attend(layer, query, key, value)
    return attend(LAYERS - 1, query, key, value)


def expected(slot: int) -> torch.Tensor:
    """Written out: softmax of scaled products, (HEADS, 1, WIDTH)."""
    random = torch.Generator().manual_seed(99)
    query, key, value = torch.randn(3, len(USED), HEADS, 1, WIDTH, generator=random)[:, slot].double()
    keys, values = past(slot)[:, LAYERS - 1].double()
    keys, values = torch.cat([keys, key], dim=1), torch.cat([values, value], dim=1)
    return ((query @ keys.transpose(1, 2) / WIDTH**0.5).softmax(-1) @ values).float()


@pytest.mark.parametrize("name", MAKERS)
@torch.inference_mode()
def test_a_step_sees_all_that_its_slot_holds_and_nothing_else(name: str) -> None:
    found = attended(MAKERS[name](len(USED)), list(range(len(USED))))
    for slot, used in enumerate(USED):
        if used:
            bound = {"bf16": 2e-2, "fp16": 2e-3}.get(name[-4:], 1e-5)
            assert (found[slot] - expected(slot)).abs().max() < bound, slot


@pytest.mark.parametrize("name", MAKERS)
@torch.inference_mode()
def test_company_does_not_change_a_slot_by_a_bit(name: str) -> None:
    together = attended(MAKERS[name](len(USED)), [0, 1, 2, 3])
    for slots in ([0], [3, 0], [2, 3, 1]):
        apart = attended(MAKERS[name](len(slots)), slots)
        for place, slot in enumerate(slots):
            if USED[slot]:
                assert torch.equal(apart[place], together[slot]), slot


@pytest.mark.parametrize("name", MAKERS)
@torch.inference_mode()
def test_slots_behind_the_first_are_neither_read_nor_written(name: str) -> None:
    cache, alone = MAKERS[name](len(USED)), MAKERS[name](2)
    attended(cache, [0, 1, 2, 3])
    keys, values = cache.keys[:, 2:].clone(), cache.values[:, 2:].clone()
    assert torch.equal(attended(cache, [0, 3]), attended(alone, [0, 3]))
    assert torch.equal(cache.keys[:, 2:], keys) and torch.equal(cache.values[:, 2:], values)


@pytest.mark.parametrize("name", MAKERS)
@torch.inference_mode()
def test_a_slot_can_be_moved(name: str) -> None:
    cache, alone = MAKERS[name](2), MAKERS[name](1)
    attended(cache, [0, 2])
    attended(alone, [2])
    cache.move(1, 0)
    positions = torch.tensor([USED[2]])
    query, key, value = torch.randn(3, 1, HEADS, 1, WIDTH)
    moved, unmoved = (each.attend(positions, each.extents([USED[2] + 1])) for each in (cache, alone))
    for layer in range(LAYERS):
        assert torch.equal(moved(layer, query, key, value), unmoved(layer, query, key, value))


@pytest.mark.parametrize("name", MAKERS)
@torch.inference_mode()
def test_a_slot_forgets_the_segment_before(name: str) -> None:
    fresh, used = MAKERS[name](1), MAKERS[name](1)
    attended(used, [0])
    assert torch.equal(attended(used, [3]), attended(fresh, [3]))


@torch.inference_mode()
def test_one_extent_for_all_shows_the_mask_what_extents_of_each_do() -> None:
    together = attended(masked(len(USED)), list(range(len(USED))), (704,))
    apart = attended(masked(len(USED)), list(range(len(USED))), (704, 64, 192, 128))
    held = [slot for slot, used in enumerate(USED) if used]
    assert torch.allclose(apart[held], together[held], atol=1e-5)


def test_room_is_made_in_steps_and_extents_are_a_few_sizes() -> None:
    for make in (masked, row_sums):
        cache = make(4)
        assert cache.capacity == 0
        for positions, capacity in ((1, 64), (64, 64), (700, 704), (130, 704)):
            cache.reserve(positions)
            assert cache.capacity == capacity
    assert row_sums(4).extents(USED) == masked(4).extents(USED) == (704, 64, 192, 128)
    assert MaskedCache(1, 4, 2, 64, torch.float32, CPU).extents(USED) == (704,)


def test_a_cpu_with_fbgemm_adds_up_rows_of_fp32_and_fp16(monkeypatch: pytest.MonkeyPatch) -> None:
    def kind(dtype: torch.dtype) -> str:
        return type(make_cache(1, 1, 2, 64, dtype, CPU)).__name__

    monkeypatch.setattr(renderer.device, "has_fbgemm", lambda: True)
    assert [kind(dtype) for dtype in (torch.float32, torch.float16)] == ["RowSumCache"] * 2
    assert kind(torch.bfloat16) == "MaskedCache"
    assert not adds_up_rows_fast(torch.device("meta"), torch.float32)
    monkeypatch.setattr(renderer.device, "has_fbgemm", lambda: False)
    assert kind(torch.float32) == "MaskedCache"


def test_what_a_cache_keeps_depends_on_what_the_cpu_reads_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    for has_amx, bf16 in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda has_amx=has_amx: has_amx)
        kept = [cache_dtype(CPU, dtype) for dtype in (torch.float32, torch.bfloat16, torch.float16)]
        assert kept == [torch.float32, bf16, torch.float16]

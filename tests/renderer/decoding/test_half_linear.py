"""Products with weights in fp16."""

import itertools

import pytest
import torch
from torch.nn import functional as F

import renderer.decoding.half_linear
import renderer.device
from renderer.decoding.half_linear import HalfLinear, alike_rows
from renderer.device import choose_precision, has_fbgemm

pytestmark = pytest.mark.skipif(not has_fbgemm(), reason="needs FBGEMM: x86 with AVX2")


def layer(inputs: int, outputs: int) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(inputs)
    return torch.randn(outputs, inputs, generator=random) / inputs**0.5, torch.randn(outputs, generator=random)


@pytest.mark.parametrize(("inputs", "outputs"), [(256, 768), (1024, 256), (256, 1025), (64, 65)])
def test_only_the_weights_are_rounded(inputs: int, outputs: int) -> None:
    weight, bias = layer(inputs, outputs)
    x = torch.randn(16, 1, inputs)
    assert torch.allclose(HalfLinear(weight, bias)(x), F.linear(x, weight.half().float(), bias), atol=1e-5)
    found, exact = HalfLinear(weight)(x), F.linear(x, weight)
    assert found.shape == exact.shape
    assert 1e-5 < (found - exact).norm() / exact.norm() < 5e-4


@pytest.mark.parametrize(("inputs", "outputs"), [(256, 768), (1024, 256), (256, 1025)])
def test_a_row_comes_out_the_same_in_any_place_and_company(inputs: int, outputs: int) -> None:
    product = HalfLinear(*layer(inputs, outputs))
    x = torch.randn(300, inputs)
    whole = product(x)
    for rows in [*range(1, 40), 64, 127, 128, 129]:
        assert torch.equal(product(x[:rows]), whole[:rows]), rows
        assert torch.equal(product(x[-rows:]), whole[-rows:]), rows


def test_the_default_batch_is_not_filled_up() -> None:
    assert alike_rows(16) == 16


def test_a_cpu_on_which_no_number_of_rows_is_multiplied_alike_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    added = itertools.count()
    monkeypatch.setattr(renderer.decoding.half_linear, "_product", lambda rows, packed: rows + next(added))
    with pytest.raises(RuntimeError, match=r"does not multiply 1 rows or more alike: use --precision fp32"):
        alike_rows.__wrapped__(1)


def test_a_weight_that_fp16_cannot_hold_is_refused() -> None:
    for broken in (1e5, float("nan")):
        weight, bias = layer(64, 64)
        weight[3, 4] = broken
        with pytest.raises(ValueError, match=r"a weight of the model is (100000|nan).*--precision fp32"):
            HalfLinear(weight, bias)


def test_fp16_is_for_cpus_that_have_it_and_their_default_without_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    assert choose_precision("auto", "cpu") == choose_precision("fp16", "cpu") == "fp16"
    assert choose_precision("auto", "cuda") == "bf16"
    with pytest.raises(ValueError, match="'fp16' is for x86 CPUs with AVX2; use one of auto, fp32, bf16"):
        choose_precision("fp16", "cuda")
    monkeypatch.setattr(renderer.device, "has_fbgemm", lambda: False)
    assert choose_precision("auto", "cpu") == "fp32"
    with pytest.raises(ValueError, match="'fp16' is for x86 CPUs"):
        choose_precision("fp16", "cpu")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    assert choose_precision("auto", "cpu") == "bf16"

"""What a renderer does on CUDA, done on a CPU: passes over packs, clips by the batch, audio that comes late."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

import renderer.codecs.touch
import renderer.decoding.runners
import renderer.renderer
from renderer import Renderer, RenderRequest
from renderer.codecs.sinusoidal_codec import SinusoidalCodec
from renderer.decoding.runners.packed_runner import PackedRunner, PackedSizes
from renderer.midi.notes import NoteReport, Notes, Performance
from renderer.model.varlen import ONE_BY_ONE
from renderer.prompt import Prompt
from renderer.rendering import Rendering
from renderer.transfer import Fetch

GOLDEN = Path(__file__).parents[1] / "fixtures" / "golden" / "golden.npz"
SECONDS = (1.0, 3.5, 0.6, 11.5, 2.0)
"""One of them is of two segments."""

SIZES = PackedSizes(step=8, prefill=512, complete=2048, positions=800, frames=600, steps=8, refill=4, completes=3)


def requests() -> list[RenderRequest]:
    with np.load(GOLDEN) as file:
        codes = torch.from_numpy(file["prompt_codes"])
    prompt = Prompt("golden", codes, Notes.of([0.5, 1.5], [1.0, 2.5], [60, 67], [70, 80]))
    found = []
    for number, seconds in enumerate(SECONDS):
        random = np.random.default_rng(number)
        onset = random.uniform(0, seconds - 0.2, int(6 * seconds))
        keys, velocity = random.integers(36, 96, len(onset)), random.integers(30, 110, len(onset))
        notes = Performance(Notes.of(onset, onset + 0.2, keys, velocity), NoteReport())
        found.append(RenderRequest(f"{number}", notes, prompt, seed=number))
    return found


def load(batch_size: int) -> Renderer:
    return Renderer.load("mini", device="cpu", precision="fp32", batch_size=batch_size)


@pytest.fixture
def policy_of_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renderer.decoding.runners, "choose_varlen", lambda *about: ONE_BY_ONE)
    monkeypatch.setattr(PackedSizes, "made_for", lambda *about: SIZES)
    monkeypatch.setattr(SinusoidalCodec, "clips_at_once", 4)
    monkeypatch.setattr(renderer.renderer, "fetches_at_once", lambda device: 2)
    monkeypatch.setattr(renderer.codecs.touch, "skips_silent_keys", lambda device: False)


def rendered(renderer: Renderer, some: Sequence[RenderRequest]) -> dict[str, Rendering]:
    return {each.item_id: each for each in renderer.render(some)}


@pytest.fixture(scope="module")
def on_a_cpu() -> dict[str, Rendering]:
    return rendered(load(4), requests())


@pytest.mark.usefixtures("policy_of_cuda")
def test_it_renders_what_the_policy_of_cpus_renders(on_a_cpu: dict[str, Rendering]) -> None:
    found = load(8)
    assert isinstance(found.engine.runner, PackedRunner)
    same = 0
    for item_id, rendering in rendered(found, requests()).items():
        expected = on_a_cpu[item_id]
        assert len(rendering.samples) == len(expected.samples) and rendering.segments == expected.segments
        assert rendering.codes is not None and expected.codes is not None
        if np.array_equal(rendering.codes, expected.codes):
            same += 1
            np.testing.assert_allclose(rendering.samples, expected.samples, rtol=0, atol=1e-4)
    assert len(on_a_cpu) == len(SECONDS) and on_a_cpu["3"].segments == 2
    # Sums in another order may turn a code that was as likely as its neighbour, but hardly ever do.
    assert same >= len(SECONDS) - 1


@pytest.mark.usefixtures("policy_of_cuda")
def test_company_order_and_slots_change_no_byte() -> None:
    wanted = requests()
    together = rendered(load(8), wanted)
    for slots, some in ((8, wanted[::-1]), (3, wanted), (8, wanted[3:4])):
        for item_id, rendering in rendered(load(slots), some).items():
            assert rendering.samples.tobytes() == together[item_id].samples.tobytes(), (slots, item_id)


@pytest.mark.usefixtures("policy_of_cuda")
def test_no_step_waits_for_audio_that_is_on_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes late: while there are steps to make, they are made; only at the end somebody waits."""
    monkeypatch.setattr(SinusoidalCodec, "clips_at_once", 2)
    found = load(2)
    expected = rendered(found, requests())
    waited: list[bool] = []

    class LateFetch(Fetch):
        is_there = False

        def result(self) -> list[torch.Tensor]:
            waited.append(found.engine.is_idle)
            return super().result()

    monkeypatch.setattr(renderer.renderer, "Fetch", LateFetch)
    late = rendered(found, requests())
    assert {item_id: each.samples.tobytes() for item_id, each in late.items()} == {
        item_id: each.samples.tobytes() for item_id, each in expected.items()
    }
    assert len(waited) > len(SECONDS) and all(waited)

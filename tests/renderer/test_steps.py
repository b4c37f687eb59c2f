"""Requests are given as there is room for them, whoever renders them."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from renderer.midi.notes import NoteReport, Notes, Performance
from renderer.prompt import Prompt
from renderer.rendering import Rendering, RenderRequest
from renderer.steps import OneByOne, StepRenderer, render_all
from tests.jobs.support.dummy import DummyRenderer
from tests.jobs.support.noise import NoiseBackend, NoiseRenderer

PROMPT = Prompt("plain", torch.zeros(150, 1, dtype=torch.int64), Notes.none())


def request(item_id: str) -> RenderRequest:
    notes = Notes.of([0.1], [0.3], [60], [64])
    return RenderRequest(item_id, Performance(notes, NoteReport()), PROMPT, tail=0.2)


@pytest.fixture(params=[lambda: DummyRenderer(0.0), lambda: NoiseRenderer(NoiseBackend())], ids=["dummy", "one by one"])
def renderer(request: pytest.FixtureRequest) -> StepRenderer:
    made: StepRenderer = request.param()
    return made


def test_all_are_rendered_and_no_more_are_asked_for_than_there_is_room_for(renderer: StepRenderer) -> None:
    room, asked, finished = renderer.room, 0, []

    def requests() -> Iterator[RenderRequest]:
        nonlocal asked
        for number in range(7):
            asked += 1
            yield request(str(number))

    for rendering in render_all(renderer, requests()):
        finished.append(rendering.item_id)
        assert asked <= len(finished) + room
    assert sorted(finished) == list("0123456") and renderer.is_idle and renderer.room == room


def test_what_is_cleared_is_gone_and_what_follows_is_not_changed(renderer: StepRenderer) -> None:
    (expected,) = render_all(renderer, [request("b")])
    renderer.add(request("a"))
    assert not renderer.is_idle
    renderer.clear()
    assert renderer.is_idle and renderer.step() == [] and not renderer.progress()
    (found,) = render_all(renderer, [request("b")])
    assert found.item_id == "b" and found.samples.tobytes() == expected.samples.tobytes()
    assert len(found.samples) == round(request("b").duration * found.sample_rate)


def test_a_renderer_that_fails_goes_on_with_what_follows() -> None:
    class Failing(OneByOne):
        def rendering(self, request: RenderRequest) -> Rendering:
            if request.item_id == "bad":
                raise ValueError("bad")
            return Rendering(request.item_id, np.zeros(8, np.float32), 8, 1.0, Notes.none(), NoteReport(), 1, 0, "p")

    renderer = Failing()
    with pytest.raises(ValueError, match="bad"):
        list(render_all(renderer, [request("bad"), request("good")]))
    assert renderer.is_idle
    assert [rendering.item_id for rendering in render_all(renderer, [request("good")])] == ["good"]

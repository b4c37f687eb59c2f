"""Renderers that are given requests while they have room, and make steps until nothing is left."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from renderer.decoding.sampling import Sampling
from renderer.decoding.schedule import Occupancy
from renderer.rendering import Rendering, RenderRequest


class StepRenderer(Protocol):
    """Add requests while there is ``room``, and make steps until it ``is_idle``.

    After an error in ``step`` nothing is under way; after one in ``add``, nothing was added.
    """

    @property
    def room(self) -> int:
        """How many more requests are to be added, so that no step is made with less than could be."""
        ...

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way."""
        ...

    def add(self, request: RenderRequest) -> None:
        """Render a request, beside what is under way."""
        ...

    def step(self, sampling: Sampling | None = None) -> list[Rendering]:
        """Do a little of the work; the renderings that are finished with it, mostly none."""
        ...

    def clear(self) -> None:
        """Drop all that is under way."""
        ...

    def progress(self) -> Mapping[str, float]:
        """Of each item under way, the seconds of audio that are generated so far."""
        ...


def render_all(
    renderer: StepRenderer, requests: Iterable[RenderRequest], sampling: Sampling | None = None
) -> Iterator[Rendering]:
    """Requests, taken as there is room for them; their renderings in the order in which they finish."""
    left = iter(requests)
    while True:
        while renderer.room and (request := next(left, None)) is not None:
            renderer.add(request)
        if renderer.is_idle:
            return
        yield from renderer.step(sampling)


class OneByOne(ABC):
    """A ``StepRenderer`` that makes a whole rendering in each step, without a model."""

    batch_plan = None
    batch_size = None
    occupancy = Occupancy()

    def __init__(self) -> None:
        self._request: RenderRequest | None = None

    @abstractmethod
    def rendering(self, request: RenderRequest) -> Rendering:
        """Render a request."""

    @property
    def room(self) -> int:
        """See ``StepRenderer``."""
        return 1 if self._request is None else 0

    @property
    def is_idle(self) -> bool:
        """See ``StepRenderer``."""
        return self._request is None

    def add(self, request: RenderRequest) -> None:
        """See ``StepRenderer``."""
        self._request = request

    def step(self, sampling: Sampling | None = None) -> list[Rendering]:
        """See ``StepRenderer``; nothing is drawn."""
        request, self._request = self._request, None
        return [] if request is None else [self.rendering(request)]

    def clear(self) -> None:
        """See ``StepRenderer``."""
        self._request = None

    def progress(self) -> Mapping[str, float]:
        """See ``StepRenderer``; there is nothing between none and all."""
        return {}

"""To the device and back, without the host waiting for it; and how far the host may run ahead."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch


def sent(tensors: Sequence[torch.Tensor], device: torch.device) -> list[torch.Tensor]:
    """CPU tensors on the device: in one copy, out of memory that the device reads by itself while the host goes on."""
    sizes = [-(-tensor.numel() * tensor.element_size() // 16) * 16 for tensor in tensors]
    buffer = torch.empty(sum(sizes), dtype=torch.uint8, pin_memory=device.type == "cuda")
    for tensor, part in zip(tensors, buffer.split(sizes), strict=True):
        _as(tensor, part).copy_(tensor)
    there = buffer.to(device, non_blocking=True)
    return [_as(tensor, part) for tensor, part in zip(tensors, there.split(sizes), strict=True)]


def _as(tensor: torch.Tensor, part: torch.Tensor) -> torch.Tensor:
    """Bytes as a tensor like another."""
    return part[: tensor.numel() * tensor.element_size()].view(tensor.dtype).view(tensor.shape)


class Fetch:
    """Tensors on their way to the host, as they are when this is made."""

    def __init__(self, tensors: Sequence[torch.Tensor]) -> None:
        self._event: torch.cuda.Event | None = None
        if tensors and tensors[0].is_cuda:
            self._here = [torch.empty(each.shape, dtype=each.dtype, pin_memory=True) for each in tensors]
            for here, there in zip(self._here, tensors, strict=True):
                here.copy_(there, non_blocking=True)
            self._event = torch.cuda.Event(blocking=True)
            self._event.record()
        else:
            self._here = [each.cpu() for each in tensors]

    @property
    def is_there(self) -> bool:
        """Whether nobody would have to wait for them."""
        return self._event is None or self._event.query()

    def result(self) -> list[torch.Tensor]:
        """The tensors, waited for if need be."""
        if self._event is not None:
            self._event.synchronize()
        return self._here


class Lanes:
    """Two streams of a GPU: what must come first, and what the GPU does beside it when it has room.

    Without ``is_on``, and on a CPU, all goes one after the other.
    """

    def __init__(self, device: torch.device, is_on: bool) -> None:
        self._streams: tuple[torch.cuda.Stream, torch.cuda.Stream] | None = None
        if is_on and device.type == "cuda":
            self._streams = torch.cuda.Stream(device, priority=-1), torch.cuda.Stream(device, priority=0)

    @contextmanager
    def first(self) -> Iterator[None]:
        """What is asked for inside comes first, after all that was asked for outside."""
        if self._streams is None:
            yield
            return
        self._streams[0].wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._streams[0]):
            yield

    @contextmanager
    def beside(self, given: Iterable[torch.Tensor]) -> Iterator[None]:
        """What is asked for inside is done beside the rest, when all that was asked for before is done.

        It may read ``given``, tensors that are made in the first lane; nothing in that lane reads its results.
        """
        if self._streams is None:
            yield
            return
        first, beside = self._streams
        beside.wait_stream(first)
        for tensor in given:
            tensor.record_stream(beside)
        with torch.cuda.stream(beside):
            yield


class Backlog:
    """Lets the host run ahead of the device by some calls and no more: what it asks for takes memory."""

    def __init__(self, calls: int, device: torch.device) -> None:
        self._calls, self._is_on = calls, device.type == "cuda"
        self._events: deque[torch.cuda.Event] = deque()

    def add(self) -> None:
        """Count all that was asked for since the last call as one; wait while there are more than allowed."""
        if not self._is_on:
            return
        self._events.append(torch.cuda.Event(blocking=True))
        self._events[-1].record()
        while len(self._events) > self._calls:
            self._events.popleft().synchronize()

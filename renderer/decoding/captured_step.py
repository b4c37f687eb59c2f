"""A step that is launched as one: where launching its kernels one by one would take longer than they do."""

import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from renderer.device import is_out_of_memory

Kind = TypeVar("Kind", bound=Hashable)


class Graph(Protocol):
    """What was recorded of a step."""

    def replay(self) -> None:
        """Do it again, with what its tensors hold by now."""
        ...


Capture = Callable[[Callable[[], None], Graph | None], Graph]
"""Records what a call does, without doing it; the memory for it may be shared with another graph, if there is one."""


def capture_on(device: torch.device) -> Capture | None:
    """How steps are recorded on a device; None on a CPU.

    There a step costs what its kernels cost, and compiled ones measured slower than torch's own.
    """
    return _cuda_graph if device.type == "cuda" else None


def _cuda_graph(work: Callable[[], None], other: Graph | None) -> torch.cuda.CUDAGraph:
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, pool=other.pool() if isinstance(other, torch.cuda.CUDAGraph) else None):
        work()
    return graph


class CapturedStep(Generic[Kind]):
    """Runs ``step(kind)``, recorded once for all of a kind where there is a ``capture``.

    A step reads and writes nothing but ``tensors()``, in place, and reads ``weights``, which never move: a graph holds
    their addresses, so that where one of ``tensors()`` has moved or grown it is captured again. The first step of its
    kind runs as it is, which also warms up what must not be captured. There the step is watched: if it touches a tensor
    that is in neither list, RuntimeError, as a graph would go on with it for ever. Where capturing fails it is given up
    for good, with a warning.
    """

    def __init__(
        self,
        step: Callable[[Kind], None],
        tensors: Callable[[], Iterable[torch.Tensor]],
        weights: Iterable[torch.Tensor],
        capture: Capture | None,
    ) -> None:
        self._step, self._tensors, self._capture = step, tensors, capture
        self._weights = {_place(weight) for weight in weights}
        self._graphs: dict[Kind, Graph | None] = {}
        self._places: tuple[object, ...] = ()

    def __call__(self, kind: Kind) -> None:
        """Do the step."""
        if self._capture is None:
            self._step(kind)
            return
        places = tuple((tensor.data_ptr(), tensor.shape) for tensor in self._tensors())
        if places != self._places:
            self._graphs, self._places = {}, places
        if kind not in self._graphs:
            self._watched(kind)
            self._graphs[kind] = None
            return
        graph = self._graphs[kind] or self._captured(kind, self._capture)
        if graph is None:
            self._step(kind)
        else:
            graph.replay()

    def _watched(self, kind: Kind) -> None:
        known = [*self._tensors()]
        with _Watch() as watch:
            self._step(kind)
        allowed = self._weights | {_place(tensor) for tensor in known}
        device = known[0].device if known else None
        for place, tensor in watch.outside.items():
            if place not in allowed and tensor.device == device:
                raise RuntimeError(
                    f"a step of decoding touches a tensor {tuple(tensor.shape)} of {tensor.dtype} that it does not say "
                    "it works on; a captured one would not see where it moves"
                )

    def _captured(self, kind: Kind, capture: Capture) -> Graph | None:
        """Record a step, which does nothing yet; None if it cannot be."""
        other = next((graph for graph in self._graphs.values() if graph is not None), None)
        try:
            graph = capture(lambda: self._step(kind), other)
        except RuntimeError as error:
            if is_out_of_memory(error):  # A device that could, with a smaller batch.
                raise
            warnings.warn(f"decoding goes on without CUDA graphs, and slower: {error}", stacklevel=2)
            self._capture, self._graphs = None, {}
            return None
        self._graphs[kind] = graph
        return graph


class _Watch(TorchDispatchMode):
    """Finds the tensors that operations are given but did not make: ``outside``, by their places in memory."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.outside: dict[int, torch.Tensor] = {}
        self._made: set[int] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do an operation, and look at what it takes and gives."""
        if function is torch.ops.aten.lift_fresh.default:  # A number or an array that becomes a tensor.
            self._made.update(map(_place, _tensors_in(args)))
        for tensor in _tensors_in((args, kwargs)):
            if (place := _place(tensor)) and place not in self._made:
                self.outside.setdefault(place, tensor)
        result = function(*args, **(kwargs or {}))
        self._made.update(place for tensor in _tensors_in(result) if (place := _place(tensor)) not in self.outside)
        return result


def _tensors_in(values: object) -> Iterator[torch.Tensor]:
    return (value for value in tree_leaves(values) if isinstance(value, torch.Tensor))


def _place(tensor: torch.Tensor) -> int:
    """Where a tensor's memory begins, whatever part of it the tensor shows; 0 if there is none."""
    return tensor.untyped_storage().data_ptr()

"""A step that is launched as one: where launching its kernels one by one would take longer than they do."""

import warnings
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

import torch

Sizes = TypeVar("Sizes", bound=Hashable)


class CapturedStep(Generic[Sizes]):
    """Runs ``step(sizes)``, on CUDA as a graph that is captured once for all that have these sizes.

    A step reads and writes nothing but ``tensors()``, in place: a graph holds their addresses, so that where one of
    them has moved or grown it is captured again. The first step of its kind runs as it is, which also warms up what
    must not be captured. Where capturing fails it is given up for good, with a warning. On a CPU, where a step costs
    what its kernels cost, and compiled ones measured slower than torch's own, it is always run as it is.
    """

    def __init__(
        self,
        step: Callable[[Sizes], None],
        tensors: Callable[[], Iterable[torch.Tensor]],
        device: torch.device,
    ) -> None:
        self._step, self._tensors = step, tensors
        self._is_on = device.type == "cuda"
        self._graphs: dict[Sizes, torch.cuda.CUDAGraph | None] = {}
        self._places: tuple[object, ...] = ()

    def __call__(self, sizes: Sizes) -> None:
        """Do the step."""
        if not self._is_on:
            self._step(sizes)
            return
        places = tuple((tensor.data_ptr(), tensor.shape) for tensor in self._tensors())
        if places != self._places:
            self._graphs, self._places = {}, places
        if sizes not in self._graphs:
            self._graphs[sizes] = None
            self._step(sizes)
            return
        graph = self._graphs[sizes] or self._capture(sizes)
        if graph is None:
            self._step(sizes)
        else:
            graph.replay()

    def _capture(self, sizes: Sizes) -> "torch.cuda.CUDAGraph | None":
        """Record a step, which does nothing yet; None if it cannot be."""
        graph = torch.cuda.CUDAGraph()
        others = [other for other in self._graphs.values() if other is not None]
        try:
            with torch.cuda.graph(graph, pool=others[0].pool() if others else None):
                self._step(sizes)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            warnings.warn(f"decoding goes on without CUDA graphs, and slower: {error}", stacklevel=2)
            self._is_on, self._graphs = False, {}
            return None
        self._graphs[sizes] = graph
        return graph

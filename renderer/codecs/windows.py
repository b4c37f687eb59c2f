"""A convolutional network over clips of any lengths, in one shape: windows of as many frames, so many side by side.

A network that is given ever new lengths chooses its kernels anew for each, and one clip does not fill a GPU. In one
shape, what lies beside a window cannot change its sums either.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch.nn import functional

from renderer.device import WindowShape


class _Window(NamedTuple):
    """Frames [start, start + frames) of a clip, of which [first, stop) come out right."""

    clip: int
    start: int
    first: int
    stop: int


def in_windows(
    network: Callable[[torch.Tensor], torch.Tensor],
    clips: Sequence[torch.Tensor],
    shape: WindowShape,
    reach: int,
    samples: int = 1,
) -> list[torch.Tensor]:
    """Clips (C, T) through a network from (B, C, T) to (B, D, T * samples): (D, T * samples) of each.

    No output depends on more than ``reach`` frames to either side of its own, and the ends of a clip are what the
    network makes of ends. A clip that is shorter than a window goes alone.
    """
    windows = [window for number, clip in enumerate(clips) for window in _windows(number, clip.shape[1], shape, reach)]
    parts: list[list[torch.Tensor]] = [[] for _ in clips]
    for first in range(0, len(windows), shape.at_once):
        some = windows[first : first + shape.at_once]
        inputs = torch.stack([clips[w.clip][:, w.start : w.start + shape.frames] for w in some])
        outputs = network(functional.pad(inputs, (0, 0, 0, 0, 0, shape.at_once - len(some))))
        for window, output in zip(some, outputs, strict=False):
            right = slice((window.first - window.start) * samples, (window.stop - window.start) * samples)
            parts[window.clip].append(output[:, right])
    return [
        torch.cat(of_clip, dim=1) if of_clip else network(clip[None])[0]
        for clip, of_clip in zip(clips, parts, strict=True)
    ]


def _windows(clip: int, length: int, shape: WindowShape, reach: int) -> Iterator[_Window]:
    if length < shape.frames:
        return
    stop = 0
    while stop < length:
        first = stop
        # Right up to the beginning and the end of the clip, which are ends for the network, too.
        start = min(max(0, first - reach), length - shape.frames)
        end = start + shape.frames
        stop = length if end == length else end - reach
        yield _Window(clip, start, first, stop)

"""Two measurements of the same stretch of time, side by side."""

import numpy as np
from numpy.typing import NDArray

FloatMatrix = NDArray[np.floating]


def shortened(reference: FloatMatrix, candidate: FloatMatrix) -> tuple[FloatMatrix, FloatMatrix]:
    """Both (D, T), cut to the frames that both have. ValueError if they have none in common."""
    frames = min(reference.shape[-1], candidate.shape[-1])
    if not frames:
        raise ValueError("there is nothing to compare: one of the two has no frames")
    return reference[..., :frames], candidate[..., :frames]

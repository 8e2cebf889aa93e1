"""Missing pixels: kept out of the network, and put back after it.

A network needs a number for every pixel, so a missing one has the nearest valid
temperature, and what the network makes of it is masked again. The mask is never
guessed: a fine pixel is valid exactly where the coarse pixel above it was.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float32
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from pipeline import raster
from pipeline.errors import SkippedSceneError


def fill_nearest(temperature: Float32[NDArray[np.float32], "y x"]) -> Float32[NDArray[np.float32], "y x"]:
    """The scene without holes: every missing pixel takes the value of the nearest valid one.

    Args:
        temperature: (y, x) kelvin; whatever is not finite is missing.

    Returns:
        Same shape, finite everywhere; valid pixels are untouched.

    Raises:
        SkippedSceneError: If no pixel is valid.
    """
    missing = ~np.isfinite(temperature)
    if missing.all():
        raise SkippedSceneError(f"none of the {missing.size} pixels is valid, at least one is needed")
    return raster.fill_nearest(temperature.astype(np.float32, copy=False))


def near_missing(valid: Bool[NDArray[np.bool_], "y x"], reach_px: int) -> Bool[NDArray[np.bool_], "y x"]:
    """(y, x), true for valid pixels with a missing one at most `reach_px` rows and columns away."""
    if reach_px < 1 or valid.all():
        return np.zeros_like(valid)
    reached = maximum_filter(~valid, size=2 * reach_px + 1, mode="constant", cval=False)
    return np.asarray(valid & reached)


def near_border(shape: tuple[int, int], reach_px: int) -> Bool[NDArray[np.bool_], "y x"]:
    """(y, x), true where the outside of the scene is at most `reach_px` pixels away."""
    near = np.ones(shape, dtype=np.bool_)
    near[reach_px : max(shape[0] - reach_px, reach_px), reach_px : max(shape[1] - reach_px, reach_px)] = False
    return near

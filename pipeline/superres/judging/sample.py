"""Which part of a large scene is tested, so that judging does not grow with the scene.

A scene of at most `MOST_PIXELS` is tested whole. Of a larger one, windows are drawn at random by their
measured pixels, and each is tested as if it were a scene of its own. Their sides are whole multiples of every
block that is counted (tiles, areas, tapered tiles), so side by side no block lies in two of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float32, Float64
from numpy.typing import NDArray

from pipeline.grid import Window, tile_windows

SIDE_PX = 384
WINDOWS = 9
MOST_PIXELS = WINDOWS * SIDE_PX**2


def sample_windows(valid: Bool[NDArray[np.bool_], "y x"], generator: np.random.Generator) -> Sequence[Window]:
    """The windows that are tested; one over all of a scene that is not large.

    Args:
        valid: True where there is data.
        generator: Draws the windows; not asked where the scene is not large.
    """
    height, width = valid.shape
    side = min(SIDE_PX, height, width)
    if valid.size <= MOST_PIXELS:
        return [Window(0, 0, height, width)]
    windows = tile_windows((height // side * side, width // side * side), side)
    measured = np.asarray([np.count_nonzero(valid[window.slices]) for window in windows])
    count = min(WINDOWS, int(np.count_nonzero(measured)))
    if count == 0:
        return windows[:1]
    drawn = generator.choice(len(windows), count, replace=False, p=measured / measured.sum())
    return [windows[number] for number in sorted(drawn)]


def sample_figures(
    product: Float32[NDArray[np.float32], "y x"],
    truth: Float32[NDArray[np.float32], "y x"],
    compared: Bool[NDArray[np.bool_], "y x"],
    windows: int,
) -> Mapping[str, float | None]:
    """How many pixels were compared, and the standard error of their RMS error where they are a sample.

    Args:
        product: Recovered, working units; `windows` equal pieces side by side.
        truth: What was measured.
        compared: True where both are compared.
        windows: Pieces; of one, which is the whole scene, there is no error to state.
    """
    figures: dict[str, float | None] = {"selftest_pixels": float(np.count_nonzero(compared))}
    if windows == 1:
        return figures
    squares = np.where(compared, product - truth, 0).astype(np.float64) ** 2
    powers, pixels = (_by_piece(part, windows) for part in (squares, compared.astype(np.float64)))
    known = pixels > 0
    figures["selftest_rmse_error_k"] = _jackknife(powers[known], pixels[known])
    return figures


def _by_piece(values: Float64[NDArray[np.float64], "y x"], pieces: int) -> Float64[NDArray[np.float64], " n"]:
    return np.asarray([part.sum() for part in np.split(values, pieces, axis=1)])


def _jackknife(
    powers: Float64[NDArray[np.float64], " n"], pixels: Float64[NDArray[np.float64], " n"]
) -> float | None:
    """Standard error of the root of sum(powers) / sum(pixels), by leaving out one piece at a time."""
    count = powers.size
    if count < 2:
        return None
    without = np.sqrt((powers.sum() - powers) / (pixels.sum() - pixels))
    return math.sqrt((count - 1) / count * float(((without - without.mean()) ** 2).sum()))

"""The piece of a scene most worth looking at: where it changes most."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.grid import Window

_CELL_PX = 8  # texture is summed over cells first, so that a large scene costs little memory


def most_textured(temperature: NDArray[np.float32], size_px: int) -> Window:
    """The window of at most `size_px` scene pixels a side with the most texture among its valid pixels.

    Ties, and scenes without any texture, give the window nearest to the upper left corner.
    """
    height, width = min(size_px, temperature.shape[0]), min(size_px, temperature.shape[1])
    cells = _cell_texture(temperature)
    rows, columns = max(height // _CELL_PX, 1), max(width // _CELL_PX, 1)
    corner = np.pad(cells.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    sums = (
        corner[rows:, columns:]
        - corner[:-rows, columns:]
        - corner[rows:, :-columns]
        + corner[:-rows, :-columns]
    )
    row, column = np.unravel_index(int(np.argmax(sums)), sums.shape)
    top = min(int(row) * _CELL_PX, temperature.shape[0] - height)
    left = min(int(column) * _CELL_PX, temperature.shape[1] - width)
    return Window(top, left, height, width)


def _cell_texture(temperature: NDArray[np.float32]) -> NDArray[np.float64]:
    """Sum of the differences between neighboring 2 x 2 means, by cell; a band of cells at a time.

    Means, because noise and resampling patterns change from pixel to pixel and are not worth looking at.
    A difference counts for at most 5 K: one fire or cloud edge must not outweigh a city.
    """
    height, width = (-(-size // _CELL_PX) for size in temperature.shape)
    cells = np.zeros((height, width))
    for cell_row in range(height):
        band = temperature[cell_row * _CELL_PX : (cell_row + 1) * _CELL_PX + 3]
        means = (band[:-1, :-1] + band[1:, :-1] + band[:-1, 1:] + band[1:, 1:]) / 4
        steps = np.zeros((_CELL_PX, width * _CELL_PX))
        for difference in (means[2:, :] - means[:-2, :], means[:, 2:] - means[:, :-2]):
            inside = np.minimum(np.nan_to_num(np.abs(difference[:_CELL_PX])), 5)
            steps[: inside.shape[0], : inside.shape[1]] += inside
        cells[cell_row] = steps.reshape(_CELL_PX, width, _CELL_PX).sum(axis=(0, 2))
    return cells

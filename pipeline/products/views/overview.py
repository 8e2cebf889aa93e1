"""A large raster made small for a picture: block means, read piece by piece.

Before and after go through the same averaging, or the coarser picture would look
noisier than it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import xarray as xr
from jaxtyping import Float32
from numpy.typing import NDArray

from pipeline.grid import Window, tile_windows
from pipeline.raster import shrink_by

Reader = Callable[[Window], Float32[NDArray[np.float32], "h w"]]  # a window of a raster to its (y, x) pixels
READ_PX = 1024  # side of the piece that is held in memory


def array_reader(values: Float32[NDArray[np.float32], "y x"]) -> Reader:
    """Reads an array in memory."""
    return lambda window: values[window.slices]


def store_reader(values: xr.DataArray) -> Reader:
    """Reads a variable of an opened store."""
    return lambda window: np.asarray(values[window.slices])


def enlarged_reader(values: Float32[NDArray[np.float32], "y x"], scale: int) -> Reader:
    """Reads an array as if every pixel were scale x scale pixels (nearest neighbor)."""

    def read(window: Window) -> Float32[NDArray[np.float32], "h w"]:
        rows = np.arange(window.row, window.row + window.height) // scale
        columns = np.arange(window.column, window.column + window.width) // scale
        return values[np.ix_(rows, columns)]

    return read


def part_reader(read: Reader, part: Window) -> Reader:
    """Reads a part of a raster as if it were the whole."""
    return lambda window: read(
        Window(part.row + window.row, part.column + window.column, window.height, window.width)
    )


def shrink_factor(shape: tuple[int, int], limit_px: int) -> int:
    """The smallest whole factor that brings the long side within the limit; 1 where it is within."""
    return max(1, -(-max(shape) // limit_px))


def shrunk_shape(shape: tuple[int, int], factor: int) -> tuple[int, int]:
    """Rows and columns after shrinking; a last, incomplete block counts."""
    return -(-shape[0] // factor), -(-shape[1] // factor)


def shrink_pieces(
    read: Reader, shape: tuple[int, int], factor: int
) -> Iterator[tuple[Window, Float32[NDArray[np.float32], "h w"]]]:
    """Means of factor x factor blocks over valid pixels, NaN where there are none, with their place."""
    for window in tile_windows(shape, factor * max(1, READ_PX // factor)):
        place = Window(
            window.row // factor,
            window.column // factor,
            -(-window.height // factor),
            -(-window.width // factor),
        )
        values = read(window)
        yield place, values if factor == 1 else shrink_by(values, factor).astype(np.float32)


def shrink(read: Reader, shape: tuple[int, int], factor: int) -> Float32[NDArray[np.float32], "y x"]:
    """All pieces put together, (y, x) of `shrunk_shape`."""
    whole = np.empty(shrunk_shape(shape, factor), np.float32)
    for place, values in shrink_pieces(read, shape, factor):
        whole[place.slices] = values
    return whole

"""What is done to (y, x) rasters everywhere: split pixels, average blocks, mirror borders, fill holes, and
find the part with the most texture.

Nothing here knows of temperatures; a number that is not finite is a missing pixel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int, Shaped
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import distance_transform_edt

from pipeline.grid import Window, tile_windows
from pipeline.memory import copied, empty_array, give_back

Number = TypeVar("Number", bound=np.generic)
BAND_PIXELS = 1 << 21  # of a raster that are worked on at a time
FILL_TILE_PX, FILL_HALO_PX = 2048, 128
MOST_SAMPLES = 4_000_000  # pixels looked at for the statistics of a large scene
_BICUBIC_HALO_PX = 4  # it looks two pixels far
_CELL_PX = 8  # texture is summed over cells first, so that a large scene costs little memory
_LARGEST_STEP = 5  # one fire or cloud edge must not outweigh a city


def cut_mirrored(array: Shaped[NDArray[Number], "y x"], window: Window) -> Shaped[NDArray[Number], "h w"]:
    """The pixels of a window that may reach beyond the array, which is mirrored at its edges.

    Half-sample symmetry: the outermost pixel is repeated once. Mirrored again and again where the
    window is larger than the array, so arrays of one row or one pixel work.
    """
    rows = _mirrored(window.row, window.height, array.shape[0])
    columns = _mirrored(window.column, window.width, array.shape[1])
    return array[np.ix_(rows, columns)]


def _mirrored(start: int, length: int, size: int) -> Int[NDArray[np.intp], " n"]:
    position = np.arange(start, start + length) % (2 * size)
    return np.minimum(position, 2 * size - 1 - position)


def split_pixels(
    values: Shaped[NDArray[Number], "y x"], scale: int
) -> Shaped[NDArray[Number], "{scale}*y {scale}*x"]:
    """Every pixel as scale x scale pixels of its value."""
    return np.repeat(np.repeat(values, scale, axis=0), scale, axis=1)


def block_means(
    values: Float[NDArray[np.floating], "y x"], side_px: int, *, least_valid: float = 1
) -> Float64[NDArray[np.float64], "y//{side_px} x//{side_px}"]:
    """Means over whole blocks of side_px x side_px pixels; rows and columns left over are not used.

    Args:
        values: What is not finite is left out of the mean.
        side_px: Side of a block.
        least_valid: Pixels that a block needs, at least 1; with fewer it is NaN.
    """
    rows, columns = (side // side_px for side in values.shape)
    whole = values[: rows * side_px, : columns * side_px]
    valid = np.isfinite(whole)
    if valid.all():
        return _block_sums(whole, side_px) / side_px**2
    count = _block_sums(valid, side_px)
    total = _block_sums(np.where(valid, whole, 0), side_px)
    return np.where(count >= least_valid, total / np.maximum(count, 1), np.nan)


def _block_sums(
    values: Shaped[NDArray[np.generic], "y x"], side_px: int
) -> Float64[NDArray[np.float64], "h w"]:
    """Sums over whole blocks, of every side_px-th column and row; NumPy's own take five times as long."""
    lines = np.zeros((values.shape[0], values.shape[1] // side_px))
    for first in range(side_px):
        lines += values[:, first::side_px]
    sums = np.zeros((values.shape[0] // side_px, lines.shape[1]))
    for first in range(side_px):
        sums += lines[first::side_px]
    return sums


def shrink_by(
    values: Float[NDArray[np.floating], "y x"], side_px: int
) -> Float64[NDArray[np.float64], "h w"]:
    """As `block_means`; rows and columns left over at the end are blocks too."""
    padding = [(0, -size % side_px) for size in values.shape]
    return block_means(np.pad(values, padding, constant_values=np.nan), side_px)


def in_bands(
    function: Callable[..., Shaped[NDArray[Any], "_ _"]], halo_px: int, *rasters: Shaped[NDArray[Any], "_ _"]
) -> Shaped[NDArray[Any], "_ _"]:
    """What a function makes of rasters of one shape, a band of rows at a time: it holds a band's copies only.

    Args:
        function: Rasters to a raster of the same shape; a pixel of it depends on rows near it.
        halo_px: How many rows far it looks.
        rasters: (y, x) each.
    """
    bands = row_bands(rasters[0].shape)
    if len(bands) == 1:
        return function(*rasters)
    whole: NDArray[Any] | None = None
    for first, last in bands:
        above = min(first, halo_px)
        band = function(*(raster[first - above : last + halo_px] for raster in rasters))
        whole = empty_array(rasters[0].shape, band.dtype) if whole is None else whole
        whole[first:last] = band[above : above + last - first]
        del band
        give_back()
    assert whole is not None
    return whole


def row_bands(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """First and last row of the bands in which a large raster is worked on; one for any other."""
    band_px = max(BAND_PIXELS // max(shape[1], 1), 1)
    return [(first, min(first + band_px, shape[0])) for first in range(0, max(shape[0], 1), band_px)]


def thinned(values: Shaped[NDArray[Number], "y x"]) -> Shaped[NDArray[Number], "h w"]:
    """Every k-th pixel along both axes of a large raster, for its statistics; all of any other."""
    step = max(1, math.ceil(math.sqrt(values.size / MOST_SAMPLES)))
    return values[::step, ::step]


def known_sample(
    values: Shaped[NDArray[Number], "y x"], valid: Bool[NDArray[np.bool_], "y x"]
) -> Shaped[NDArray[Number], " n"]:
    """The valid pixels of `thinned`; all valid ones where it holds none."""
    known = thinned(values)[thinned(valid)]
    return known if known.size else values[valid]


def fill_nearest(values: Float32[NDArray[np.float32], "y x"]) -> Float32[NDArray[np.float32], "y x"]:
    """Every missing pixel takes the value of the nearest valid one; without a valid one nothing changes.

    A tile at a time, with a halo as wide as its holes are deep, so that a large raster takes little memory.
    """
    missing, filled = ~np.isfinite(values), copied(values)
    if missing.all():
        return filled
    tiles = tile_windows(values.shape, FILL_TILE_PX)
    for window in tiles:
        halo_px, away_px = 0, FILL_HALO_PX if len(tiles) > 1 else max(values.shape)
        while away_px > halo_px:
            halo_px = away_px
            away_px = _fill_tile(values, missing, window.grow(halo_px, values.shape), window, filled)
            if len(tiles) > 1:
                give_back()
    return filled


def _fill_tile(
    values: Float32[NDArray[np.float32], "y x"],
    missing: Bool[NDArray[np.bool_], "y x"],
    outer: Window,
    window: Window,
    filled: Float32[NDArray[np.float32], "y x"],
) -> int:
    """Fill a window from its surroundings; how far away, in pixels, a nearest valid pixel is at most."""
    rows, columns = np.nonzero(missing[window.slices])
    if rows.size == 0:
        return 0
    around = missing[outer.slices]
    if around.all():  # nothing is found within, so look twice as far
        return 2 * max(outer.height, outer.width)
    inner = window.within(outer)
    rows, columns = rows + inner.row, columns + inner.column
    nearest = distance_transform_edt(around, return_distances=False, return_indices=True)
    from_row, from_column = nearest[0][rows, columns], nearest[1][rows, columns]
    filled[outer.slices][rows, columns] = values[outer.slices][from_row, from_column]
    return math.ceil(float(np.hypot(from_row - rows, from_column - columns).max()))


def bicubic(
    raster: Float32[NDArray[np.float32], "y x"], window: Window, scale: int
) -> Float32[NDArray[np.float32], "h w"]:
    """A window of a raster enlarged by cubic convolution, corners kept; NaN where there is none."""
    grown = window.grow(_BICUBIC_HALO_PX, (raster.shape[0], raster.shape[1]))
    values = raster[grown.slices]
    missing = ~np.isfinite(values)
    if missing.all():
        return np.full((window.height * scale, window.width * scale), np.nan, np.float32)
    size = grown.width * scale, grown.height * scale
    large = np.array(Image.fromarray(fill_nearest(values)).resize(size, Image.Resampling.BICUBIC))
    large[split_pixels(missing, scale)] = np.nan
    return large[window.within(grown).refine(scale).slices]


def most_textured(values: Float32[NDArray[np.float32], "y x"], size_px: int) -> Window:
    """The window of at most `size_px` pixels a side with the most texture among its valid pixels.

    For pictures: fast on large rasters, and a window with holes may win. Ties, and rasters without any
    texture, give the window nearest to the upper left corner.
    """
    height, width = min(size_px, values.shape[0]), min(size_px, values.shape[1])
    cells = _cell_texture(values)
    rows, columns = max(height // _CELL_PX, 1), max(width // _CELL_PX, 1)
    corner = np.pad(cells.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    sums = (
        corner[rows:, columns:]
        - corner[:-rows, columns:]
        - corner[rows:, :-columns]
        + corner[:-rows, :-columns]
    )
    row, column = np.unravel_index(int(np.argmax(sums)), sums.shape)
    top = min(int(row) * _CELL_PX, values.shape[0] - height)
    left = min(int(column) * _CELL_PX, values.shape[1] - width)
    return Window(top, left, height, width)


def most_textured_square(
    values: Float[NDArray[np.floating], "y x"], sides_px: Iterable[int]
) -> Float[NDArray[np.floating], "n n"] | None:
    """The pixels of `most_textured_whole`, contiguous."""
    window = most_textured_whole(values, sides_px)
    return None if window is None else np.ascontiguousarray(values[window.slices])


def most_textured_whole(values: Float[NDArray[np.floating], "y x"], sides_px: Iterable[int]) -> Window | None:
    """The square without holes that has the steepest gradients, of the first side that has such squares.

    For tests against a truth. Squares overlap by half.
    """
    for side in sides_px:
        rows, columns = (range(0, size - side + 1, max(side // 2, 1)) for size in values.shape)
        squares = [Window(row, column, side, side) for row in rows for column in columns]
        whole = [square for square in squares if np.isfinite(values[square.slices]).all()]
        if whole:
            return max(whole, key=lambda square: _steepness(values[square.slices]))
    return None


def _steepness(square: Float[NDArray[np.floating], "n n"]) -> float:
    """Mean step between neighbors, along columns and along rows."""
    return sum(float(np.abs(np.diff(square, axis=axis)).mean()) for axis in (0, 1))


def _cell_texture(
    values: Float32[NDArray[np.float32], "y x"],
) -> Float64[NDArray[np.float64], "rows cols"]:
    """Sum of the differences between neighboring 2 x 2 means, by cell; a band of cells at a time.

    Means, because noise and resampling patterns change from pixel to pixel and are not worth looking at.
    """
    height, width = (-(-size // _CELL_PX) for size in values.shape)
    cells = np.zeros((height, width))
    for cell_row in range(height):
        band = values[cell_row * _CELL_PX : (cell_row + 1) * _CELL_PX + 3]
        means = (band[:-1, :-1] + band[1:, :-1] + band[:-1, 1:] + band[1:, 1:]) / 4
        steps = np.zeros((_CELL_PX, width * _CELL_PX))
        for difference in (means[2:, :] - means[:-2, :], means[:, 2:] - means[:, :-2]):
            inside = np.minimum(np.nan_to_num(np.abs(difference[:_CELL_PX])), _LARGEST_STEP)
            steps[: inside.shape[0], : inside.shape[1]] += inside
        cells[cell_row] = steps.reshape(_CELL_PX, width, _CELL_PX).sum(axis=(0, 2))
    return cells

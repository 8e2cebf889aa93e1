"""Pixels for a page: what a browser needs to show a product and to say its numbers.

A layer is sent as whole numbers of 16 bits, a hundredth of a kelvin each, 0 where there is no data. A
product that is too large for a page is sent as block means, with full pixels around the places that matter.
"""

from __future__ import annotations

import base64
import gzip
import logging
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import rasterio
import xarray as xr
from affine import Affine
from jaxtyping import Float32, UInt8, UInt16
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.vrt import WarpedVRT

from pipeline.grid import Window, tile_windows
from pipeline.products.store.attributes import FLAG_VARIABLE, LEARNED_VARIABLE
from pipeline.products.store.overviews import worst_flags
from pipeline.products.store.zarr_store import temperature_name
from pipeline.products.view_context import ViewContext
from pipeline.products.views.overview import (
    READ_PX,
    Reader,
    array_reader,
    part_reader,
    shrink,
    shrink_factor,
    shrunk_shape,
    store_reader,
)
from pipeline.raster import bicubic, most_textured
from pipeline.scene import FLAG_GOOD, FLAG_MEANINGS, FLAG_NO_DATA
from pipeline.text import one_line

log = logging.getLogger(__name__)

STEP_K = 0.01
LARGEST_CODE = 65535
GZIP_LEVEL = 4  # half the seconds of 6 for 2 % more bytes
SAMPLE_PX = 256  # side of the overview's piece that tells how many bytes all of it takes
PLACE_PX = 192  # side of the full pixels around a place, where the rest of the page are block means


@dataclass(frozen=True)
class Layers:
    """What a page shows of one piece of a product; all (y, x), kelvin but for the flags.

    Attributes:
        product: Temperature of the product.
        bicubic: The scene enlarged by cubic convolution.
        uncertainty: Standard error of the product.
        flag: Flags; of a block, its worst.
        learned: What the network added; None where the store does not tell it.
    """

    product: Float32[NDArray[np.float32], "y x"]
    bicubic: Float32[NDArray[np.float32], "y x"]
    uncertainty: Float32[NDArray[np.float32], "y x"]
    flag: UInt8[NDArray[np.uint8], "y x"]
    learned: Float32[NDArray[np.float32], "y x"] | None = None

    def packed(self) -> dict[str, Any]:
        """The layers as a page reads them."""
        kelvin = {"product": self.product, "bicubic": self.bicubic, "uncertainty": self.uncertainty}
        if self.learned is not None:
            kelvin["learned"] = self.learned
        return {name: pack_kelvin(values) for name, values in kelvin.items()} | {
            "flag": pack_flags(self.flag)
        }


def pack_kelvin(values: Float32[NDArray[np.float32], "y x"], least_step: float = STEP_K) -> dict[str, Any]:
    """A layer as gzip of differences along its rows, in base64.

    The value of a code c is `offset_k + (c - 1) * step_k`; the step is 0.01 K, or what is given, unless the
    layer spans more than 65534 steps.
    """
    valid = np.isfinite(values)
    low, high = (float(values[valid].min()), float(values[valid].max())) if valid.any() else (0.0, 0.0)
    offset_k = float(np.floor(low / least_step) * least_step)
    step_k = max(least_step, (high - offset_k) / (LARGEST_CODE - 1))
    codes = np.zeros(values.shape, np.uint16)
    codes[valid] = 1 + np.rint((values[valid].astype(np.float64) - offset_k) / step_k).astype(np.uint16)
    return {
        "height": values.shape[0],
        "width": values.shape[1],
        "offset_k": offset_k,
        "step_k": step_k,
        "bytes": _squeeze(_differences(codes).astype("<u2").view(np.uint8).reshape(-1, 2).T.tobytes()),
    }


def pack_flags(flag: UInt8[NDArray[np.uint8], "y x"]) -> dict[str, Any]:
    """Flags as they are, gzip in base64."""
    return {"height": flag.shape[0], "width": flag.shape[1], "bytes": _squeeze(flag.tobytes())}


def overview_layers(context: ViewContext, dataset: xr.Dataset, limit_px: int) -> tuple[Layers, int]:
    """All of a product, at most `limit_px` a side, and the factor by which it was shrunk (1: every pixel)."""
    shape, name = context.enhancement.grid.shape, temperature_name(dataset)
    factor = shrink_factor(shape, limit_px)
    kelvin = (
        store_reader(dataset[name]),
        bicubic_reader(context),
        store_reader(dataset[f"{name}_uncertainty"]),
    )
    product, enlarged, sigma = (shrink(read, shape, factor) for read in kelvin)
    flag = _worst_flags(store_reader(dataset[FLAG_VARIABLE]), shape, factor)
    learned = None
    if LEARNED_VARIABLE in dataset:
        learned = shrink(store_reader(dataset[LEARNED_VARIABLE]), shape, factor)
    return Layers(product, enlarged, sigma, flag, learned), factor


def likely_bytes(context: ViewContext, dataset: xr.Dataset, limit_px: int) -> float:
    """About how many bytes a page's layers take when packed, told by pieces in the middle."""
    scene, shape = context.enhancement.scene.temperature, context.enhancement.grid.shape
    name = temperature_name(dataset)
    stored = [name, f"{name}_uncertainty", *([LEARNED_VARIABLE] if LEARNED_VARIABLE in dataset else [])]
    kelvin = [bicubic_reader(context), *(store_reader(dataset[each]) for each in stored)]
    return math.prod(shape) * sum(_packed_share(read, shape, limit_px) for read in kelvin) + (
        scene.size * _packed_share(array_reader(scene), scene.shape, limit_px)
    )


def _middle(shape: tuple[int, ...], side_px: int) -> Window:
    height, width = (min(side_px, size) for size in shape)
    return Window((shape[0] - height) // 2, (shape[1] - width) // 2, height, width)


def _packed_share(read: Reader, shape: tuple[int, int], limit_px: int) -> float:
    """Bytes that a pixel takes when a raster is shrunk to the limit and packed."""
    factor = shrink_factor(shape, limit_px)
    middle = _middle(shape, SAMPLE_PX * factor)
    piece = shrink(part_reader(read, middle), (middle.height, middle.width), factor)
    return len(pack_kelvin(piece)["bytes"]) / (middle.height * middle.width)


def piece_layers(context: ViewContext, dataset: xr.Dataset, window: Window) -> Layers:
    """Every pixel of a window of the product's grid."""
    name, rows_columns = temperature_name(dataset), window.slices
    return Layers(
        product=np.asarray(dataset[name][rows_columns]),
        bicubic=bicubic_reader(context)(window),
        uncertainty=np.asarray(dataset[f"{name}_uncertainty"][rows_columns]),
        flag=np.asarray(dataset[FLAG_VARIABLE][rows_columns]),
        learned=np.asarray(dataset[LEARNED_VARIABLE][rows_columns]) if LEARNED_VARIABLE in dataset else None,
    )


def measured_layer(context: ViewContext, limit_px: int) -> tuple[Float32[NDArray[np.float32], "y x"], int]:
    """The scene as it came, (y, x) kelvin, and the factor by which it was shrunk."""
    temperature = context.enhancement.scene.temperature
    factor = shrink_factor(temperature.shape, limit_px)
    return shrink(array_reader(temperature), temperature.shape, factor), factor


def guide_layer(context: ViewContext, limit_px: int) -> Float32[NDArray[np.float32], "y x"] | None:
    """The guide's first band as means on the overview's pixels, (y, x) in its own unit, NaN where it ends.

    None where no guide is set, where it does not touch the product, or where one has no place on the Earth.
    """
    path, grid = context.settings.guide, context.enhancement.grid
    if path is None or grid.crs_wkt is None or grid.transform is None:
        return None
    factor = shrink_factor(grid.shape, limit_px)
    height, width = shrunk_shape(grid.shape, factor)
    frame = {"crs": grid.crs_wkt, "transform": grid.transform @ Affine.scale(factor)}
    try:
        with (
            rasterio.open(path, driver="GTiff") as raster,
            WarpedVRT(raster, **frame, height=height, width=width, resampling=Resampling.average) as warped,
        ):
            values = warped.read(1, masked=True).astype(np.float32)
    except RasterioError as error:
        log.warning("%s: output.guide cannot be shown: %s", path, one_line(error, 120))
        return None
    layer: Float32[NDArray[np.float32], "y x"] = values.filled(np.nan)
    return layer if np.isfinite(layer).any() else None


def bicubic_reader(context: ViewContext) -> Reader:
    """Reads the scene enlarged by cubic convolution, in windows of the product's grid."""
    temperature, scale = context.enhancement.scene.temperature, context.enhancement.scale

    def read(window: Window) -> Float32[NDArray[np.float32], "h w"]:
        row, column = window.row // scale, window.column // scale
        last_row = -(-(window.row + window.height) // scale)
        last_column = -(-(window.column + window.width) // scale)
        coarse = Window(row, column, last_row - row, last_column - column)
        return bicubic(temperature, coarse, scale)[window.within(coarse.refine(scale)).slices]

    return read


def notable_places(layers: Layers, factor: int, context: ViewContext) -> list[tuple[str, int, int]]:
    """(why, row, column) of the pixels of the product that a person looks at first, in product pixels.

    The hottest, the coldest, the most uncertain, the one that differs most from bicubic, the middle of the
    piece with the most texture, and the first pixel of every flag that is neither good nor no data.
    """
    found: list[tuple[str, int, int]] = []
    difference = np.abs(layers.product - layers.bicubic)
    for why, values in (
        ("hottest", layers.product),
        ("coldest", -layers.product),
        ("largest uncertainty", layers.uncertainty),
        ("largest difference to bicubic", difference),
    ):
        if np.isfinite(values).any():
            found.append((why, *_place(np.nanargmax(values), values.shape, factor)))
    scale = context.enhancement.scale
    texture = most_textured(context.enhancement.scene.temperature, max(1, PLACE_PX // scale)).refine(scale)
    found.append(("most texture", texture.row + texture.height // 2, texture.column + texture.width // 2))
    for value, meaning in FLAG_MEANINGS.items():
        if value not in (FLAG_GOOD, FLAG_NO_DATA) and (where := layers.flag == value).any():
            found.append((f"flag {meaning.replace('_', ' ')}", *_place(where.argmax(), where.shape, factor)))
    return found[:10]


def around(row: int, column: int, shape: tuple[int, int]) -> Window:
    """The window of `PLACE_PX` a side around a pixel, within a grid."""
    height, width = min(PLACE_PX, shape[0]), min(PLACE_PX, shape[1])
    top = min(max(row - height // 2, 0), shape[0] - height)
    left = min(max(column - width // 2, 0), shape[1] - width)
    return Window(top, left, height, width)


def _place(flat: np.intp, shape: tuple[int, ...], factor: int) -> tuple[int, int]:
    row, column = np.unravel_index(int(flat), shape)
    return int(row) * factor + factor // 2, int(column) * factor + factor // 2


def _worst_flags(read: Reader, shape: tuple[int, int], factor: int) -> UInt8[NDArray[np.uint8], "y x"]:
    """The highest flag of each block; no data only where all of a block has none."""
    worst = np.empty(shrunk_shape(shape, factor), np.uint8)
    for window in tile_windows(shape, factor * max(1, READ_PX // factor)):
        highest = worst_flags(np.asarray(read(window)), factor)
        height, width = highest.shape
        row, column = window.row // factor, window.column // factor
        worst[row : row + height, column : column + width] = highest
    return worst


def _differences(codes: UInt16[NDArray[np.uint16], "y x"]) -> UInt16[NDArray[np.uint16], "y x"]:
    """Each code less its left neighbor, modulo 65536; neighbors are alike, so this is small."""
    left = np.zeros_like(codes)
    left[:, 1:] = codes[:, :-1]
    return codes - left


def _squeeze(plain: bytes) -> str:
    return base64.b64encode(gzip.compress(plain, GZIP_LEVEL, mtime=0)).decode("ascii")

"""Coarser copies of a store's variables, so that a large product is seen at once.

Each level has half the rows and columns of the one before, down to a single chunk, with its own coordinates
and reference system. They lie in the group `overviews`, which has the words of the Zarr convention
`multiscales`; the root has none, because no NetCDF could hold them. A level is read and written chunk by
chunk, so memory does not grow with the product.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import zarr
from affine import Affine
from jaxtyping import Float32, UInt8
from numpy.typing import NDArray

from pipeline.figures import DOMAIN
from pipeline.grid import Grid, tile_windows
from pipeline.products.store.arrays import consolidate, create_array, write_coordinates
from pipeline.products.store.georeference import convention_attributes, transform_terms
from pipeline.radiometry import brightness_temperature, spectral_radiance
from pipeline.raster import shrink_by
from pipeline.scene import FLAG_NO_DATA, Enhancement

GROUP = "overviews"
LARGEST_PX = 512  # a side of the coarsest level is at most this long, or a chunk where that is smaller
_CONVENTIONS = (
    ("multiscales", "d35379db-88df-4056-af3a-620245f8e347", "Multiscale layout of zarr datasets"),
    ("spatial", "689b58e2-cf7b-45e0-9fff-9cfc0883d6b4", "Spatial coordinate information"),
    ("proj", "f17cb550-5864-4468-aeb7-f3180cfb622f", "Coordinate reference system information"),
)
_NOT_OF_A_LEVEL = ("actual_range", "error_of_mean_k", "error_of_mean_area_scene_pixels")
_RULES = {
    "temperature": "Mean of the pixels with data of a block of the product.",
    "radiance": "Temperature of the mean radiance of the pixels with data of a block of the product.",
    "uncertainty": "Mean of the standard errors of single pixels, which is the most that the error of their "
    "mean can be.",
    "flag": "The highest flag of a block of the product; no data only where all of it has none.",
}
Reduce = Callable[[NDArray[Any]], NDArray[Any]]


def overviews_of(path: Path, name: str) -> list[zarr.Array[Any]]:
    """One variable of all levels of a store, the finest first; empty where the store has none."""
    root = zarr.open_group(path, mode="r")
    if GROUP not in root:
        return []
    levels = sorted((int(factor), level) for factor, level in cast(zarr.Group, root[GROUP]).groups())
    return [cast(zarr.Array[Any], level[name]) for _, level in levels]


def write_overviews(store: zarr.Group, arrays: Sequence[zarr.Array[Any]], enhancement: Enhancement) -> None:
    """Add all levels to a store whose pixels are written; none where the product fits into a chunk.

    Args:
        store: The open store.
        arrays: (y, x) temperature, uncertainty, flags, and what the network added where that is told.
        enhancement: What they are of.
    """
    shape, grid, factor = cast(tuple[int, int], arrays[0].shape), enhancement.grid, 1
    smallest_px = min(LARGEST_PX, max(arrays[0].chunks))
    if max(shape) <= smallest_px:
        return
    group = store.create_group(GROUP)
    layout: list[dict[str, Any]] = []
    while max(shape) > smallest_px:
        factor, grid = 2 * factor, _halved(grid)
        shape = grid.shape
        level = group.create_group(str(factor), attributes=convention_attributes(grid))
        arrays = [
            _write_level(level, source, shape, reduce, rule)
            for source, (reduce, rule) in zip(arrays, _reductions(enhancement), strict=True)
        ]
        write_coordinates(level, grid, acquired=enhancement.scene.ref.acquired)
        layout.append(_entry(factor, grid))
    named = ("multiscales", "spatial", "proj") if enhancement.grid.georeferenced else ("multiscales",)
    conventions = [_convention(*facts) for facts in _CONVENTIONS if facts[0] in named]
    place = {key: value for key, value in convention_attributes(grid).items() if key.startswith("proj:")}
    group.attrs.update(
        {"zarr_conventions": conventions, "multiscales": {"layout": layout, "resampling_method": "average"}}
        | place
    )
    consolidate(group)


def worst_flags(flags: UInt8[NDArray[np.uint8], "y x"], side_px: int) -> UInt8[NDArray[np.uint8], "h w"]:
    """The highest flag of each block of side_px x side_px pixels; no data only where all of it has none."""
    padding = [(0, -size % side_px) for size in flags.shape]
    ranks = np.where(flags == FLAG_NO_DATA, -1, flags.astype(np.int16))
    ranks = np.pad(ranks, padding, constant_values=-1)
    height, width = ranks.shape[0] // side_px, ranks.shape[1] // side_px
    highest = ranks.reshape(height, side_px, width, side_px).max(axis=(1, 3))
    return np.where(highest < 0, FLAG_NO_DATA, highest).astype(np.uint8)


def mean_kelvin(
    kelvin: Float32[NDArray[np.float32], "y x"], wavelength_um: float | None
) -> Float32[NDArray[np.float32], "h w"]:
    """Means of blocks of 2 x 2 pixels; of their radiance where a wavelength is given."""
    if wavelength_um is None:
        return shrink_by(kelvin, 2).astype(np.float32)
    means = shrink_by(spectral_radiance(kelvin.astype(np.float64), wavelength_um), 2)
    valid = np.isfinite(means)
    means[valid] = brightness_temperature(means[valid], wavelength_um)
    return means.astype(np.float32)


def _reductions(enhancement: Enhancement) -> tuple[tuple[Reduce, str], ...]:
    """How temperature, uncertainty and flags are made coarser, and the words for it."""
    radiance = DOMAIN.text(enhancement.figures) == "radiance"
    wavelength_um = enhancement.scene.sensor.wavelength_um if radiance else None
    return (
        (
            lambda kelvin: mean_kelvin(kelvin, wavelength_um),
            _RULES["radiance" if radiance else "temperature"],
        ),
        (lambda sigma: mean_kelvin(sigma, None), _RULES["uncertainty"]),
        (lambda flags: worst_flags(flags, 2), _RULES["flag"]),
        *(
            [(lambda detail: mean_kelvin(detail, None), _RULES["temperature"])]
            if enhancement.tells_learned
            else []
        ),
    )


def _write_level(
    level: zarr.Group, source: zarr.Array[Any], shape: tuple[int, int], reduce: Reduce, rule: str
) -> zarr.Array[Any]:
    """One variable of a level, made of the next finer one."""
    attributes = {key: value for key, value in source.attrs.items() if key not in _NOT_OF_A_LEVEL}
    target = create_array(level, source.basename, {**attributes, "comment": rule}, like=source, shape=shape)
    for window in tile_windows(shape, max(target.chunks)):
        rows, columns = window.refine(2).slices  # the last row or column of a level may have no second one
        target[window.slices] = reduce(np.asarray(source[rows, columns]))
    return target


def _halved(grid: Grid) -> Grid:
    """Blocks of 2 x 2 pixels; an incomplete one at the end counts."""
    transform = None if grid.transform is None else grid.transform @ Affine.scale(2)
    return replace(grid, transform=transform, height=-(-grid.height // 2), width=-(-grid.width // 2))


def _entry(factor: int, grid: Grid) -> dict[str, Any]:
    """A level in the words of `multiscales`; the finest of the group is derived from nothing in it."""
    entry: dict[str, Any] = {"asset": str(factor), "spatial:shape": list(grid.shape)}
    if factor > 2:
        entry |= {"derived_from": str(factor // 2), "transform": {"scale": [2.0, 2.0]}}
    if grid.transform is not None:
        entry["spatial:transform"] = list(transform_terms(grid))
    return entry


def _convention(name: str, uuid: str, description: str) -> dict[str, str]:
    """A convention as Zarr wants it registered."""
    home = f"zarr-conventions/{name}"
    return {
        "uuid": uuid,
        "name": name,
        "description": description,
        "schema_url": f"https://raw.githubusercontent.com/{home}/refs/tags/v0.1/schema.json",
        "spec_url": f"https://github.com/{home}/blob/v0.1/README.md",
    }

"""Products for an analyst: one, or all of a recipe, as one lazy xarray Dataset on one grid.

    from pipeline.desk.cube import open_products
    cube = open_products("out", box=(-118.5, 33.7, -118.0, 34.2), since="2024-06-01", flags=[0])
    cube.surface_temperature.mean("time")

Dates of one place often lie on grids that differ by a part of a pixel, and putting them together by their
coordinates would leave nearly everything empty. Here a product on the cube's own lattice is moved by whole
pixels; any other is resampled, kelvin and uncertainty with area weights, flags by the nearest pixel, and the
result says which.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import odc.geo.xr  # noqa: F401  adds `.odc` to arrays
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_reproject
from pyproj import CRS

from pipeline.desk.map_bounds import Box, bounds_in, bounds_of, pixel_side
from pipeline.errors import DamagedProductError, UnusableInputError
from pipeline.figures import AREA_ERRORS
from pipeline.grid import Grid
from pipeline.products.layout import MANIFEST, published_folders, recipe_folders
from pipeline.products.product_files import store_in
from pipeline.products.records import read_record
from pipeline.products.store.arrays import TIME_ATTRIBUTES
from pipeline.products.store.attributes import FLAG_VARIABLE
from pipeline.products.store.georeference import (
    convention_attributes,
    coordinates,
    geospatial_attributes,
    grid_mapping,
)
from pipeline.products.store.zarr_store import check_complete, open_store, temperature_name
from pipeline.scene import FLAG_NO_DATA, Record

log = logging.getLogger(__name__)

CHUNK_PX = 1024
_SAME_LATTICE_PX = 0.01  # products that differ by less than this part of a pixel are on one lattice
_OF_ONE_GRID = ("spatial:", "proj:", "geospatial_", "zarr_conventions", "multiscales")


@dataclass(frozen=True)
class _Found:
    """A product that belongs into the cube."""

    folder: Path
    record: Record


def open_products(
    place: str | Path,
    *,
    recipe: str = "",
    quantity: str = "",
    box: Box | None = None,
    since: str | None = None,
    until: str | None = None,
    flags: Sequence[float] | None = None,
    most_sigma_k: float | None = None,
    like: GeoBox | None = None,
) -> xr.Dataset:
    """Open a product, or all products of a recipe, lazily.

    Args:
        place: A product's folder or store, a recipe's folder, or the folder of all products.
        recipe: Beginning of the recipe folder's name, where `place` holds several.
        quantity: Name of the temperature in the stores, where they hold several.
        box: West, south, east, north in degrees: only this part, and only products that touch it.
        since: First day, YYYY-MM-DD; products without a date are left out where it is given.
        until: Last day, the same.
        flags: Keep pixels with one of these flags only; others become NaN. All if None.
        most_sigma_k: Keep pixels whose standard error is at most this, in kelvin.
        like: Grid of the result; by default the lattice of the oldest product, over all of them.

    Returns:
        Dataset with dims (time, y, x): the temperature in kelvin and its uncertainty, float32 with NaN for
        no data, and the flags, uint8 with `no_data` outside a product. `time` is NaT for undated products.
        Along `time` lie `scene_id`, `product` (folder), `scene_pixel_px` (side of a pixel of the scene, in
        pixels of the cube), `resampled` (true where pixels were resampled) and `day_or_night` ("" where it is
        not known); along `time` and `area` (in scene pixels) `error_of_mean_k`, as the product's self-test
        found it.

    Raises:
        DamagedProductError: The one product is damaged; of many it is named in a warning and left out.
        UnusableInputError: Nothing fits, several recipes do, quantities differ, or a grid has no place.
    """
    found = _choose(Path(place), recipe, since, until)
    opened = [(one, _open(one)) for one in found]
    name = _one_quantity(place, {temperature_name(store) for _, store in opened}, quantity)
    opened = [(one, store) for one, store in opened if temperature_name(store) == name]
    grid = like if like is not None else _common_grid(opened, box)
    layers = [_on_grid(one, store, grid) for one, store in opened]
    kept = [layer for layer in layers if layer is not None]
    if not kept:
        raise UnusableInputError(f"{place}: no product touches the box or grid that was asked for")
    cube = xr.concat(
        kept, dim="time", join="override", combine_attrs="drop_conflicts", coords="minimal", compat="override"
    )
    # What a store says of its own grid is not true of another.
    told = {key: value for key, value in cube.attrs.items() if not key.startswith(_OF_ONE_GRID)}
    plain = _plain(grid)
    cube.attrs = {**told, **geospatial_attributes(plain), **convention_attributes(plain)}
    cube.time.attrs = dict(TIME_ATTRIBUTES)
    cube[temperature_name(cube)].attrs.pop("actual_range", None)  # of a whole product, not of this part
    return _masked(cube, name, flags, most_sigma_k)


def _one_quantity(place: str | Path, names: set[str], wanted: str) -> str:
    """The quantity that is wanted, or the only one that there is."""
    if (wanted and wanted not in names) or (len(names) > 1 and not wanted):
        found = ", ".join(sorted(names))
        raise UnusableInputError(f"{place}: {wanted or 'one quantity'} is wanted, found {found} (`quantity`)")
    return wanted or min(names)


def _choose(place: Path, recipe: str, since: str | None, until: str | None) -> list[_Found]:
    """The products under a place, oldest first, undated ones last."""
    if place.suffix == ".zarr":
        place = place.parent
    if (place / MANIFEST).is_file():
        folders = [place]
    else:
        folders = list(published_folders(_recipe_under(place, recipe)))
    found = list(_readable(folders))
    if since or until:
        dated = [one for one in found if one.record.ref.acquired]
        if len(dated) < len(found):
            log.warning("%d undated products are left out of a search in time", len(found) - len(dated))
        found = [
            one
            for one in dated
            if (since or "") <= str(one.record.ref.acquired)[:10] <= (until or "9999-12-31")
        ]
    if not found:
        raise UnusableInputError(f"{place}: no product there{' within these days' if since or until else ''}")
    return sorted(found, key=lambda one: (one.record.ref.acquired or "9999", one.folder.name))


def _readable(folders: Sequence[Path]) -> Iterator[_Found]:
    """Products whose record and store can be read; of many, a damaged one is named and left out."""
    for folder in folders:
        try:
            check_complete(store_in(folder))
            yield _Found(folder, read_record(folder))
        except DamagedProductError as error:
            if len(folders) == 1:
                raise
            log.warning("%s; left out, `redo --damaged` has it made again", error)


def _recipe_under(place: Path, recipe: str) -> Path:
    if (place / "undated").is_dir() or any(place.glob("[0-9][0-9][0-9][0-9]")):
        return place
    named = [
        folder
        for folder in recipe_folders(place)
        if folder.name.startswith(recipe) and any(True for _ in published_folders(folder))
    ]
    if len(named) == 1:
        return named[0]
    if not named:
        raise UnusableInputError(
            f"{place}: no product there; name a product, a recipe's folder or the root of both"
        )
    raise UnusableInputError(
        f"{place}: products of {len(named)} recipes; name one as recipe (--recipe): "
        f"{', '.join(folder.name for folder in named)}"
    )


def _open(one: _Found) -> xr.Dataset:
    store = open_store(store_in(one.folder)).chunk({"y": CHUNK_PX, "x": CHUNK_PX})
    geobox = store.odc.geobox
    if geobox is None or geobox.crs is None:
        raise UnusableInputError(
            f"{one.folder.name}: its grid has no place on the Earth; open it alone with xarray.open_zarr"
        )
    return store


def _common_grid(opened: Sequence[tuple[_Found, xr.Dataset]], box: Box | None) -> GeoBox:
    """The first product's lattice over all of them, or over the box."""
    first: GeoBox = opened[0][1].odc.geobox
    if box is not None:
        outlines = [bounds_in(box, "OGC:CRS84", first.crs)]
    else:
        outlines = [bounds_of(store.odc.geobox, first.crs) for _, store in opened]
    corners = np.array([corner for w, s, e, n in outlines for corner in ((w, s), (w, n), (e, s), (e, n))])
    columns, rows = ~first.affine @ tuple(corners.T)
    # An edge that lies on the lattice must not gain a row by rounding.
    top, left = (int(np.floor(axis.min() + _SAME_LATTICE_PX)) for axis in (rows, columns))
    bottom, right = (int(np.ceil(axis.max() - _SAME_LATTICE_PX)) for axis in (rows, columns))
    return GeoBox((bottom - top, right - left), first.affine @ Affine.translation(left, top), first.crs)


def _on_grid(one: _Found, store: xr.Dataset, grid: GeoBox) -> xr.Dataset | None:
    """A product on the cube's grid with a time of length one; None where it lies outside."""
    theirs: GeoBox = store.odc.geobox
    west, south, east, north = bounds_of(theirs, grid.crs)
    ours = grid.boundingbox
    if west >= ours.right or east <= ours.left or south >= ours.top or north <= ours.bottom:
        return None
    name = temperature_name(store)
    variables = store[[name, f"{name}_uncertainty", FLAG_VARIABLE]]
    offset = _offset_px(theirs, grid)
    moved = _resampled(variables, name, grid) if offset is None else _moved(variables, offset, grid)
    acquired = one.record.ref.acquired
    when = np.datetime64("NaT") if acquired is None else np.datetime64(acquired.rstrip("Z"), "ns")
    along = {
        "scene_id": ("time", [one.record.ref.scene_id]),
        "product": ("time", [one.folder.name]),
        "resampled": ("time", [offset is None]),
        "day_or_night": ("time", [str(store.attrs.get("day_or_night", ""))]),
        "scene_pixel_px": ("time", [int(store.attrs["sr_scale_factor"]) * pixel_side(theirs, grid)]),
        "area": list(AREA_ERRORS),
        "error_of_mean_k": (("time", "area"), [_errors_of_means(variables[f"{name}_uncertainty"])]),
    }
    return (
        moved.drop_vars("time", errors="ignore")
        .expand_dims(time=np.array([when], "datetime64[ns]"))
        .assign_coords(along)
    )


def _errors_of_means(uncertainty: xr.DataArray) -> list[float]:
    """Kelvin for each area of `AREA_ERRORS`, as the product tells them; NaN where it does not."""
    told = uncertainty.attrs
    areas = np.atleast_1d(told.get("error_of_mean_area_scene_pixels", [])).tolist()
    known = dict(zip(areas, np.atleast_1d(told.get("error_of_mean_k", [])).tolist(), strict=True))
    return [float(known.get(area, np.nan)) for area in AREA_ERRORS]


def _offset_px(theirs: GeoBox, grid: GeoBox) -> tuple[int, int] | None:
    """Rows and columns from the grid's corner to the product's; None where it is on another lattice."""
    if theirs.crs != grid.crs:
        return None
    step = ~grid.affine @ theirs.affine
    if not np.allclose((step.a, step.b, step.d, step.e), (1, 0, 0, 1), atol=1e-6):
        return None
    row, column = round(step.f), round(step.c)
    if max(abs(step.f - row), abs(step.c - column)) > _SAME_LATTICE_PX:
        return None
    return row, column


def _moved(variables: xr.Dataset, offset: tuple[int, int], grid: GeoBox) -> xr.Dataset:
    """The same pixels in the grid's frame: cut where it ends, filled up where the product does."""
    pieces, widths = {}, {}
    for dim, start, size in zip(("y", "x"), offset, grid.shape, strict=True):
        length = variables.sizes[dim]
        low, high = max(0, -start), min(length, size - start)
        pieces[dim] = slice(low, max(low, high))
        before = min(max(0, start), size)
        widths[dim] = (before, size - before - max(0, high - low))
    cut = variables.isel(pieces)
    fills: dict[Any, Any] = dict.fromkeys(cut.data_vars, np.nan) | {FLAG_VARIABLE: FLAG_NO_DATA}
    padded = (
        cut.drop_vars(("y", "x"), errors="ignore")
        .pad(widths, constant_values=fills)
        .chunk({"y": CHUNK_PX, "x": CHUNK_PX})
    )
    return padded.assign_coords(_coordinates(grid))


def _resampled(variables: xr.Dataset, name: str, grid: GeoBox) -> xr.Dataset:
    """Kelvin and its uncertainty as means by area, flags of the nearest pixel."""
    chunks = (CHUNK_PX, CHUNK_PX)
    both = variables[[name, f"{name}_uncertainty"]]
    told: dict[str, Any] = {"chunks": chunks, "always_yx": True}
    kelvin = xr_reproject(both, grid, resampling="average", dst_nodata=np.nan, **told)
    # A nearest pixel may lie where the mean by area has none, or the other way round: no data wins.
    flags = xr_reproject(
        variables[FLAG_VARIABLE], grid, resampling="nearest", dst_nodata=FLAG_NO_DATA, **told
    )
    valid = kelvin[name].notnull() & (flags != FLAG_NO_DATA)
    result = kelvin.where(valid).assign({FLAG_VARIABLE: flags.where(valid, np.uint8(FLAG_NO_DATA))})
    for variable in result.data_vars:
        result[variable].attrs = dict(variables[variable].attrs)
    return result.assign_coords(_coordinates(grid))


def _coordinates(grid: GeoBox) -> dict[Any, xr.DataArray]:
    """As a store has them: centers of pixels, always y and x, in degrees too, and the reference system."""
    plain = _plain(grid)
    axes = coordinates(plain).items()
    found: dict[Any, xr.DataArray] = {
        name: xr.DataArray(values, dims=name, attrs=attributes) for name, (values, attributes) in axes
    }
    return {**found, "spatial_ref": xr.DataArray(np.int32(0), attrs=grid_mapping(plain))}


def _plain(grid: GeoBox) -> Grid:
    return Grid(CRS.from_user_input(str(grid.crs)).to_wkt(), grid.affine, *grid.shape)


def _masked(
    cube: xr.Dataset, name: str, flags: Sequence[float] | None, most_sigma_k: float | None
) -> xr.Dataset:
    """NaN in kelvin and uncertainty where a pixel has another flag or a larger error; flags stay."""
    keep = xr.ones_like(cube[FLAG_VARIABLE], dtype=bool)
    if flags is not None:
        keep = cube[FLAG_VARIABLE].isin(list(flags))
    if most_sigma_k is not None:
        keep = keep & (cube[f"{name}_uncertainty"] <= most_sigma_k)
    if flags is None and most_sigma_k is None:
        return cube
    return cube.assign({key: cube[key].where(keep) for key in (name, f"{name}_uncertainty")})

"""Values of a cube along time: at a place, and as a mean over an area with what is known of its error.

from pipeline.desk.series import mean_over, read_polygon, values_at
mean_over(cube, read_polygon("field.geojson")).to_dataframe()
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import shapely
import xarray as xr
from affine import Affine
from jaxtyping import Bool
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.features import geometry_mask
from shapely.geometry import box as rectangle
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from pipeline.desk.map_bounds import Box, bounds_in
from pipeline.errors import UnusableInputError
from pipeline.files import read_small
from pipeline.products.store.attributes import FLAG_VARIABLE
from pipeline.products.store.zarr_store import temperature_name
from pipeline.scene import FLAG_MEANINGS
from pipeline.text import one_line

NOTHING = "no pixel here has data and passes the masks; a scene that fell back has flag 3 throughout"
ON_TOP = "calibration and emissivity come on top"
MOSTLY_COVERED = 0.95  # of an area; where less is left, the mean is told to be of a part
_MEANINGS = {  # of every column of a series
    "kelvin": "temperature of the pixel, K",
    "mean_k": "mean temperature, K",
    "error_k": "one standard error of it, K",
    "flag": "quality flag",
    "flag_meaning": "the same in words",
    "scene_pixels": "pixels with data in the area, counted as pixels of the scene",
    "covered_fraction": "share of the area's pixels that have data and pass the masks, 0 to 1",
    "whole_scene_pixels": "pixels of the scene in it with data throughout; their number decides the error",
    "assumption": "what the error leans on",
}
_STEPS = 50  # pieces of a polygon's longest side; a straight side in degrees is bent on a map


def values_at(cube: xr.Dataset, longitude: float, latitude: float) -> xr.Dataset:
    """The pixel that holds a point, date by date.

    Args:
        cube: From `open_products`, of one grid.
        longitude: Degrees east.
        latitude: Degrees north.

    Returns:
        Dataset along time: `kelvin` and `error_k` (one standard error of this pixel), NaN for no data;
        `flag` and `flag_meaning`. Each says its meaning in its `long_name`.

    Raises:
        UnusableInputError: If the point lies outside the cube.
    """
    geobox = cube.odc.geobox
    to_map = Transformer.from_crs("OGC:CRS84", str(geobox.crs), always_xy=True)
    column, row = (int(np.floor(place)) for place in ~geobox.affine @ to_map.transform(longitude, latitude))
    if not (0 <= row < geobox.height and 0 <= column < geobox.width):
        raise UnusableInputError(f"no pixel lies at {longitude:g} degrees east, {latitude:g} degrees north")
    name = temperature_name(cube)
    down, across = cube[name].dims[-2:]
    here = cube.isel({down: row, across: column}).compute()
    meanings = [FLAG_MEANINGS.get(int(flag), str(flag)) for flag in here[FLAG_VARIABLE].values]
    columns = {"kelvin": here[name].values, "error_k": here[f"{name}_uncertainty"].values}
    return _series({**columns, "flag": here[FLAG_VARIABLE].values, "flag_meaning": meanings}, cube)


def mean_over(cube: xr.Dataset, where: Box | BaseGeometry) -> xr.Dataset:
    """The mean temperature over a box or polygon, date by date, with what is known of its error.

    The projection fixes the mean of every scene pixel, so errors of neighbors cancel faster than independent
    ones would. What the scene's self-test measured over areas of 1, 4, 16 and 64 scene pixels is taken, of
    the largest area that fits in whole scene pixels with data; it has the noise in it. In less than one
    whole scene pixel nothing cancels for sure, and the mean of the pixels' own errors is the most that it
    can be. What does not cancel over an area comes on top and is not known here: the sensor's calibration
    and the retrieval's emissivity.

    Args:
        cube: From `open_products`, of one grid.
        where: West, south, east, north in degrees, or a polygon in degrees; pixels with their center in it.

    Returns:
        Dataset along time: `mean_k`, `error_k` (one standard error; NaN where no self-test tells it),
        `scene_pixels` (pixels with data, in pixels of the scene), `covered_fraction` (share of the area's
        pixels that have data and pass the masks), `whole_scene_pixels` (squares of a scene
        pixel's size that have data throughout), `assumption` (what the error leans on, in words). Each says
        its meaning in its `long_name`.

    Raises:
        UnusableInputError: If no pixel of the cube lies there.
    """
    part, inside = _cut(cube, where)
    rows = [_mean_of(part.isel(time=date), inside) for date in range(part.sizes["time"])]
    columns = {
        name: ("time", [row[name] for row in rows], {"long_name": _MEANINGS[name]}) for name in rows[0]
    }
    return xr.Dataset(columns, coords=_along_time(cube))


def _mean_of(date: xr.Dataset, inside: Bool[NDArray[np.bool_], "y x"]) -> dict[str, float | str]:
    """A line of `mean_over`: one date."""
    name, side_px = temperature_name(date), float(date.scene_pixel_px)
    kelvin, sigma = (np.asarray(date[one], np.float64) for one in (name, f"{name}_uncertainty"))
    valid = inside & np.isfinite(kelvin)
    whole, pixels = _whole_blocks(valid, math.ceil(side_px)), int(valid.sum())
    mean_k, own_k = (float(values[valid].mean()) if pixels else np.nan for values in (kelvin, sigma))
    told = zip(date.area.values.tolist(), date.error_of_mean_k.values.tolist(), strict=True)
    error_k, assumption = _error({area: error for area, error in told if np.isfinite(error)}, whole, own_k)
    covered = pixels / int(inside.sum())
    if 0 < covered < MOSTLY_COVERED:
        assumption += f"; {1 - covered:.0%} of the area have no data or are masked"
    return {
        "mean_k": mean_k,
        "error_k": error_k,
        "scene_pixels": pixels / side_px**2,
        "covered_fraction": covered,
        "whole_scene_pixels": whole,
        "assumption": assumption,
    }


def read_polygon(path: str | Path) -> BaseGeometry:
    """The area of a GeoJSON file in degrees: a geometry, a feature, or a collection, whose union is taken.

    Raises:
        UnusableInputError: It is no GeoJSON, holds no area, or its coordinates are no degrees.
    """
    try:
        plain = json.loads(read_small(Path(path)))
        features = plain["features"] if plain.get("type") == "FeatureCollection" else [plain]
        shapes = [
            shape(one.get("geometry", one) if one.get("type") == "Feature" else one) for one in features
        ]
        area = shapely.union_all([shapely.make_valid(one) for one in shapes])
    except (OSError, ValueError, LookupError, TypeError, AttributeError, shapely.GEOSException) as error:
        raise UnusableInputError(f"{path}: a polygon in GeoJSON is wanted: {one_line(error, 120)}") from error
    if not area.area > 0:
        raise UnusableInputError(f"{path}: a polygon in GeoJSON is wanted, its geometries have no area")
    west, south, east, north = area.bounds
    if west < -180 or south < -90 or east > 180 or north > 90:
        raise UnusableInputError(
            f"{path}: longitudes and latitudes in degrees are wanted (RFC 7946), found {west:g} to {east:g} "
            f"and {south:g} to {north:g}; write the polygon in EPSG:4326"
        )
    return area


def _cut(cube: xr.Dataset, where: Box | BaseGeometry) -> tuple[xr.Dataset, Bool[NDArray[np.bool_], "y x"]]:
    """The part of a cube around a box or polygon, and which of its pixels have their center inside."""
    geobox = cube.odc.geobox
    if isinstance(where, tuple):
        outline = rectangle(*bounds_in(where, "OGC:CRS84", geobox.crs))
    else:
        to_map = Transformer.from_crs("OGC:CRS84", str(geobox.crs), always_xy=True)
        west, south, east, north = where.bounds
        fine = shapely.segmentize(where, max(east - west, north - south) / _STEPS)
        outline = shapely.transform(fine, lambda x, y: to_map.transform(x, y), interleaved=False)
    corners = ~geobox.affine @ tuple(np.array(outline.envelope.exterior.coords).T) if outline.area else None
    if corners is None or not np.isfinite(np.array(corners)).all():
        raise UnusableInputError(f"no pixel lies in {_named(where)}")
    columns, rows = corners
    left, right = max(0, int(columns.min())), min(geobox.width, int(np.ceil(columns.max())))
    top, bottom = max(0, int(rows.min())), min(geobox.height, int(np.ceil(rows.max())))
    if left >= right or top >= bottom:
        raise UnusableInputError(f"no pixel lies in {_named(where)}")
    corner = geobox.affine @ Affine.translation(left, top)
    inside = geometry_mask([outline], (bottom - top, right - left), corner, invert=True)
    if not inside.any():
        raise UnusableInputError(f"no center of a pixel lies in {_named(where)}")
    down, across = cube[temperature_name(cube)].dims[-2:]
    return cube.isel({down: slice(top, bottom), across: slice(left, right)}), inside


def _named(where: Box | BaseGeometry) -> str:
    bounds = where if isinstance(where, tuple) else where.bounds
    return f"the {'box' if isinstance(where, tuple) else 'polygon within'} {tuple(bounds)}"


def _whole_blocks(valid: Bool[NDArray[np.bool_], "y x"], side_px: int) -> int:
    """How many squares side by side, of `side_px` pixels a side, have data throughout."""
    height, width = (size // side_px for size in valid.shape)
    blocks = valid[: height * side_px, : width * side_px].reshape(height, side_px, width, side_px)
    return int(blocks.all(axis=(1, 3)).sum())


def _error(known: dict[int, float], whole: int, own_k: float) -> tuple[float, str]:
    """The standard error of a mean in kelvin, and what it leans on."""
    fitting = [area for area in known if area <= whole]
    if fitting:
        area = max(fitting)
        return known[area], f"self-test over {area} of {whole} whole scene pixels; {ON_TOP}"
    if not known or not np.isfinite(own_k):
        return float("nan"), "no self-test tells it" if np.isfinite(own_k) else NOTHING
    return own_k, f"less than the areas of the self-test: the pixels' own errors, at most so large; {ON_TOP}"


def _series(columns: dict[str, Any], cube: xr.Dataset) -> xr.Dataset:
    """Columns along the time of a cube, each with its meaning."""
    told = {name: ("time", values, {"long_name": _MEANINGS[name]}) for name, values in columns.items()}
    return xr.Dataset(told, coords=_along_time(cube))


def _along_time(cube: xr.Dataset) -> dict[str, Any]:
    names = ("time", "scene_id", "product", "resampled", "day_or_night")
    return {name: ("time", cube[name].values) for name in names}

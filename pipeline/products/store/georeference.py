"""How a grid is written down, so that every reader finds the same place on the Earth.

Three dialects say the same thing side by side: CF (grid mapping and coordinates of
pixel centers), GDAL (`GeoTransform`), and the words of the Zarr conventions `proj` and `spatial`.
Nothing is invented: a scene without a reference system gets none.
"""

from __future__ import annotations

from typing import Any

import antimeridian
import numpy as np
import shapely
from jaxtyping import Float64
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError
from shapely.geometry import MultiPolygon, Polygon

from pipeline.grid import Grid, crs_code, crs_name

_UNITS = {"metre": "m", "degree_east": "degrees_east", "degree_north": "degrees_north"}
_FOOTPRINT_STEPS = 8  # points along each side; a straight side on the map is bent on the globe
_SLIVER_DEGREES2 = 1e-9  # what is left on the other side where a scene ends at the antimeridian


def grid_mapping(grid: Grid) -> dict[str, Any] | None:
    """Attributes of the CF variable `spatial_ref`; None where no reference system is known."""
    if grid.crs_wkt is None:
        return None
    crs = CRS.from_wkt(grid.crs_wkt)
    said = {name: value for name, value in crs.to_cf().items() if value not in ("unknown", "undefined")}
    attributes = {**said, "long_name": crs_name(grid.crs_wkt), "spatial_ref": crs.to_wkt()}
    if grid.transform is not None:
        a, b, c, d, e, f = transform_terms(grid)
        attributes["GeoTransform"] = " ".join(repr(term) for term in (c, a, b, f, d, e))
    return {name: _plain(value) for name, value in attributes.items()}


def coordinates(grid: Grid) -> dict[str, tuple[Float64[NDArray[np.float64], " _"], dict[str, Any]]]:
    """1-D coordinates of pixel centers, with their CF attributes; empty where the grid has none.

    A rotated grid has no 1-D coordinates: its place is in `GeoTransform` and `spatial:transform`.
    """
    if not grid.rectilinear:
        return {}
    axes = _axes(grid.crs_wkt)
    return {"y": (grid.center_y(), axes["Y"]), "x": (grid.center_x(), axes["X"])}


def convention_attributes(grid: Grid) -> dict[str, Any]:
    """Group attributes in the words of the Zarr conventions `proj` and `spatial`.

    Without `zarr_conventions`, the list of objects that registers them: no NetCDF can hold it, and
    `xarray.open_zarr(...).to_netcdf(...)` would fail.
    """
    if grid.transform is None:
        return {}
    corners = np.array(grid.corners())
    attributes: dict[str, Any] = {
        "spatial:dimensions": ["y", "x"],
        "spatial:transform_type": "affine",
        "spatial:transform": list(transform_terms(grid)),
        "spatial:bbox": [*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist()],
        "spatial:shape": list(grid.shape),
        "spatial:registration": "pixel",
    }
    if grid.crs_wkt is not None:
        attributes.update(crs_attributes(grid.crs_wkt))
    return attributes


def crs_attributes(crs_wkt: str) -> dict[str, str]:
    """`proj:code` as AUTHORITY:CODE where the system has one, `proj:wkt2` where it has none."""
    if code := crs_code(crs_wkt):
        return {"proj:code": code}
    return {"proj:wkt2": CRS.from_wkt(crs_wkt).to_wkt("WKT2_2019")}


def transform_terms(grid: Grid) -> tuple[float, ...]:
    """The six terms a, b, c, d, e, f that map pixel corners (column, row) to (x, y); ValueError if none."""
    if grid.transform is None:
        raise ValueError("a grid without a transform has no terms")
    return tuple(float(term) for term in tuple(grid.transform)[:6])


def footprint(grid: Grid) -> Polygon | MultiPolygon | None:
    """The scene's outline on the globe in degrees east and north, as GeoJSON wants it (RFC 7946).

    Cut in two where the scene crosses the antimeridian, and closed over a pole that lies in it. None where
    its place is unknown or an edge lies off the globe, as on a full disk.
    """
    if not grid.georeferenced:
        return None
    outline = _to_degrees(grid, _outline(grid))
    if not np.isfinite(outline).all():
        return None
    fixed = antimeridian.fix_polygon(Polygon(outline), great_circle=False, fix_winding=True)
    parts = [part for part in getattr(fixed, "geoms", [fixed]) if part.area > _SLIVER_DEGREES2]
    if not parts:
        return None
    whole = shapely.orient_polygons(shapely.union_all(parts))
    return shapely.transform(whole, lambda points: points.round(6))


def bounds_degrees(outline: Polygon | MultiPolygon) -> tuple[float, float, float, float]:
    """West, south, east, north of a footprint; west is greater than east across the antimeridian."""
    west, south, east, north = antimeridian.bbox(shapely.geometry.mapping(outline))
    return west, south, east, north


def geospatial_attributes(grid: Grid) -> dict[str, float]:
    """The bounds of a grid in degrees, in the words of ACDD; empty where its place is unknown."""
    outline = footprint(grid)
    if outline is None:
        return {}
    names = ("geospatial_lon_min", "geospatial_lat_min", "geospatial_lon_max", "geospatial_lat_max")
    return dict(zip(names, bounds_degrees(outline), strict=True))


def _outline(grid: Grid) -> Float64[NDArray[np.float64], "n 2"]:
    """Map coordinates (x, y) along the border, first point repeated."""
    along = np.linspace(0, 1, _FOOTPRINT_STEPS, endpoint=False)
    zero, one = np.zeros_like(along), np.ones_like(along)
    column = np.concatenate([zero, along, one, 1 - along, [0]]) * grid.width
    row = np.concatenate([along, one, 1 - along, zero, [0]]) * grid.height
    a, b, c, d, e, f = transform_terms(grid)
    return np.column_stack([a * column + b * row + c, d * column + e * row + f])


def _to_degrees(
    grid: Grid, points: Float64[NDArray[np.float64], "n 2"]
) -> Float64[NDArray[np.float64], "n 2"]:
    try:
        transformer = Transformer.from_crs(CRS.from_wkt(grid.crs_wkt or ""), "OGC:CRS84", always_xy=True)
        return np.column_stack(transformer.transform(*points.T))
    except ProjError:  # a local or engineering system has no place on the globe
        return np.full_like(points, np.nan)


def _axes(crs_wkt: str | None) -> dict[str, dict[str, Any]]:
    axes: dict[str, dict[str, Any]] = {
        "X": {"axis": "X", "long_name": "x of pixel centers"},
        "Y": {"axis": "Y", "long_name": "y of pixel centers"},
    }
    for axis in CRS.from_wkt(crs_wkt).cs_to_cf() if crs_wkt else ():
        if (name := axis.get("axis")) in axes:
            axes[name] = {key: _plain(_UNITS.get(value, value)) for key, value in axis.items()}
    return axes


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value

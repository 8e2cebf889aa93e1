"""How a grid is written down, so that every reader finds the same place on the Earth.

Three dialects say the same thing side by side: CF (grid mapping and coordinates of
pixel centers), GDAL (`GeoTransform`), and the Zarr conventions `proj` and `spatial`.
Nothing is invented: a scene without a reference system gets none.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

from pipeline.grid import Grid, crs_code, crs_name

# The registrations that the two conventions ask for, version 0.1 of each.
_PROJ_CONVENTION = {
    "uuid": "f17cb550-5864-4468-aeb7-f3180cfb622f",
    "schema_url": "https://raw.githubusercontent.com/zarr-conventions/proj/refs/tags/v0.1/schema.json",
    "spec_url": "https://github.com/zarr-conventions/proj/blob/v0.1/README.md",
    "name": "proj",
    "description": "Coordinate reference system information for geospatial data",
}
_SPATIAL_CONVENTION = {
    "uuid": "689b58e2-cf7b-45e0-9fff-9cfc0883d6b4",
    "schema_url": "https://raw.githubusercontent.com/zarr-conventions/spatial/refs/tags/v0.1/schema.json",
    "spec_url": "https://github.com/zarr-conventions/spatial/blob/v0.1/README.md",
    "name": "spatial",
    "description": "Spatial coordinate information",
}
_UNITS = {"metre": "m", "degree_east": "degrees_east", "degree_north": "degrees_north"}
_FOOTPRINT_STEPS = 8  # points along each side; a straight side on the map is bent on the globe


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


def coordinates(grid: Grid) -> dict[str, tuple[NDArray[np.float64], dict[str, Any]]]:
    """1-D coordinates of pixel centers, with their CF attributes; empty where the grid has none.

    A rotated grid has no 1-D coordinates: its place is in `GeoTransform` and `spatial:transform`.
    """
    if not grid.rectilinear:
        return {}
    axes = _axes(grid.crs_wkt)
    return {"y": (grid.center_y(), axes["Y"]), "x": (grid.center_x(), axes["X"])}


def convention_attributes(grid: Grid) -> dict[str, Any]:
    """Group attributes by the Zarr conventions `proj` and `spatial`."""
    if grid.transform is None:
        return {}
    corners = np.array(grid.corners())
    attributes: dict[str, Any] = {
        "zarr_conventions": [_SPATIAL_CONVENTION],
        "spatial:dimensions": ["y", "x"],
        "spatial:transform_type": "affine",
        "spatial:transform": list(transform_terms(grid)),
        "spatial:bbox": [*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist()],
        "spatial:shape": list(grid.shape),
        "spatial:registration": "pixel",
    }
    if grid.crs_wkt is not None:
        attributes["zarr_conventions"] = [_PROJ_CONVENTION, _SPATIAL_CONVENTION]
        attributes.update(crs_attributes(grid.crs_wkt))
    return attributes


def crs_attributes(crs_wkt: str) -> dict[str, str]:
    """`proj:code` as AUTHORITY:CODE where the system has one, `proj:wkt2` where it has none."""
    if code := crs_code(crs_wkt):
        return {"proj:code": code}
    return {"proj:wkt2": CRS.from_wkt(crs_wkt).to_wkt("WKT2_2019")}


def transform_terms(grid: Grid) -> tuple[float, ...]:
    """The six terms a, b, c, d, e, f that map pixel corners (column, row) to (x, y)."""
    if grid.transform is None:
        raise ValueError("a grid without a transform has no terms")
    return tuple(float(term) for term in tuple(grid.transform)[:6])


def footprint(grid: Grid) -> list[list[tuple[float, float]]]:
    """The scene's outline on the globe, as rings of (longitude, latitude) in degrees, closed.

    Two rings where the scene crosses the antimeridian (RFC 7946), none where its place is unknown
    or an edge lies off the globe, as on a full disk.
    """
    if not grid.georeferenced:
        return []
    longitude, latitude = _to_degrees(grid, *_outline(grid))
    if not (np.isfinite(longitude).all() and np.isfinite(latitude).all()):
        return []
    ring = np.column_stack([np.rad2deg(np.unwrap(np.deg2rad(longitude))), latitude])
    ring[:, 0] -= 360 * np.floor((ring[:, 0].min() + 180 + 1e-9) / 360)
    if not np.isclose(ring[0, 0], ring[-1, 0]):  # around a pole the outline does not close in longitude
        return []
    if ring[:, 0].max() <= 180 + 1e-9:
        return [_closed(ring)]
    west, east = _cut(ring, keep_below=True), _cut(ring, keep_below=False)
    east[:, 0] -= 360
    return [_closed(west), _closed(east)]


def bounds_degrees(rings: list[list[tuple[float, float]]]) -> tuple[float, float, float, float] | None:
    """West, south, east, north of a footprint; west is greater than east across the antimeridian."""
    if not rings:
        return None
    latitudes = [latitude for ring in rings for _, latitude in ring]
    west = min(longitude for longitude, _ in rings[0])
    east = max(longitude for longitude, _ in rings[-1])
    return west, min(latitudes), east, max(latitudes)


def _outline(grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Map coordinates (x, y) along the border, counterclockwise on a north-up grid, first point repeated."""
    along = np.linspace(0, 1, _FOOTPRINT_STEPS, endpoint=False)
    zero, one = np.zeros_like(along), np.ones_like(along)
    column = np.concatenate([zero, along, one, 1 - along, [0]]) * grid.width
    row = np.concatenate([along, one, 1 - along, zero, [0]]) * grid.height
    a, b, c, d, e, f = transform_terms(grid)
    return a * column + b * row + c, d * column + e * row + f


def _to_degrees(
    grid: Grid, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    try:
        transformer = Transformer.from_crs(CRS.from_wkt(grid.crs_wkt or ""), "OGC:CRS84", always_xy=True)
        longitude, latitude = transformer.transform(x, y)
    except ProjError:  # a local or engineering system has no place on the globe
        return np.full_like(x, np.nan), np.full_like(y, np.nan)
    return np.asarray(longitude, dtype=np.float64), np.asarray(latitude, dtype=np.float64)


def _cut(ring: NDArray[np.float64], *, keep_below: bool) -> NDArray[np.float64]:
    """The part of a ring on one side of 180 degrees east (Sutherland and Hodgman's clipping, one edge)."""
    side = ring[:, 0] <= 180 if keep_below else ring[:, 0] >= 180
    points: list[NDArray[np.float64]] = []
    for start, end, start_in, end_in in zip(ring[:-1], ring[1:], side[:-1], side[1:], strict=True):
        if start_in:
            points.append(start)
        if start_in != end_in:
            share = (180 - start[0]) / (end[0] - start[0])
            points.append(np.array([180.0, start[1] + share * (end[1] - start[1])]))
    return np.array(points)


def _closed(ring: NDArray[np.float64]) -> list[tuple[float, float]]:
    points = [(round(float(longitude), 6), round(float(latitude), 6)) for longitude, latitude in ring]
    twice_area = sum(
        x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in zip(points, points[1:] + points[:1], strict=True)
    )
    points = points if twice_area > 0 else points[::-1]  # GeoJSON wants outer rings counterclockwise
    return points if points[0] == points[-1] else [*points, points[0]]


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

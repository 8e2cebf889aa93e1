"""Where a NetCDF variable's picture lies.

Coordinates name pixel centers. A geostationary view comes in scan angles, which the
height of the satellite turns to meters. Latitude and longitude per pixel are a swath:
no grid, and refused, unless they are a grid written out at length.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import netCDF4
import numpy as np
import pyproj
from affine import Affine
from jaxtyping import Float64
from numpy.typing import NDArray
from pyproj.exceptions import CRSError

from pipeline.archive.formats.netcdf import Variable, attributes, coordinate, number_of, text_of, variables
from pipeline.archive.placement import (
    Placement,
    checked_transform,
    crs_from_text,
    transform_from_centers,
    unit_assumed,
)
from pipeline.errors import UnusableInputError
from pipeline.settings import ArchiveSettings
from pipeline.text import shortened

_METERS = {
    "m": 1.0, "meter": 1.0, "meters": 1.0, "metre": 1.0, "metres": 1.0,
    "km": 1e3, "kilometer": 1e3, "kilometers": 1e3, "kilometre": 1e3, "kilometres": 1e3,
}  # fmt: skip
_RADIANS = {
    "rad": 1.0,
    "radian": 1.0,
    "radians": 1.0,
    "microradian": 1e-6,
    "microradians": 1e-6,
    "urad": 1e-6,
}
# Role: start of the standard name, unit, names.
_ROLES = {
    "lat": ("latitude", re.compile(r"degrees?_?n(orth)?$", re.IGNORECASE), ("lat", "latitude", "nav_lat")),
    "lon": ("longitude", re.compile(r"degrees?_?e(ast)?$", re.IGNORECASE), ("lon", "longitude", "nav_lon")),
    "y": ("projection_y_", None, ("y", "yc", "northing", "ydim")),
    "x": ("projection_x_", None, ("x", "xc", "easting", "xdim")),
}


@dataclass(frozen=True)
class Axis:
    """The centers of rows or columns.

    Attributes:
        role: "lat", "lon", "y" or "x".
        centers: In the file's unit.
        slack: Rounding of the stored numbers.
        units: As spelled.
    """

    role: str
    centers: Float64[NDArray[np.float64], ...]
    slack: float
    units: str


def place(dataset: netCDF4.Dataset, variable: Variable, settings: ArchiveSettings) -> tuple[Placement, bool]:
    """Where the variable's picture lies, and whether its rows and columns are stored the other way round.

    Raises:
        UnusableInputError: For a swath, for uneven coordinates, and where two sources contradict each other.
    """
    mapping = _grid_mapping(dataset, variable)
    rows, columns = (_axis(dataset, variable, index, settings) for index in (-2, -1))
    crs, source, told = _crs(mapping) if mapping is not None else (None, "", None)
    if rows is None or columns is None:
        flat = _separable(dataset, variable, settings)
        if flat is None and told is None:
            return Placement(), False
        rows, columns = flat or (None, None)
    if rows is None or columns is None:
        return Placement(crs, told, source, "GeoTransform"), False
    turned = rows.role in ("lon", "x") and columns.role in ("lat", "y")
    if turned:
        rows, columns = columns, rows
    placement = _from_axes(columns, rows, crs, source, mapping)
    _agree(placement.transform, told)
    return placement, turned


def _from_axes(
    columns: Axis, rows: Axis, crs: pyproj.CRS | None, source: str, mapping: Variable | None
) -> Placement:
    if columns.role == "lon" or (crs is not None and crs.is_geographic):
        transform = transform_from_centers(columns.centers, rows.centers, max(columns.slack, rows.slack))
        if crs is None or not crs.is_geographic:
            words = "reference system assumed: EPSG:4326 for latitude and longitude"
            return Placement(pyproj.CRS.from_epsg(4326), transform, "assumed", "coordinates", (words,))
        return Placement(crs, transform, source, "coordinates")
    factor_x, factor_y = (_map_units(axis, crs, mapping) for axis in (columns, rows))
    slack = max(columns.slack * factor_x, rows.slack * factor_y)
    transform = transform_from_centers(columns.centers * factor_x, rows.centers * factor_y, slack)
    told = all(axis.units.lower() in {**_METERS, **_RADIANS} for axis in (columns, rows))
    return Placement(crs, transform, source, "coordinates", () if told else unit_assumed(crs))


def _map_units(axis: Axis, crs: pyproj.CRS | None, mapping: Variable | None) -> float:
    """Factor from a projection coordinate's unit to the reference system's; scan angles become meters."""
    unit_m = crs.axis_info[0].unit_conversion_factor if crs is not None and crs.axis_info else 1.0
    if axis.units.lower() in _RADIANS:
        height = (
            number_of(attributes(mapping), "perspective_point_height", 0.0) if mapping is not None else 0.0
        )
        if height <= 0:
            raise UnusableInputError(
                f"{axis.role} is in radians and no perspective_point_height turns it to meters"
            )
        return _RADIANS[axis.units.lower()] * height / unit_m
    return _METERS.get(axis.units.lower(), unit_m) / unit_m


def _grid_mapping(dataset: netCDF4.Dataset, variable: Variable) -> Variable | None:
    everything = variables(dataset)
    named = text_of(attributes(variable), "grid_mapping").split(":")[0].split(" ")[0]
    if named in everything:
        return everything[named]
    scalar = [
        candidate
        for candidate in everything.values()
        if candidate.ndim == 0 and {"grid_mapping_name", "crs_wkt", "spatial_ref"} & set(candidate.ncattrs())
    ]
    return scalar[0] if len(scalar) == 1 else None


def _crs(mapping: Variable) -> tuple[pyproj.CRS | None, str, Affine | None]:
    """Reference system of a grid mapping, its source, and the transform that GDAL's spelling adds."""
    attrs = attributes(mapping)
    source = f"grid mapping {shortened(mapping.name, 40)}"
    told = None
    numbers = text_of(attrs, "GeoTransform").split()
    if len(numbers) == 6:
        try:
            c, a, b, f, d, e = (float(number) for number in numbers)
        except ValueError as error:
            raise UnusableInputError(f"GeoTransform {shortened(numbers, 60)} holds no numbers") from error
        told = checked_transform((a, b, c, d, e, f))
    for name in ("crs_wkt", "spatial_ref"):
        if isinstance(attrs.get(name), str) and attrs[name].strip():
            return crs_from_text(attrs[name]), source, told
    if not text_of(attrs, "grid_mapping_name"):
        return None, "", told
    plain = {name: _plain(value) for name, value in attrs.items() if name not in ("proj4", "proj4text")}
    try:
        return pyproj.CRS.from_cf(plain), source, told
    except (CRSError, KeyError, ValueError, TypeError, IndexError) as error:
        named = shortened(attrs["grid_mapping_name"], 40)
        raise UnusableInputError(f"grid mapping {named!r} is not understood") from error


def _plain(value: Any) -> Any:
    if isinstance(value, np.floating):
        return float(str(value))
    if isinstance(value, np.ndarray):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def _axis(dataset: netCDF4.Dataset, variable: Variable, index: int, settings: ArchiveSettings) -> Axis | None:
    """The 1-D coordinate of one of the variable's dimensions."""
    dimension = variable.dimensions[index]
    along = [c for c in variables(dataset).values() if c.dimensions == (dimension,) and c.size > 1]
    along.sort(key=lambda candidate: candidate.name != dimension)
    for candidate in along:
        if role := coordinate_role(candidate):
            centers, slack = coordinate(candidate, settings)
            return Axis(role, centers, slack, text_of(attributes(candidate), "units"))
    return None


def coordinate_role(candidate: Variable) -> str | None:
    """One of "lat", "lon", "y" or "x" where a variable is a coordinate; None where it is data."""
    attrs = attributes(candidate)
    standard, units = text_of(attrs, "standard_name"), text_of(attrs, "units")
    for role, (start, unit, _) in _ROLES.items():
        if standard.startswith(start) or (unit is not None and unit.match(units)):
            return role
    name = candidate.name.lower()
    for role, (_, _, names) in _ROLES.items():
        if name in names:
            return role
    axis = text_of(attrs, "axis").lower()
    return axis if axis in ("x", "y") and not units.startswith("degree") else None


def _separable(
    dataset: netCDF4.Dataset, variable: Variable, settings: ArchiveSettings
) -> tuple[Axis, Axis] | None:
    """Rows and columns of 2-D latitude and longitude that are a grid after all; None without any.

    Raises:
        UnusableInputError: If they are a swath.
    """
    shape = variable.shape[-2:]
    found = {}
    for candidate in variables(dataset).values():
        if (
            candidate.shape[-2:] == shape
            and candidate.size == shape[0] * shape[1]
            and candidate.name != variable.name
            and (role := coordinate_role(candidate))
        ):
            centers, slack = coordinate(candidate, settings)
            found[role] = Axis(role, centers.reshape(shape), slack, text_of(attributes(candidate), "units"))
    for north, east in (("lat", "lon"), ("y", "x")):
        if north in found and east in found:
            return _flattened(found[north], found[east])
    return None


def _flattened(north: Axis, east: Axis) -> tuple[Axis, Axis]:
    rows, columns = north.centers[:, 0], east.centers[0]
    slack = 2 * max(north.slack, east.slack)
    even = (
        np.abs(north.centers - rows[:, None]).max() <= slack and np.abs(east.centers - columns).max() <= slack
    )
    if not even:
        raise UnusableInputError(
            "is a swath: latitude and longitude are given per pixel, there is no grid; resample it first"
        )
    return replace(north, centers=rows), replace(east, centers=columns)


def _agree(found: Affine | None, told: Affine | None) -> None:
    if found is None or told is None:
        return
    pixel = max(abs(found.a) + abs(found.b), abs(found.d) + abs(found.e))
    apart = max(abs(found.c - told.c), abs(found.f - told.f))
    if apart > 0.5 * pixel or max(abs(found.a - told.a), abs(found.e - told.e)) > 0.01 * pixel:
        raise UnusableInputError(
            f"contradicts itself: its coordinates say {tuple(found)[:6]}, its GeoTransform {tuple(told)[:6]}"
        )

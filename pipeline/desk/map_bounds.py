"""Boxes and pixels of one reference system, seen in another."""

from __future__ import annotations

import math
from typing import Any

from odc.geo.geobox import GeoBox
from pyproj import CRS, Transformer

Box = tuple[float, float, float, float]  # west, south, east, north


def bounds_of(geobox: GeoBox, crs: Any) -> Box:
    """Least and greatest coordinates of a grid in another reference system."""
    west, south, east, north = geobox.boundingbox.bbox
    return bounds_in((west, south, east, north), geobox.crs, crs)


def bounds_in(box: Box, theirs: Any, crs: Any) -> Box:
    """West, south, east, north of a box of one reference system in another."""
    source, target = CRS.from_user_input(str(theirs)), CRS.from_user_input(str(crs))
    if source == target:
        return box
    west, south, east, north = Transformer.from_crs(source, target, always_xy=True).transform_bounds(*box)
    return west, south, east, north


def pixel_side(theirs: GeoBox, grid: GeoBox) -> float:
    """Side of a pixel in the middle of one grid, in pixels of another; for a turned grid rather too long."""
    row, column = (size // 2 for size in theirs.shape)
    west, south, east, north = bounds_of(theirs[row : row + 1, column : column + 1], grid.crs)
    return round(math.sqrt((east - west) * (north - south) / abs(grid.affine.determinant)), 6)

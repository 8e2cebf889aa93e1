"""Where pixels lie on the Earth.

A `Grid` is anchored at pixel *edges*: refining it keeps the outer border and
splits every pixel, so coordinates of centers shift by a fraction of a pixel.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
from affine import Affine
from jaxtyping import Float64
from numpy.typing import NDArray
from pyproj import CRS

# Words in WKT and in what it embeds that make PROJ look for a grid or open a file; @null is no file.
_OPENS_FILES = re.compile(
    r"grids\s*=(?!@null(?:[\"'\s]|$))|(?:init|file|datumgrid)\s*=|PARAMETERFILE|CONCATENATEDOPERATION|"
    r"\+proj\s*=\s*(?:pipeline|deformation|\w*gridshift)",
    re.IGNORECASE,
)


def names_files(crs_text: str) -> bool:
    """Whether the text of a reference system names a grid or a file for PROJ to open."""
    return _OPENS_FILES.search(crs_text) is not None


@dataclass(frozen=True)
class Window:
    """A rectangle of pixels: its first row and column, its size."""

    row: int
    column: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """For indexing (y, x) arrays."""
        return slice(self.row, self.row + self.height), slice(self.column, self.column + self.width)

    def refine(self, scale: int) -> Window:
        """The same rectangle on a grid refined by `scale`."""
        return Window(self.row * scale, self.column * scale, self.height * scale, self.width * scale)

    def grow(self, halo_px: int, shape: tuple[int, int]) -> Window:
        """The rectangle with a halo, cut at the raster's border."""
        top, left = max(self.row - halo_px, 0), max(self.column - halo_px, 0)
        bottom = min(self.row + self.height + halo_px, shape[0])
        right = min(self.column + self.width + halo_px, shape[1])
        return Window(top, left, bottom - top, right - left)

    def within(self, outer: Window) -> Window:
        """This rectangle in the pixel coordinates of `outer`, which contains it."""
        return Window(self.row - outer.row, self.column - outer.column, self.height, self.width)


def tile_windows(shape: tuple[int, int], tile_px: int) -> list[Window]:
    """Windows that cover (y, x) once each, row by row; the last of a row or column may be smaller.

    Raises:
        ValueError: If `tile_px` is below 1.
    """
    if tile_px < 1:
        raise ValueError(f"tile_px must be at least 1, got {tile_px}")
    height, width = shape
    return [
        Window(row, column, min(tile_px, height - row), min(tile_px, width - column))
        for row in range(0, height, tile_px)
        for column in range(0, width, tile_px)
    ]


@dataclass(frozen=True)
class Grid:
    """A raster's frame: reference system, affine transform of pixel corners, size.

    Attributes:
        crs_wkt: Coordinate reference system as WKT2, or None where none is known.
        transform: Maps pixel corners (column, row) to map coordinates (x, y); None where none is known.
        height: Rows.
        width: Columns.
    """

    crs_wkt: str | None
    transform: Affine | None
    height: int
    width: int

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise ValueError(f"a grid has at least one pixel, got {self.height} x {self.width}")
        if self.transform is not None and abs(self.transform.determinant) == 0:
            raise ValueError(f"the transform {tuple(self.transform)[:6]} has no area")

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.height, self.width

    @property
    def georeferenced(self) -> bool:
        """Whether both a reference system and a transform are known."""
        return self.crs_wkt is not None and self.transform is not None

    @property
    def rectilinear(self) -> bool:
        """Whether rows and columns run along the map's axes, so that 1-D coordinates exist."""
        return self.transform is not None and self.transform.b == 0 and self.transform.d == 0

    def refine(self, scale: int) -> Grid:
        """The grid with every pixel split into scale x scale; the outer corners do not move.

        Raises:
            ValueError: If `scale` is below 1.
        """
        if scale < 1:
            raise ValueError(f"scale must be at least 1, got {scale}")
        transform = None if self.transform is None else self.transform @ Affine.scale(1.0 / scale)
        return replace(self, transform=transform, height=self.height * scale, width=self.width * scale)

    def coarsen(self, factor: int) -> Grid:
        """The grid of whole blocks of factor x factor pixels; the upper left corner does not move.

        Raises:
            ValueError: If `factor` is below 1 or above the shorter side.
        """
        if not 1 <= factor <= min(self.shape):
            raise ValueError(f"factor must be from 1 to {min(self.shape)}, got {factor}")
        transform = None if self.transform is None else self.transform @ Affine.scale(factor)
        return replace(self, transform=transform, height=self.height // factor, width=self.width // factor)

    def crop(self, row: int, column: int, height: int, width: int) -> Grid:
        """The grid of a window whose first pixel is (row, column)."""
        transform = None if self.transform is None else self.transform @ Affine.translation(column, row)
        return replace(self, transform=transform, height=height, width=width)

    def corners(self) -> list[tuple[float, float]]:
        """Map coordinates of the outer corners: upper left, upper right, lower right, lower left."""
        transform = self.transform or Affine.identity()
        pixels = [(0, 0), (self.width, 0), (self.width, self.height), (0, self.height)]
        return [(float(x), float(y)) for x, y in (transform @ pixel for pixel in pixels)]

    def center_x(self) -> Float64[NDArray[np.float64], " x"]:
        """(x,) map coordinates of column centers; only where the grid is rectilinear."""
        a, _, c, *_ = self._rectilinear_terms()
        return c + a * (np.arange(self.width, dtype=np.float64) + 0.5)

    def center_y(self) -> Float64[NDArray[np.float64], " y"]:
        """(y,) map coordinates of row centers; only where the grid is rectilinear."""
        *_, e, f = self._rectilinear_terms()
        return f + e * (np.arange(self.height, dtype=np.float64) + 0.5)

    def _rectilinear_terms(self) -> tuple[float, ...]:
        if self.transform is None or not self.rectilinear:
            raise ValueError("1-D coordinates exist only on a grid without rotation")
        return tuple(float(term) for term in tuple(self.transform)[:6])


def crs_code(crs_wkt: str) -> str | None:
    """AUTHORITY:CODE of a reference system, e.g. "EPSG:32611"; None where it is no registered one."""
    crs = CRS.from_wkt(crs_wkt)
    authority = crs.to_authority(min_confidence=100)
    if authority is None or CRS.from_authority(*authority) != crs:
        return None
    return ":".join(authority)


def crs_name(crs_wkt: str) -> str:
    """What people call a reference system: its code; without one its projection, e.g. "Sinusoidal"."""
    crs = CRS.from_wkt(crs_wkt)
    operation = crs.coordinate_operation
    return crs_code(crs_wkt) or (operation.method_name if operation else crs.type_name)

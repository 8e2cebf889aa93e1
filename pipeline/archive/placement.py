"""Where a scene lies, from whatever its file says.

Coordinate vectors hold pixel centers, a transform maps corners; half a pixel lies
between them. An identity transform is what libraries return for "I do not know".
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyproj
from affine import Affine
from jaxtyping import Float64
from numpy.typing import NDArray
from pyproj.exceptions import CRSError

from pipeline.errors import UnusableInputError
from pipeline.grid import Grid, names_files
from pipeline.settings import ArchiveSettings, ProductRule
from pipeline.text import shortened

_CODE = re.compile(r"^(EPSG|ESRI|OGC|IAU_2015|IAU):[A-Za-z0-9_]{1,20}$", re.IGNORECASE)
_WKT = re.compile(
    r"^(PROJCS|GEOGCS|PROJCRS|PROJECTEDCRS|GEOGCRS|GEOGRAPHICCRS|GEODCRS|BOUNDCRS|COMPD_CS|COMPOUNDCRS)\s*[\[(]",
    re.IGNORECASE,
)

_PROJ_FORBIDDEN = re.compile(r"init=|nadgrids|geoidgrids|file=|\.\.|//|\+datumgrid")
EVENNESS = 1e-3  # steps between coordinates may differ by this share of the mean step


@dataclass(frozen=True)
class Placement:
    """A reference system and a transform, each with its source; either may be missing.

    Attributes:
        crs: The reference system.
        transform: Pixel corners to map coordinates.
        crs_source: Where the reference system came from.
        transform_source: Where the transform came from.
        assumptions: What had to be assumed.
    """

    crs: pyproj.CRS | None = None
    transform: Affine | None = None
    crs_source: str = ""
    transform_source: str = ""
    assumptions: tuple[str, ...] = ()

    def with_rule(self, rule: ProductRule | None, shape: tuple[int, int]) -> Placement:
        """The same place with the reference system and the transform or bounds of a person's rule.

        Raises:
            UnusableInputError: If they make no sense, or a reference system comes without a transform.
        """
        if rule is None or (rule.crs is None and rule.transform is None and rule.bounds is None):
            return self
        source = f"[[archive.products]] {rule.pattern}"
        if rule.transform is not None:
            given = checked_transform(rule.transform)
            self = replace(self, transform=given, transform_source=source)
        elif rule.bounds is not None:
            given = _transform_of(rule.bounds, shape)
            self = replace(self, transform=given, transform_source=source)
        if rule.crs is None:
            return self
        if self.transform is None:
            raise UnusableInputError(
                f"{source} gives a crs, but nothing gives a transform; add it there, or bounds"
            )
        told = crs_from_text(rule.crs)
        kept = tuple(words for words in self.assumptions if not words.startswith("reference system"))
        return replace(self, crs=told, crs_source=source, assumptions=kept)


def _transform_of(bounds: tuple[float, float, float, float], shape: tuple[int, int]) -> Affine:
    """The transform of pixel corners between these edges, north up."""
    (xmin, ymin, xmax, ymax), (height, width) = bounds, shape
    return Affine((xmax - xmin) / width, 0.0, xmin, 0.0, (ymin - ymax) / height, ymax)


def refuse_hostile_crs(text: str) -> None:
    """Raises UnusableInputError where a reference system's text names a grid or a file for PROJ to open."""
    if len(text) > 100_000 or names_files(text):
        raise UnusableInputError(f"reference system {shortened(text, 60)!r} names files for PROJ to open")


def unit_assumed(crs: pyproj.CRS | None) -> tuple[str, ...]:
    """What is assumed where projected coordinates come without a unit: that of their reference system."""
    if crs is None or crs.is_geographic or not crs.axis_info:
        return ()
    return (f"unit of the coordinates assumed: {crs.axis_info[0].unit_name}",)


def crs_from_text(text: str) -> pyproj.CRS:
    """A reference system from a code, WKT or a PROJ string.

    Text that could make PROJ open a file or a URL is refused: files are written by strangers.

    Raises:
        UnusableInputError: If it is none of these or PROJ does not understand it.
    """
    stripped = text.strip()
    proj = stripped.startswith("+proj=") and not _PROJ_FORBIDDEN.search(stripped)
    if len(stripped) > 20_000 or not (_CODE.match(stripped) or _WKT.match(stripped) or proj):
        raise UnusableInputError(
            f"reference system {shortened(text, 60)!r} is no EPSG code, WKT or plain PROJ string"
        )
    refuse_hostile_crs(stripped)
    try:
        return pyproj.CRS.from_user_input(stripped)
    except CRSError as error:
        raise UnusableInputError(f"reference system {shortened(text, 60)!r} is not understood") from error


def checked_transform(terms: Sequence[float]) -> Affine | None:
    """An affine from its six terms in rasterio's order; None for the identity, which means "unknown".

    Raises:
        UnusableInputError: If a term is not finite or pixels have no area.
    """
    a, b, c, d, e, f = [float(term) for term in terms][:6]
    if not all(math.isfinite(term) for term in (a, b, c, d, e, f)):
        raise UnusableInputError(f"its transform has terms that are no numbers: {(a, b, c, d, e, f)}")
    transform = Affine(a, b, c, d, e, f)
    if transform == Affine.identity():
        return None
    if abs(transform.determinant) < 1e-300:
        raise UnusableInputError(f"its transform gives pixels no area: {(a, b, c, d, e, f)}")
    return transform


def transform_from_centers(
    x: Float64[NDArray[np.float64], " x"], y: Float64[NDArray[np.float64], " y"], slack: float = 0.0
) -> Affine:
    """The transform of pixel corners whose centers are at x (columns) and y (rows), evenly spaced.

    Args:
        x: (x,) map coordinates, ascending or descending, at least two.
        y: (y,) map coordinates, ascending or descending, at least two.
        slack: Rounding of the stored coordinates, in map units (float32 coordinates jitter).

    Raises:
        UnusableInputError: If they are fewer than two, not finite or not evenly spaced.
    """
    dx, dy = _step(_unwrapped(x), "columns", slack), _step(y, "rows", slack)
    return Affine(dx, 0.0, float(x[0]) - dx / 2, 0.0, dy, float(y[0]) - dy / 2)


def _unwrapped(x: Float64[NDArray[np.float64], " n"]) -> Float64[NDArray[np.float64], " n"]:
    """Longitudes that jump from 180 to -180 once, made continuous."""
    if x.size < 3 or not np.abs(x).max() <= 360:
        return x
    steps = np.diff(x)
    jumps = np.flatnonzero(np.abs(steps) > 300)
    if jumps.size != 1:
        return x
    at = int(jumps[0])
    return np.concatenate([x[: at + 1], x[at + 1 :] - np.sign(steps[at]) * 360.0])


def _step(centers: Float64[NDArray[np.float64], " n"], which: str, slack: float) -> float:
    if centers.size < 2 or not np.isfinite(centers).all():
        raise UnusableInputError(f"its coordinates of {which} are too few or not finite")
    step = float(centers[-1] - centers[0]) / (centers.size - 1)
    steps = np.diff(centers)
    if step == 0 or np.abs(steps - step).max() > max(EVENNESS * abs(step), 2 * slack):
        raise UnusableInputError(
            f"its {which} are not evenly spaced (steps {steps.min():.6g} to {steps.max():.6g}): "
            "a swath or stretched grid; resample it to a regular grid first"
        )
    return step


def make_grid(
    placement: Placement, shape: tuple[int, int], settings: ArchiveSettings
) -> tuple[Grid, Placement]:
    """The scene's grid, and the placement with what had to be assumed for it.

    Raises:
        UnusableInputError: If there is no grid on the Earth and `allow_ungeoreferenced` is off, or
            the grid lies nowhere on the Earth.
    """
    missing = "" if placement.crs is not None and placement.transform is not None else (
        "no georeference" if placement.transform is None else "no reference system"
    )  # fmt: skip
    if missing:
        if not settings.allow_ungeoreferenced:
            raise UnusableInputError(f"{missing}, and archive.allow_ungeoreferenced is off")
        placement = replace(placement, assumptions=(*placement.assumptions, missing))
        kept = None if placement.transform is None else placement.transform
        return Grid(None, kept, *shape), placement
    assert placement.crs is not None
    assert placement.transform is not None
    if placement.crs.is_geographic:
        longitude, latitude = placement.transform @ (shape[1] / 2, shape[0] / 2)
        if abs(latitude) > 90.001 or abs(longitude) > 720:
            raise UnusableInputError(
                f"its grid is in degrees, but its center lies at {longitude:.6g}, {latitude:.6g}: nowhere"
            )
    return Grid(_described(placement.crs), placement.transform, *shape), placement


def _described(crs: pyproj.CRS) -> str:
    """WKT2 of a reference system that CF can describe as well, as products have to."""
    try:
        crs.to_cf()
        wkt = crs.to_wkt("WKT2_2019")
    except (CRSError, KeyError, TypeError, ValueError) as error:
        raise UnusableInputError(
            f"reference system {shortened(crs.name, 60)!r} lacks parameters ({shortened(error, 40)})"
        ) from error
    refuse_hostile_crs(wkt)
    return wkt


def gsd_m(crs: pyproj.CRS | None, transform: Affine | None, shape: tuple[int, int]) -> tuple[float, float]:
    """Pixel spacing on the ground as (y, x), in meters; NaN without a grid.

    At the scene's center for degrees and Mercator, at the sub-satellite point for a geostationary view.
    """
    if crs is None or transform is None:
        return math.nan, math.nan
    a, b, _, d, e, _ = tuple(transform)[:6]
    center_x, center_y = transform @ (shape[1] / 2, shape[0] / 2)
    if crs.is_geographic:
        geod = crs.get_geod() or pyproj.Geod(ellps="WGS84")
        return _arc_m(geod, center_x, center_y, b, e), _arc_m(geod, center_x, center_y, a, d)
    unit_m = crs.axis_info[0].unit_conversion_factor if crs.axis_info else 1.0
    shrink = 1.0
    method = crs.coordinate_operation.method_name if crs.coordinate_operation else ""
    if "Mercator" in method and "Transverse" not in method and "Oblique" not in method:
        shrink = 1 / math.cosh(min(abs(center_y) * unit_m / 6378137.0, 20.0))
    return math.hypot(b, e) * unit_m * shrink, math.hypot(a, d) * unit_m * shrink


def _arc_m(geod: pyproj.Geod, x: float, y: float, dx: float, dy: float) -> float:
    y = min(max(y, -89.9), 89.9)
    return float(geod.inv(x - dx / 2, y - dy / 2, x + dx / 2, y + dy / 2)[2])

"""A picture for a paper: a product in color with coordinates, a scale bar and a legend in kelvin.

A pixel of the product is a square of whole pixels in a PNG, so nothing is blurred; a product that is larger
than a page can show is drawn as block means.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
import odc.geo.xr  # noqa: F401  adds `.odc` to arrays
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from odc.geo.geobox import GeoBox
from pyproj import CRS

from pipeline.archive.placement import gsd_m
from pipeline.grid import crs_name
from pipeline.products.store.zarr_store import temperature_name
from pipeline.products.views.overview import shrink, shrink_factor, store_reader
from pipeline.products.views.palette import color_scale
from pipeline.text import latin_line
from pipeline.times import span

LARGEST_PX, SMALLEST_PX = 4096, 900  # long side of the map in the picture, at most and at least
Form = Literal["png", "pdf"]
_LINES = 60  # of text that fit into the map's long side
_DOTS_PER_INCH = 100
_LONGEST_BAR = 0.25  # of a scale bar, in widths of the map


def write_map_picture(product: xr.Dataset, path: Path, form: Form) -> None:
    """Draw a product of one date into a file.

    Args:
        product: A store's variables on (y, x), with the place of its grid.
        path: File to write.
        form: Its form. A PNG has in its text the ends of the colors in kelvin (`vmin_K`, `vmax_K`) and the
            left and upper edge, width and height of the map in pixels of the picture (`map_px`).
    """
    figure, told = map_figure(product)
    told = {"Title": latin_line(path.stem)} | (told if form == "png" else {})  # a PDF takes no others
    with matplotlib.rc_context({"pdf.fonttype": 42}):  # letters as letters: journals want it
        FigureCanvasAgg(figure).print_figure(path, format=form, metadata=told, dpi=_DOTS_PER_INCH)


def map_figure(product: xr.Dataset) -> tuple[Figure, dict[str, str]]:
    """The figure of `write_map_picture`, and what its PNG tells in its text."""
    name = temperature_name(product)
    read, grid = store_reader(product[name]), product.odc.geobox
    shape = grid.height, grid.width
    kelvin = shrink(read, shape, shrink_factor(shape, LARGEST_PX))
    scale = color_scale(kelvin)
    enlarged = max(1, -(-SMALLEST_PX // max(kelvin.shape)))
    height, width = (enlarged * size for size in kelvin.shape)
    line_px = max(height, width) / _LINES
    left, right, top, bottom = (round(line_px * lines) for lines in (6, 2, 2.5, 8))
    across, down = left + width + right, top + height + bottom
    inches = across / _DOTS_PER_INCH, down / _DOTS_PER_INCH
    figure = Figure(inches, dpi=_DOTS_PER_INCH, facecolor="white")
    axes = figure.add_axes((left / across, bottom / down, width / across, height / down))
    looks: dict[str, Any] = {"cmap": "turbo", "vmin": scale.low_k, "vmax": scale.high_k}
    image = axes.imshow(
        np.ma.masked_invalid(kelvin), interpolation="nearest", extent=_extent(grid), aspect="auto", **looks
    )
    points = 0.85 * line_px * 72 / _DOTS_PER_INCH
    _coordinates(axes, grid, points)
    _scale_bar(axes, grid, points)
    axes.set_title(_moment(product), fontsize=points)
    legend = figure.add_axes((left / across, 3 * line_px / down, width / across, line_px / down))
    figure.colorbar(image, cax=legend, orientation="horizontal", extend="both")
    legend.set_xlabel(f"{name.replace('_', ' ')} (K)", fontsize=points)
    legend.tick_params(labelsize=points)
    ends = {"vmin_K": f"{scale.low_k:.3f}", "vmax_K": f"{scale.high_k:.3f}", "cmap": looks["cmap"]}
    return figure, ends | {"map_px": f"{left},{top},{width},{height}"}


def _moment(product: xr.Dataset) -> str:
    """When it was acquired, a day alone where midnight is told; empty where nothing is known."""
    moment = product.time.values if "time" in product.coords else np.datetime64("NaT")
    if np.isnat(moment):
        return ""
    first, last = span(f"{np.datetime_as_string(moment, unit='s')}Z")
    return first[:10] if first != last else f"{first[:16].replace('T', ' ')} UTC"


def _crs(grid: GeoBox) -> CRS:
    return CRS.from_user_input(str(grid.crs))


def _extent(grid: GeoBox) -> tuple[float, float, float, float]:
    """Left, right, lower and upper edge: kilometers, degrees, or pixels of a turned grid."""
    if not grid.axis_aligned:
        return 0, grid.width, grid.height, 0
    unit = 1.0 if _crs(grid).is_geographic else 1000.0
    left, upper = grid.affine @ (0, 0)
    right, lower = grid.affine @ (grid.width, grid.height)
    return left / unit, right / unit, lower / unit, upper / unit


def _coordinates(axes: Axes, grid: GeoBox, points: float) -> None:
    """Say along both axes what they count."""
    if not grid.axis_aligned:
        words = "column (pixels)", "row (pixels)"
    elif _crs(grid).is_geographic:
        words = "longitude (degrees east)", "latitude (degrees north)"
    else:
        words = f"x (km, {crs_name(_crs(grid).to_wkt())})", "y (km)"
    axes.set_xlabel(words[0], fontsize=points)
    axes.set_ylabel(words[1], fontsize=points)
    axes.tick_params(labelsize=points)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5))
    axes.ticklabel_format(useOffset=False, style="plain")


def _scale_bar(axes: Axes, grid: GeoBox, points: float) -> None:
    """A bar of a round length in the lower left corner."""
    width_m = grid.width * gsd_m(_crs(grid), grid.affine, (grid.height, grid.width))[1]
    length_m = round_length(_LONGEST_BAR * width_m)
    words = f"{length_m / 1000:g} km" if length_m >= 1000 else f"{length_m:g} m"
    left, right, height = 0.04, 0.04 + length_m / width_m, 0.04
    place: dict[str, Any] = {"transform": axes.transAxes, "zorder": 5}
    for color, thick in (("white", 0.6), ("black", 0.3)):
        looks: dict[str, Any] = {"color": color, "linewidth": thick * points, "solid_capstyle": "butt"}
        axes.plot([left, right], [height, height], **looks, **place)
    back = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.15 * points}
    middle = (left + right) / 2
    axes.text(middle, height + 0.015, words, ha="center", va="bottom", fontsize=points, bbox=back, **place)


def round_length(most: float) -> float:
    """The largest of ..., 1, 2, 5, 10, 20, ... that is at most so long."""
    power = float(10.0 ** math.floor(math.log10(most)))
    return next(step * power for step in (5, 2, 1) if step * power <= most)

"""One page for a product: a single HTML file that needs no network and no program but a browser.

A person swipes between the scene as measured, bicubic and the product, points at a pixel, draws a profile,
frames a box, and reads kelvin with its uncertainty and its flag: the store's numbers, to a hundredth of a
kelvin. The page loads nothing, and words from files reach it as text only.
"""

from __future__ import annotations

import base64
import math
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.colors import to_rgb
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

from pipeline.figures import AREA_ERRORS, FIGURES
from pipeline.grid import Grid, crs_name
from pipeline.page_frame import fill_page
from pipeline.products.store.georeference import transform_terms
from pipeline.products.store.zarr_store import open_store
from pipeline.products.view_context import ViewContext
from pipeline.products.views.page_data import (
    Layers,
    around,
    guide_layer,
    likely_bytes,
    measured_layer,
    notable_places,
    overview_layers,
    pack_kelvin,
    piece_layers,
)
from pipeline.products.views.palette import FLAG_COLORS, color_scale
from pipeline.products.views.verdict import described, headline
from pipeline.scene import FLAG_MEANINGS
from pipeline.text import one_line

LARGEST_BYTES = 8_000_000
_LIMITS_PX = (1536, 1280, 1024, 768, 512)  # long side of the whole product on the page; the first that fits
_NET = 17  # places known in degrees along each side
_COLORS = {
    "turbo": "turbo",
    "gray": "gray",
    "guide": "gray",
    "cividis": "cividis",
    "difference": "RdBu_r",
    "uncertainty": "magma",
}


def write_page(store: Path, context: ViewContext) -> list[Path]:
    """The view: one file, at most 8 MB; nothing where the settings want no pages."""
    if not context.settings.pages:
        return []
    with open_store(store) as dataset:
        for limit_px in _LIMITS_PX:
            if limit_px != _LIMITS_PX[-1] and likely_bytes(context, dataset, limit_px) > LARGEST_BYTES:
                continue
            page = _page(context, dataset, limit_px)
            if len(page) <= LARGEST_BYTES:
                break
    context.files.page.write_bytes(page)
    return [context.files.page]


def _page(context: ViewContext, dataset: xr.Dataset, limit_px: int) -> bytes:
    data = _data(context, dataset, limit_px)
    return fill_page("pipeline.products.views", "page", title=context.files.stem, data=data).encode()


def _data(context: ViewContext, dataset: xr.Dataset, limit_px: int) -> dict[str, Any]:
    """Everything that the page shows, as plain JSON."""
    enhancement = context.enhancement
    overview, factor = overview_layers(context, dataset, limit_px)
    measured, measured_factor = measured_layer(context, limit_px)
    places = notable_places(overview, factor, context)
    scale = color_scale(enhancement.scene.temperature)
    verdict, good = headline(context)
    return {
        "title": one_line(context.files.stem),
        "verdict": verdict,
        "good": good,
        "about": described(context),
        "scale": enhancement.scale,
        "shape": list(enhancement.grid.shape),
        "factor": factor,
        "measured_factor": measured_factor,
        "overview": overview.packed(),
        "measured": pack_kelvin(measured),
        **_guide(context, limit_px),
        "windows": _windows(context, dataset, places) if factor > 1 else [],
        "places": [{"why": why, "row": row, "column": column} for why, row, column in places],
        "flags": {str(value): meaning.replace("_", " ") for value, meaning in FLAG_MEANINGS.items()},
        "palettes": _palettes(),
        "range_k": [round(scale.low_k, 2), round(scale.high_k, 2)],
        **_limits(overview),
        **_place(enhancement.grid),
        "area_errors": _area_errors(context),
        "facts": _facts(context),
    }


def _guide(context: ViewContext, limit_px: int) -> dict[str, Any]:
    """The guide and the ends of its colors, where there is one."""
    if (guide := guide_layer(context, limit_px)) is None:
        return {}
    low, high = np.nanpercentile(guide, [2, 98]).tolist()
    return {"guide": pack_kelvin(guide, 1e-6), "guide_range": [low, max(high, low + 1e-6)]}


def _windows(
    context: ViewContext, dataset: xr.Dataset, places: list[tuple[str, int, int]]
) -> list[dict[str, Any]]:
    shape = context.enhancement.grid.shape
    windows = {around(row, column, shape): None for _, row, column in places}
    return [
        {"row": one.row, "column": one.column, "layers": piece_layers(context, dataset, one).packed()}
        for one in windows
    ]


def _limits(layers: Layers) -> dict[str, float]:
    """Ends of the colors of differences and of uncertainties: 99 of 100 pixels lie within."""
    difference = np.abs(layers.product - layers.bicubic)
    named = {"difference_k": difference, "uncertainty_k": layers.uncertainty}
    valid = {name: values[np.isfinite(values)] for name, values in named.items()}
    return {
        name: max(0.05, round(float(np.percentile(values, 99)), 3)) if values.size else 1.0
        for name, values in valid.items()
    }


def _place(grid: Grid) -> dict[str, Any]:
    """How rows and columns become map coordinates and degrees."""
    if grid.transform is None:
        return {"transform": None, "crs": None, "degrees": None, "decimals": 0}
    terms = transform_terms(grid)
    spacing = math.hypot(terms[0], terms[3])
    return {
        "transform": list(terms),
        "crs": None if grid.crs_wkt is None else crs_name(grid.crs_wkt),
        "degrees": _degrees(grid),
        "decimals": max(0, 2 - math.floor(math.log10(spacing))),
    }


def _degrees(grid: Grid) -> dict[str, Any] | None:
    """Longitudes and latitudes of a net of pixel corners; None off the globe or without a system."""
    if grid.crs_wkt is None:
        return None
    rows, columns = (np.linspace(0, size, _NET) for size in grid.shape)
    a, b, c, d, e, f = transform_terms(grid)
    across, down = np.meshgrid(columns, rows)
    try:
        transformer = Transformer.from_crs(CRS.from_wkt(grid.crs_wkt), "OGC:CRS84", always_xy=True)
        longitude, latitude = transformer.transform(a * across + b * down + c, d * across + e * down + f)
    except ProjError:
        return None
    if not (np.isfinite(longitude).all() and np.isfinite(latitude).all()) or np.ptp(longitude) > 180:
        return (
            None  # partly off the globe, or across the antimeridian, where the mean of two is a third place
        )
    return {
        "rows": rows.tolist(),
        "columns": columns.tolist(),
        "longitude": longitude.round(9).tolist(),
        "latitude": latitude.round(9).tolist(),
    }


def _facts(context: ViewContext) -> list[tuple[str, str]]:
    """Every figure that is known, with its unit and meaning."""
    known = {**context.figures, **context.summary.figures()}
    told = [
        (f"{figure.label}: {figure.text(known)}", figure.meaning)
        for figure in FIGURES.values()
        if figure.text(known)
    ]
    return [(one_line(words), meaning) for words, meaning in told]


def _area_errors(context: ViewContext) -> list[dict[str, float]]:
    """The error of means over so many scene pixels, in kelvin, as far as the self-test tells."""
    known = {area: figure.value(context.figures) for area, figure in AREA_ERRORS.items()}
    return [{"scene_px": area, "error_k": error} for area, error in known.items() if error is not None]


@cache
def _palettes() -> dict[str, str]:
    """256 RGB triples of every color table, and one of each flag, in base64."""
    shares = np.linspace(0, 1, 256)
    tables = {name: matplotlib.colormaps[theirs](shares)[:, :3] for name, theirs in _COLORS.items()}
    tables["flag"] = np.array(
        [to_rgb(FLAG_COLORS.get(value, "#000000")) for value in range(max(FLAG_MEANINGS) + 1)]
    )
    return {
        name: base64.b64encode(np.rint(table * 255).astype(np.uint8).tobytes()).decode("ascii")
        for name, table in tables.items()
    }

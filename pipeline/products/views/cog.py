"""Cloud-optimized GeoTIFF views of the store: temperature, uncertainty, flags.

GDAL builds them from a plain staged GeoTIFF, because it wants to see the pixels
more than once and memory has to stay small. Whatever the file should say is said in
the staged file already: editing a finished one would break its order of bytes.
Overviews are those of the store, put beside it in a virtual raster: GDAL's own would average kelvin only.
"""

from __future__ import annotations

import logging
import shutil
import uuid
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from xml.etree import ElementTree

import numpy as np
import rasterio
import rasterio.shutil
import xarray as xr
import zarr
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError
from rasterio.windows import Window as RasterWindow

from pipeline.grid import Grid, tile_windows
from pipeline.products.store.attributes import FLAG_VARIABLE
from pipeline.products.store.overviews import overviews_of
from pipeline.products.store.zarr_store import open_store, temperature_name
from pipeline.products.view_context import ViewContext
from pipeline.scene import FLAG_MEANINGS
from pipeline.text import one_line

log = logging.getLogger(__name__)

BLOCK_PX = 512
CACHE_MB = 128  # GDAL's default is a share of the machine's memory
READ_PX = 2048  # side of the piece that is held in memory while staging


@dataclass(frozen=True)
class _Band:
    """One variable of the store on its way into a file of its own."""

    values: xr.DataArray
    grid: Grid
    unit: str
    nodata: float | None
    overviews: Sequence[zarr.Array[Any]]
    tags: Mapping[str, str]


def write_cogs(store: Path, context: ViewContext) -> list[Path]:
    """The view: three strictly valid files with the store's pixels, bit for bit."""
    grid = context.enhancement.grid
    with open_store(store) as dataset:
        name = temperature_name(dataset)
        jobs = {
            context.files.temperature_cog: (name, "K", float("nan")),
            context.files.uncertainty_cog: (f"{name}_uncertainty", "K", float("nan")),
            context.files.quality_cog: (FLAG_VARIABLE, "1", None),
        }
        for path, (variable, unit, nodata) in jobs.items():
            levels = overviews_of(store, variable)
            band = _Band(dataset[variable], grid, unit, nodata, levels, _tags(context, variable))
            write_cog(path, band, context=context)
    return list(jobs)


def write_cog(path: Path, band: _Band, *, context: ViewContext) -> None:
    """Write one variable as one file, through a staged neighbor that is deleted afterwards.

    Raises:
        OSError: The file cannot be written; the disk is full, most likely.
    """
    staging = path.with_name(f".staged-{uuid.uuid4().hex[:8]}")
    floats = band.values.dtype.kind == "f"
    with rasterio.Env(GDAL_CACHEMAX=CACHE_MB, GDAL_PAM_ENABLED="NO"), warnings.catch_warnings():
        # A scene whose place is unknown is said to be so in the store, the item and the record.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            staging.mkdir()
            rasterio.shutil.copy(
                _stage(staging, band),
                path,
                driver="COG",
                compress=context.settings.cog_compression.upper(),
                level=context.settings.compression,
                predictor="FLOATING_POINT" if floats else "STANDARD",
                blocksize=BLOCK_PX,
                bigtiff="IF_SAFER",
                statistics="YES" if floats else "NO",
            )
        except RasterioIOError as error:  # GDAL prints "No space left on device" and hands on that it failed
            why = one_line(error.__cause__ or error)
            raise OSError(f"{path.name} cannot be written, is the disk full? GDAL says: {why}") from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    log.debug("%s: %s written", context.files.scene_id, path.name)


def _stage(staging: Path, band: _Band) -> Path:
    """A virtual raster: the pixels with everything the view has to say, and the store's overviews."""
    whole = staging / "whole.tif"
    with rasterio.open(whole, "w", **_profile(band)) as target:
        target.update_tags(**band.tags, AREA_OR_POINT="Area")
        target.descriptions = (str(band.values.name),)
        target.units = (band.unit,)
        _fill(target, band.values)
    virtual = staging / "whole.vrt"
    rasterio.shutil.copy(whole, virtual, driver="VRT")
    tree = ElementTree.parse(virtual)  # noqa: S314  GDAL wrote it a moment ago
    raster = tree.find("VRTRasterBand")
    for number, level in enumerate(band.overviews):
        path = staging / f"{number}.tif"
        height, width = level.shape
        place = {"height": height, "width": width, "transform": None, "crs": None}
        with rasterio.open(path, "w", **{**_profile(band), **place}) as target:
            _fill(target, level)
        overview = ElementTree.SubElement(cast(ElementTree.Element, raster), "Overview")
        ElementTree.SubElement(overview, "SourceFilename", relativeToVRT="1").text = path.name
        ElementTree.SubElement(overview, "SourceBand").text = "1"
    tree.write(virtual)
    return virtual


def _fill(target: Any, values: xr.DataArray | zarr.Array[Any]) -> None:
    """Copy a (y, x) array into an open raster, piece by piece."""
    for window in tile_windows(cast(tuple[int, int], values.shape), READ_PX):
        place = RasterWindow(window.column, window.row, window.width, window.height)
        target.write(np.asarray(values[window.slices]), 1, window=place)


def _profile(band: _Band) -> dict[str, Any]:
    """Of the staged file: a plain tiled GeoTIFF, sparse and quick to write, deleted afterwards."""
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "dtype": band.values.dtype.name,
        "count": 1,
        "height": band.grid.height,
        "width": band.grid.width,
        "crs": None if band.grid.crs_wkt is None else rasterio.CRS.from_wkt(band.grid.crs_wkt),
        "nodata": band.nodata,
        "tiled": True,
        "blockxsize": BLOCK_PX,
        "blockysize": BLOCK_PX,
        "bigtiff": "IF_SAFER",
        "sparse_ok": True,
    }
    if band.grid.transform is not None:
        profile["transform"] = band.grid.transform
    return profile


def _tags(context: ViewContext, variable: str) -> dict[str, str]:
    enhancement = context.enhancement
    tags = {
        "scene_id": enhancement.scene.ref.scene_id,
        "sr_scale_factor": str(enhancement.scale),
        "input_sha256": enhancement.scene.ref.digest,
        "georeferenced": str(enhancement.grid.georeferenced).lower(),
        "TIFFTAG_SOFTWARE": "thermal-sr",
        **{name: one_line(value) for name, value in context.tags.items()},
    }
    if variable == FLAG_VARIABLE:
        tags["flag_meanings"] = ", ".join(f"{value} {meaning}" for value, meaning in FLAG_MEANINGS.items())
    if context.created:
        tags["TIFFTAG_DATETIME"] = context.created.replace("-", ":").replace("T", " ").rstrip("Z")
    return tags

"""A product in a form for other programs: NetCDF with the types that CF wants, GeoTIFF, table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import odc.geo.xr  # noqa: F401  adds `.odc` to arrays
import rasterio
import rasterio.shutil
import xarray as xr
from rasterio.windows import Window as RasterWindow

from pipeline.errors import UnusableInputError
from pipeline.grid import tile_windows
from pipeline.products.store.attributes import FLAG_VARIABLE
from pipeline.products.store.zarr_store import temperature_name

_LARGEST_TABLE = 5_000_000  # pixels
_READ_PX = 2048  # side of the piece that is held in memory


def write_netcdf(product: xr.Dataset, path: Path) -> None:
    """All variables as compressed NetCDF-4; numbers in attributes have the type of their variable."""
    typed = product.drop_encoding()
    temperature = product[temperature_name(product)]
    if bool(temperature.notnull().any()):
        ends = [float(temperature.min()), float(temperature.max())]
        typed[temperature.name].attrs["actual_range"] = ends
    for name in typed.variables:
        typed[name].attrs = _typed(typed[name])
    # CF wants no colons; its own words for the same place are in `spatial_ref`, x and y.
    typed.attrs = {name: value for name, value in typed.attrs.items() if ":" not in name}
    packed: dict[str, Any] = {"zlib": True, "complevel": 4}
    floats = {name: product[name].dtype.kind == "f" for name in product.data_vars}
    fills = {name: {"_FillValue": np.float32(np.nan) if floats[name] else None} for name in floats}
    encoding = {name: {**packed, **fills[name]} for name in floats}
    encoding |= {name: {"_FillValue": None} for name in ("y", "x") if name in typed.coords}
    typed.to_netcdf(path, engine="netcdf4", encoding=encoding)


def write_cog(product: xr.Dataset, path: Path) -> None:
    """Temperature and uncertainty as the two bands of a cloud-optimized GeoTIFF, NaN for no data."""
    name = temperature_name(product)
    names = [name, f"{name}_uncertainty"]
    grid = product.odc.geobox
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "dtype": "float32",
        "count": len(names),
        "height": grid.height,
        "width": grid.width,
        "crs": rasterio.CRS.from_user_input(str(grid.crs)),
        "transform": grid.affine,
        "nodata": float("nan"),
        "tiled": True,
        "compress": "zstd",
        "bigtiff": "IF_SAFER",
    }
    staged = path.with_name(f".{path.name}.staged")
    try:
        with rasterio.open(staged, "w", **profile) as target:
            target.descriptions, target.units = tuple(names), ("K", "K")
            for window in tile_windows((grid.height, grid.width), _READ_PX):
                place = RasterWindow(window.column, window.row, window.width, window.height)
                for band, variable in enumerate(names, start=1):
                    target.write(np.asarray(product[variable][window.slices]), band, window=place)
        rasterio.shutil.copy(staged, path, driver="COG", compress="ZSTD", predictor="FLOATING_POINT")
    finally:
        staged.unlink(missing_ok=True)


def write_csv(product: xr.Dataset, path: Path) -> None:
    """A row for every pixel with data: place, kelvin, uncertainty, flag.

    Raises:
        UnusableInputError: If there are more than 5 million pixels.
    """
    name = temperature_name(product)
    names = [name, f"{name}_uncertainty", FLAG_VARIABLE]
    if product[name].size > _LARGEST_TABLE:
        raise UnusableInputError(
            f"{product[name].size} pixels are too many for a table, at most {_LARGEST_TABLE}; "
            "take a part with --box, or --to netcdf"
        )
    table = product[names].drop_vars(["spatial_ref", "time"], errors="ignore").to_dataframe()
    table.dropna(subset=[name]).to_csv(path, float_format="%.10g")


def _typed(variable: xr.DataArray) -> dict[str, Any]:
    """Attributes, those in the units of the variable in its type: JSON knows no types, CF wants them."""
    told = dict(variable.attrs)
    for name in ("flag_values", "actual_range", "nodata"):
        if name in told:
            told[name] = np.asarray(told[name], variable.dtype)
    return told

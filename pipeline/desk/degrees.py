"""Longitude and latitude of every pixel, for rotated and geostationary grids, which do not say them."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from jaxtyping import Float64
from numpy.typing import NDArray
from pyproj import Transformer

from pipeline.desk.cube import CHUNK_PX
from pipeline.products.store.zarr_store import temperature_name

Map = Float64[NDArray[np.float64], "y x"]


def with_degrees(products: xr.Dataset) -> xr.Dataset:
    """The same with coordinates `longitude` and `latitude` (y, x), computed when they are looked at.

    Args:
        products: From `open_products`, or an opened store.

    Returns:
        Degrees east and north of pixel centers; NaN off the globe, as around a full disk.
    """
    geobox = products.odc.geobox
    kelvin = products[temperature_name(products)]
    chunks = [(along,) for along in kelvin.chunks[-2:]] if kelvin.chunks else [CHUNK_PX, CHUNK_PX]
    row, column = (
        da.arange(size, chunks=each) + 0.5 for size, each in zip(geobox.shape, chunks, strict=True)
    )
    a, b, c, d, e, f = tuple(geobox.affine)[:6]
    x = a * column[None, :] + b * row[:, None] + c
    y = d * column[None, :] + e * row[:, None] + f
    told = {}
    for which, (name, units) in enumerate((("longitude", "degrees_east"), ("latitude", "degrees_north"))):
        values: Any = da.map_blocks(_degrees, x, y, str(geobox.crs), which, dtype=np.float64)  # type: ignore[no-untyped-call]
        about = {"standard_name": name, "units": units}
        told[name] = xr.DataArray(values, dims=kelvin.dims[-2:], attrs=about)
    return products.assign_coords(told)


def _degrees(x: Map, y: Map, crs: str, which: int) -> Map:
    to_degrees = Transformer.from_crs(crs, "OGC:CRS84", always_xy=True)
    found = np.asarray(to_degrees.transform(x, y)[which])
    return np.where(np.isfinite(found), found, np.nan)

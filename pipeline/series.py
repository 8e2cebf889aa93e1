"""Values of a cube along time: the mean over a place, with what is known of its error."""

from __future__ import annotations

import numpy as np
import xarray as xr

from pipeline.cube import Box, bounds_in
from pipeline.errors import UnusableInputError
from pipeline.products.store.zarr_store import temperature_name


def mean_over(cube: xr.Dataset, box: Box) -> xr.Dataset:
    """The mean temperature over a box, date by date, with what is known of its error.

    The projection fixes the mean of every scene pixel, so errors of neighbors cancel faster than independent
    ones would. What the scene's self-test measured over areas of 1, 4, 16 and 64 scene pixels is taken, of
    the largest area that fits into the pixels with data; it has the noise in it. What does not cancel over
    an area comes on top and is not known here: the sensor's calibration and the retrieval's emissivity.

    Args:
        cube: From `open_products`, of one grid.
        box: West, south, east, north in degrees.

    Returns:
        Dataset along time: `mean_k`, `error_k` (one standard error; NaN where no self-test tells it),
        `scene_pixels` (pixels with data, in pixels of the scene).

    Raises:
        UnusableInputError: If no pixel of the cube lies in the box.
    """
    name = temperature_name(cube)
    west, south, east, north = bounds_in(box, "OGC:CRS84", cube.odc.geobox.crs)
    rows, columns = (cube[dim] for dim in cube[name].dims[-2:])
    inside = {
        rows.name: np.flatnonzero((rows >= south) & (rows <= north)),
        columns.name: np.flatnonzero((columns >= west) & (columns <= east)),
    }
    part = cube[name].isel(inside)
    if part.size == 0:
        raise UnusableInputError(f"no pixel lies in the box {box}")
    across = part.dims[-2:]
    scene_pixels = (part.notnull().sum(across) / int(cube.attrs["sr_scale_factor"]) ** 2).compute()
    told = cube.error_of_mean_k.where(cube.area <= scene_pixels).transpose("time", "area").values
    known = [row[np.isfinite(row)] for row in told]
    return xr.Dataset(
        {
            "mean_k": part.astype(np.float64).mean(across).compute(),
            "error_k": ("time", [float(row[-1]) if row.size else np.nan for row in known]),
            "scene_pixels": scene_pixels,
        }
    )

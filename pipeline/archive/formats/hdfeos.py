"""The grid of an HDF-EOS file (VIIRS and MODIS land products as HDF5), out of its text metadata.

These files have no coordinate variables: corners and projection stand in a text called
StructMetadata.0. Only the sinusoidal grid is understood; others are refused, not guessed.
"""

from __future__ import annotations

import math
import re

import netCDF4
import numpy as np
from affine import Affine

from pipeline.archive.formats.netcdf import Variable, variables
from pipeline.archive.placement import Placement, crs_from_text
from pipeline.errors import UnusableInputError
from pipeline.text import shortened

_METADATA = "HDFEOS INFORMATION/StructMetadata.0"
_LONGEST = 1 << 20


def eos_placement(dataset: netCDF4.Dataset, variable: Variable) -> Placement | None:
    """Where a variable of an HDF-EOS grid lies; None where the file is no HDF-EOS grid.

    Raises:
        UnusableInputError: If its grid is not sinusoidal or its corners make no sense.
    """
    metadata = variables(dataset).get(_METADATA)
    if metadata is None or metadata.size > _LONGEST or "/GRIDS/" not in f"{variable.group().path}/":
        return None
    text = _text(metadata)
    grid = variable.group().path.split("/GRIDS/")[1].split("/")[0]
    block, end, _ = text.partition(f'GridName="{grid}"')[2].partition("END_GROUP=GRID_")
    if not end:
        raise UnusableInputError(f"HDF-EOS grid {shortened(grid, 40)!r} has no metadata")
    projection = re.search(r"Projection=(\w+)", block)
    if projection is None or not projection[1].endswith("GCTP_SNSOID"):
        named = shortened(projection[1], 40) if projection else "none"
        raise UnusableInputError(
            f"HDF-EOS projection {named} is not read, only the sinusoidal one; convert it to GeoTIFF first"
        )
    left, top = _numbers(block, "UpperLeftPointMtrs", 2)
    right, bottom = _numbers(block, "LowerRightMtrs", 2)
    radius_m = _numbers(block, "ProjParams", 13)[0]
    height, width = variable.shape[-2:]
    if not (left < right and bottom < top and 6e6 < radius_m < 7e6):
        raise UnusableInputError(f"HDF-EOS grid {shortened(grid, 40)!r} has no sensible corners")
    transform = Affine((right - left) / width, 0.0, left, 0.0, (bottom - top) / height, top)
    crs = crs_from_text(f"+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R={radius_m} +units=m +no_defs")
    return Placement(crs, transform, "StructMetadata.0", "StructMetadata.0")


def _text(metadata: Variable) -> str:
    stored = np.asarray(metadata[...]).reshape(-1)
    parts = [item.decode("latin-1") if isinstance(item, bytes) else str(item) for item in stored]
    return "".join(parts).replace("\t", "")


def _numbers(block: str, key: str, count: int) -> list[float]:
    match = re.search(rf"{key}=\(([-+0-9.eE, ]+)\)", block)
    try:
        numbers = [float(number) for number in match[1].split(",")] if match else []
    except ValueError:
        numbers = []
    if len(numbers) != count or not all(math.isfinite(number) for number in numbers):
        raise UnusableInputError(f"HDF-EOS metadata have no {key} of {count} numbers")
    return numbers

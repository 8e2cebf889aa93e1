"""How many pixels a file has, told by its head; used for forecasts only."""

from __future__ import annotations

from pathlib import Path

from pipeline.archive.formats.geotiff import is_tiff, tiff_pixels
from pipeline.archive.formats.netcdf import open_netcdf, variables
from pipeline.archive.formats.npz import is_zip, open_npz
from pipeline.errors import UnusableInputError
from pipeline.settings import ArchiveSettings


def pixels_in(path: Path, settings: ArchiveSettings) -> int:
    """Pixels of the largest picture in a GeoTIFF, NPZ or NetCDF file; 0 where its head tells none."""
    try:
        if is_tiff(path):
            return tiff_pixels(path)
        if is_zip(path):
            with open_npz(path, settings) as members:
                shapes = [members.shape(name) for name in members.names]
        else:
            with open_netcdf(path) as dataset:
                shapes = [variable.shape for variable in variables(dataset).values()]
    except (UnusableInputError, OSError):
        return 0
    return max((int(shape[-2] * shape[-1]) for shape in shapes if len(shape) >= 2), default=0)

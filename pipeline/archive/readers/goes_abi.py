"""GOES-R ABI brightness temperature on the geostationary fixed grid.

Scan angles come in radians and become meters at the satellite's height. Bands 1 to 6
measure sunlight, whatever their variable is called, and are refused.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np

from pipeline.archive.formats.netcdf import open_netcdf
from pipeline.archive.make_scene import make_scene
from pipeline.archive.readers import netcdf
from pipeline.archive.sensors import BAND_WAVELENGTHS_UM
from pipeline.errors import UnusableInputError
from pipeline.scene import Quantity, Scene, SceneRef
from pipeline.settings import ArchiveSettings

_NAME = re.compile(r"(?:^|_)(?:OR_)?ABI-L[12]|^G1[6-9]_ABI")
_BAND = re.compile(r"(?:^|_|M\d)(C\d\d)(?:_|$)")
# 0 good, 1 conditionally usable, 2 out of range, 3 no value, 4 focal plane too warm
_QUALITY = netcdf.QualityFlags("DQF", (0, 1), "DQF", own_words=True)
_LAND_QUALITY = netcdf.QualityFlags("DQF", (0,), "DQF above 0", own_words=True)


def claims(path: Path) -> bool:
    """NetCDF under an ABI name."""
    return bool(_NAME.search(path.name)) and netcdf.claims(path)


acquired = netcdf.acquired


def read(ref: SceneRef, settings: ArchiveSettings) -> Scene:
    """Brightness temperature of a thermal band, or land surface temperature, where its flags allow it."""
    with open_netcdf(Path(ref.files[0])) as dataset:
        land = "LST" in dataset.variables
        band = None if land else _band(dataset, Path(ref.files[0]))
        quality = _LAND_QUALITY if land else _QUALITY
        stored, placement, profile = netcdf.scene_of(
            dataset, ref, settings, ("LST",) if land else (), quality
        )
    if stored.units in ("mW m-2 sr-1 (cm-1)-1", "W m-2 sr-1 um-1"):
        raise UnusableInputError("holds radiances (L1b); brightness temperatures (L2 CMIP) are wanted")
    quantity: Quantity = "surface_temperature" if land else "brightness_temperature"
    profile = replace(profile, source="product profile", sensor="ABI", band=band, quantity=quantity)
    return make_scene(ref, stored, placement, profile, settings)


def _band(dataset: netCDF4.Dataset, path: Path) -> str | None:
    """C07 to C16, from the band variable or the name; sunlight bands are refused."""
    found = None
    if "band_id" in dataset.variables and dataset.variables["band_id"].size == 1:
        found = f"C{int(np.asarray(dataset.variables['band_id'][...]).reshape(-1)[0]):02d}"
    elif match := _BAND.search(path.stem):
        found = match[1]
    if found is not None and found not in BAND_WAVELENGTHS_UM["ABI"]:
        raise UnusableInputError(
            f"band {found} measures reflected sunlight, not temperature; C07 to C16 are thermal"
        )
    return found


__all__ = ["acquired", "claims", "read"]

"""Sentinel-3 SLSTR temperatures on a regular grid.

Files of several brightness temperatures and a sea surface temperature are common: the
product's own variable counts, else S8 (10.85 um), the cleanest window by day and night.
Clouds over land and sea of low quality are no data.
The agency's swath folders (.SEN3) have no grid and are refused with that reason.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from pipeline.archive.formats.netcdf import open_netcdf
from pipeline.archive.make_scene import make_scene
from pipeline.archive.readers import netcdf
from pipeline.errors import UnusableInputError
from pipeline.scene import Scene, SceneRef
from pipeline.settings import ArchiveSettings

_NAME = re.compile(r"SLSTR|^S3[A-D]_SL_[12]_")
_WANTED = ("LST", "sea_surface_temperature", "S8_BT_in", "brightness_temperature_channel_2")
# SLSTR Land Handbook: the probabilistic cloud mask, or the older summary of tests where it is not there. The
# bits are as headers of flags_in.nc state them: bayes_in, flag_masks 1 2 4 8, flag_meanings "single_low
# single_moderate dual_low dual_moderate"; confidence_in, 16384 is "summary_cloud".
_CLOUD = (
    netcdf.QualityFlags("bayes_in", (0,), "bayes_in, single_moderate", field=2),
    netcdf.QualityFlags("confidence_in", (0,), "confidence_in, summary_cloud", field=1 << 14),
)
_SEA = netcdf.QualityFlags("quality_level", (2, 3, 4, 5), "quality_level below 2")
_CHANNELS = {
    "brightness_temperature_channel_1": "S7",
    "brightness_temperature_channel_2": "S8",
    "brightness_temperature_channel_3": "S9",
}


def claims(path: Path) -> bool:
    """NetCDF under an SLSTR name, or the temperature file of an SLSTR folder."""
    named = bool(_NAME.search(path.name)) or bool(_NAME.search(path.parent.name))
    return named and netcdf.claims(path)


acquired = netcdf.acquired


def read(ref: SceneRef, settings: ArchiveSettings) -> Scene:
    """The product's temperature or S8, in kelvin on its grid."""
    path = Path(ref.files[0])
    if path.parent.suffix == ".SEN3":
        raise UnusableInputError(
            "is a swath: its coordinates lie per pixel in another file; resample it to a grid first"
        )
    with open_netcdf(path) as dataset:
        land = "LST" in dataset.variables
        quality = next((each for each in _CLOUD if each.variable in dataset.variables), None)
        stored, placement, profile = netcdf.scene_of(
            dataset, ref, settings, _WANTED, quality if land else _SEA
        )
    told = re.match(r"(S[789])_BT", stored.variable)
    band = told[1] if told else _CHANNELS.get(stored.variable)
    profile = replace(profile, source="product profile", sensor="SLSTR", band=band)
    return make_scene(ref, stored, placement, profile, settings)


__all__ = ["acquired", "claims", "read"]

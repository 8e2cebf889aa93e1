"""Sea surface temperature in the GHRSST data specification (L3 and L4 grids).

Quality levels 0 and 1 (no data, cloudy or bad) are no data. L2P files are swaths and
refused as such.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from pipeline.archive.formats.netcdf import open_netcdf
from pipeline.archive.make_scene import make_scene
from pipeline.archive.readers import netcdf
from pipeline.scene import Scene, SceneRef
from pipeline.settings import ArchiveSettings

_NAME = re.compile(r"GHRSST|-L2P(?:[-_]|$)|-L3[UCS](?:[-_]|$)|-L4(?:[-_]|$)")
_WANTED = ("analysed_sst", "sea_surface_temperature")
_QUALITY = netcdf.QualityFlags("quality_level", (2, 3, 4, 5), "quality_level below 2")


def claims(path: Path) -> bool:
    """NetCDF under a GHRSST name."""
    return bool(_NAME.search(path.name)) and netcdf.claims(path)


acquired = netcdf.acquired


def read(ref: SceneRef, settings: ArchiveSettings) -> Scene:
    """Sea surface temperature of usable quality, in kelvin on its grid."""
    with open_netcdf(Path(ref.files[0])) as dataset:
        stored, placement, profile = netcdf.scene_of(dataset, ref, settings, _WANTED, _QUALITY)
    profile = replace(profile, quantity="sea_surface_temperature")
    return make_scene(ref, stored, placement, profile, settings)


__all__ = ["acquired", "claims", "read"]

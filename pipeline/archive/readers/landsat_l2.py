"""Landsat Collection 2 Level-2 surface temperature (ST_B10, ST_B6).

Scale and offset stand in no tag of the file, only in the product's definition. Count
293 (150.0 K) is where the product clamps: it is no temperature.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.archive.formats.geotiff import is_tiff
from pipeline.archive.formats.mtl import mtl_time, read_mtl
from pipeline.archive.make_scene import Profile, make_scene
from pipeline.archive.names import acquired_in_name, landsat_sensor
from pipeline.archive.readers import geotiff
from pipeline.scene import Scene, SceneRef
from pipeline.settings import ArchiveSettings

_NAME = re.compile(r"^L[COTEM]0\d_.*_ST_(?P<band>B6|B10)(?![0-9])")
COUNT_K, OFFSET_K = 0.00341802, 149.0  # Landsat 8-9 Collection 2 Level 2 Science Product Guide, LSDS-1619
FILL, CLAMP = 0.0, 293.0


def claims(path: Path) -> bool:
    """GeoTIFF of the surface temperature band under a Collection 2 name."""
    return path.suffix.lower() in geotiff.SUFFIXES and bool(_NAME.match(path.name)) and is_tiff(path)


def acquired(files: Sequence[Path]) -> str | None:
    """From the MTL, to the second; else the day in the name."""
    told = mtl_time(read_mtl(files[1])) if len(files) > 1 else None
    named = acquired_in_name(files[0].stem)
    return told or (named[0] if named else None)


def read(ref: SceneRef, settings: ArchiveSettings) -> Scene:
    """Counts to kelvin by the product's definition; floats by what the file says."""
    path = Path(ref.files[0])
    raster = geotiff.load(ref, settings)
    stored = raster.stored()
    if stored.values.dtype.kind in "iu":
        facts = {
            **stored.facts,
            "units": "product profile",
            "scale": "product profile",
            "fill": "product profile",
        }
        stored = replace(stored, scale=COUNT_K, offset=OFFSET_K, units="K", fills=(FILL, CLAMP), facts=facts)
    match = _NAME.match(path.name)
    band = match["band"] if match else None
    profile = Profile("product profile", landsat_sensor(path.name), band, "surface_temperature")
    return make_scene(ref, stored, raster.placement, profile, settings)

"""MODIS land surface temperature (MOD11, MYD11, MOD21, MYD21) exported to GeoTIFF.

The granules themselves are HDF4, which is refused; exports keep counts of 0.02 K and
the sinusoidal grid on a sphere, which has no EPSG code.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pipeline.archive.formats.geotiff import is_tiff
from pipeline.archive.make_scene import Profile, make_scene
from pipeline.archive.names import acquired_in_name
from pipeline.archive.readers import geotiff
from pipeline.archive.readers.ecostress import in_kelvin_by_product
from pipeline.scene import Scene, SceneRef
from pipeline.settings import ArchiveSettings

_NAME = re.compile(r"^M[OY]D(?:11|21)\w*\..*LST")
COUNT_K = 0.02  # MOD11 and MOD21 user guides; 0 is fill


def claims(path: Path) -> bool:
    """GeoTIFF of an LST layer under a MODIS name."""
    return path.suffix.lower() in geotiff.SUFFIXES and bool(_NAME.match(path.name)) and is_tiff(path)


def acquired(files: Sequence[Path]) -> str | None:
    """The day in the name: a daily composite has no one time of day."""
    named = acquired_in_name(files[0].stem)
    return named[0] if named else None


def read(ref: SceneRef, settings: ArchiveSettings) -> Scene:
    """Kelvin, with step and fill known by product where the export dropped them."""
    raster = geotiff.load(ref, settings)
    stored = in_kelvin_by_product(raster.stored(), COUNT_K)
    profile = Profile("product profile", sensor="MODIS", quantity="surface_temperature")
    return make_scene(ref, stored, raster.placement, profile, settings)

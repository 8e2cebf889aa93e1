"""Landsat Level-1 thermal bands (B10, B11, B6): counts, and kelvin only with their MTL.

Counts become radiance, radiance becomes brightness temperature by the constants of the
MTL beside the band. Count 0 is fill, though no tag says so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.archive.formats.mtl import mtl_among, mtl_time, read_mtl, thermal_constants
from pipeline.archive.make_scene import Profile, make_scene
from pipeline.archive.names import landsat_name, landsat_sensor, time_of_name
from pipeline.archive.product_rules import product_rule
from pipeline.archive.readers import geotiff
from pipeline.errors import UnusableInputError
from pipeline.scene import Scene, SceneRef
from pipeline.settings import ArchiveSettings

_BAND = re.compile(r"(?<!ST)_(?P<band>B10|B11|B6_?VCID_?[12]|B6[12]?)(?![0-9A-Za-z])", re.IGNORECASE)


def claims(path: Path) -> bool:
    """GeoTIFF of a thermal band under a Landsat name."""
    named = landsat_name(path.name) is not None and _BAND.search(path.stem) is not None
    return named and geotiff.claims(path)


def acquired(files: Sequence[Path]) -> str | None:
    """From the MTL, to the second; else the day in the name."""
    mtl = mtl_among(files)
    return time_of_name(files[0].stem, lambda: mtl_time(read_mtl(mtl)) if mtl else None)


def read(ref: SceneRef, settings: ArchiveSettings) -> Scene:
    """Brightness temperature; a band that is floating point already is read as it stands."""
    path = Path(ref.files[0])
    rule = product_rule(path, settings)
    raster = geotiff.load(ref, settings)
    stored = raster.stored()
    key, band = landsat_sensor(path.name), _band(path)
    told = rule is not None and rule.units is not None
    words = {}
    if stored.values.dtype.kind in "iu" and stored.units is None and not told:
        mtl = mtl_among([Path(file) for file in ref.files])
        if mtl is None:
            raise UnusableInputError(
                f"holds {stored.values.dtype.name} counts; kelvin needs the scene's MTL (..._MTL.txt) in the "
                "same folder, or units, scale and offset in [[archive.products]]"
            )
        words = read_mtl(mtl)
        constants = thermal_constants(words, band, key or "")
        facts = {**stored.facts, "units": "MTL", "scale": "MTL", "fill": "product profile"}
        fills = (0.0, *stored.fills)
        stored = replace(
            stored, scale=constants.mult, offset=constants.add, planck=(constants.k1, constants.k2),
            fills=fills, facts=facts,
        )  # fmt: skip
    short = "B6" if band.startswith("B6") else band
    profile = Profile("product profile", key, short, "brightness_temperature", words)
    return make_scene(ref, stored, raster.placement, profile, settings)


def _band(path: Path) -> str:
    """B10, B11, B6, B6_VCID_1 or B6_VCID_2, whatever the file's spelling."""
    match = _BAND.search(path.stem)
    plain = match["band"].upper().replace("_", "") if match else "B10"
    gain = re.fullmatch(r"B6(?:VCID)?([12])", plain)
    return f"B6_VCID_{gain[1]}" if gain else plain

"""ECOSTRESS land surface temperature, as tiles (L2T) and as AppEEARS cuts.

A tile is float32 kelvin without a unit tag; a cut from AppEEARS is counts of 0.02 K
whose scale stands in the file. Other layers of the product travel under similar names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.archive.decode import Stored
from pipeline.archive.formats.geotiff import is_tiff
from pipeline.archive.make_scene import Profile, make_scene
from pipeline.archive.names import acquired_in_name
from pipeline.archive.readers import geotiff
from pipeline.scene import Scene, SceneRef
from pipeline.settings import ArchiveSettings

_NAME = re.compile(r"^ECO(?:v\d+)?_L2[TG]?_|^ECO2LSTE")
_TEMPERATURE = re.compile(r"_\d{4}_\d{2}_LST$|\.\d{3}_(?:SDS_)?LST_doy\d{7}")
COUNT_K = 0.02  # ECOSTRESS L2 product specification; 0 is fill


def claims(path: Path) -> bool:
    """GeoTIFF under an ECOSTRESS Level-2 name."""
    return path.suffix.lower() in geotiff.SUFFIXES and bool(_NAME.match(path.name)) and is_tiff(path)


def acquired(files: Sequence[Path]) -> str | None:
    """From the name."""
    named = acquired_in_name(files[0].stem)
    return named[0] if named else None


def read(ref: SceneRef, settings: ArchiveSettings) -> Scene:
    """Kelvin by product where the name says LST, by the file's own tags otherwise."""
    raster = geotiff.load(ref, settings)
    stored = raster.stored()
    known = bool(_TEMPERATURE.search(Path(ref.files[0]).stem))
    if known:
        stored = in_kelvin_by_product(stored, COUNT_K)
    profile = Profile("product profile", sensor="ECOSTRESS", quantity="surface_temperature")
    return make_scene(ref, stored, raster.placement, profile, settings)


def in_kelvin_by_product(stored: Stored, count_k: float) -> Stored:
    """Fills in what a known product leaves unsaid: kelvin, and for bare counts their step and fill 0."""
    facts = dict(stored.facts)
    if stored.units is None:
        facts["units"] = "product profile"
        stored = replace(stored, units="K")
    bare = stored.values.dtype.kind in "iu" and (stored.scale, stored.offset) == (1.0, 0.0)
    if bare:
        facts["scale"] = "product profile"
        stored = replace(stored, scale=count_k)
    if stored.values.dtype.kind in "iu" and not stored.fills:
        facts["fill"] = "product profile"
        stored = replace(stored, fills=(0.0,))
    return replace(stored, facts=facts)

"""Products as GeoTIFF that differ in constants only: a name, a sensor, the step of their counts.

A file's own words count first; the product's definition says what the file leaves unsaid.
Layers that are no temperature fit none of the names: other readers, or nobody, take them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.archive.decode import Stored
from pipeline.archive.formats.mtl import mtl_among, mtl_time, read_mtl
from pipeline.archive.make_scene import Profile, make_scene
from pipeline.archive.names import landsat_sensor, time_of_name
from pipeline.archive.readers import geotiff
from pipeline.scene import Scene, SceneRef
from pipeline.settings import ArchiveSettings


@dataclass(frozen=True)
class TiffProduct:
    """A reader made of what a product's definition says of all its surface temperatures.

    Attributes:
        name: What its files are called; a group `band` tells the thermal band.
        source: The document that the numbers below come from.
        count_k: Kelvin = count * count_k + offset_k, where the file holds bare counts.
        offset_k: See count_k.
        fills: Counts that are no temperature.
        sensor: Key of the sensor table; None where the satellite's number in the name tells it.
    """

    name: re.Pattern[str]
    source: str
    count_k: float
    offset_k: float = 0.0
    fills: tuple[float, ...] = (0.0,)
    sensor: str | None = None

    def claims(self, path: Path) -> bool:
        """GeoTIFF under the product's name."""
        return self.name.search(path.stem) is not None and geotiff.claims(path)

    def acquired(self, files: Sequence[Path]) -> str | None:
        """From the name; to the second where an MTL lies beside it."""
        return time_of_name(
            files[0].stem, lambda: mtl_time(read_mtl(mtl)) if (mtl := mtl_among(files)) else None
        )

    def read(self, ref: SceneRef, settings: ArchiveSettings) -> Scene:
        """Surface temperature in kelvin, by the file's words and then by the product's definition."""
        path = Path(ref.files[0])
        raster = geotiff.load(ref, settings)
        found = self.name.search(path.stem)
        band = found.groupdict().get("band") if found else None
        sensor = self.sensor or landsat_sensor(path.name)
        profile = Profile("product profile", sensor, band, "surface_temperature", raster.tags)
        return make_scene(ref, self._in_kelvin(raster.stored()), raster.placement, profile, settings)

    def _in_kelvin(self, stored: Stored) -> Stored:
        """The same numbers with the unit, step and fill that the file leaves unsaid."""
        told: dict[str, str] = {}
        if stored.units is None:
            told["units"] = "product profile"
            stored = replace(stored, units="K")
        counts = stored.values.dtype.kind in "iu"
        bare = counts and (stored.scale, stored.offset) == (1.0, 0.0)
        if bare:
            told["scale"] = "product profile"
            stored = replace(stored, scale=self.count_k, offset=self.offset_k)
        missing = tuple(fill for fill in self.fills if fill not in stored.fills)
        if missing and (bare or (counts and not stored.fills)):
            told["fill"] = "product profile"
            stored = replace(stored, fills=(*stored.fills, *missing))
        return replace(stored, facts={**stored.facts, **told})


ECOSTRESS = TiffProduct(  # tiles (L2T), which are float32 kelvin, and cuts from AppEEARS, which are counts
    name=re.compile(r"^ECO(?:(?:v\d+)?_L2|2LSTE).*(?:_\d{4}_\d{2}_LST$|\.\d{3}_(?:SDS_)?LST_doy\d{7})"),
    source="ECOSTRESS Level-2 product specification",
    count_k=0.02,
    sensor="ECOSTRESS",
)
MODIS = TiffProduct(  # MOD11, MYD11, MOD21, MYD21 exported from HDF4, which is not read
    name=re.compile(r"^M[OY]D(?:11|21)\w*\..*LST"),
    source="MOD11 and MOD21 user guides",
    count_k=0.02,
    sensor="MODIS",
)
LANDSAT_L2 = TiffProduct(  # Collection 2 ST_B10 and ST_B6; count 293 (150.0 K) is where the product clamps
    name=re.compile(r"^L[COTEM]0\d_.*_ST_(?P<band>B6|B10)(?![0-9])"),
    source="Landsat 8-9 Collection 2 Level 2 Science Product Guide, LSDS-1619",
    count_k=0.00341802,
    offset_k=149.0,
    fills=(0.0, 293.0),
)

"""What a mission says of its file: day or night, product level, collection and version.

A mission's names come first, because their parts have fixed places; then the words in the file. Where neither
tells day or night, the sun does, as far as it stood on one side of the horizon over the whole scene.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError

from pipeline.grid import Grid
from pipeline.sun import sun_position
from pipeline.text import shortened
from pipeline.times import from_iso, span

DAY_OR_NIGHT = "day_or_night"
_LEVEL, _COLLECTION, _VERSION = "source_level", "source_collection", "source_version"
# Groups are called after what they tell. Sources: the product guides of the missions.
_NAMES = (
    rf"^ECOv(?P<{_COLLECTION}>\d+)_(?P<{_LEVEL}>L\d[TG]?)_\w+?_(?P<{_VERSION}>\d{{4}}_\d{{2}})(?:_|$)",
    rf"^ECO_?(?P<{_LEVEL}>L?\d[TG]?)_?LSTE\.(?P<{_COLLECTION}>\d{{3}})(?!\d)",
    (
        rf"^(?:M[OY]D|VNP|VJ[12])\d\d(?P<{_LEVEL}>_L2|[A-C][1-3])(?P<{DAY_OR_NIGHT}>[DN]?)[_.]"
        rf"(?:.*?\.)??(?P<{_COLLECTION}>\d{{3}})(?!\d)"
    ),
    rf"^L[COTEM]0\d_(?P<{_LEVEL}>L\w{{3}})_\d{{6}}_\d{{8}}_\d{{8}}_(?P<{_COLLECTION}>\d\d_(?:T1|T2|RT))",
    rf"^S3[A-D]_SL_(?P<{_LEVEL}>[12])_",
    rf"ABI-(?P<{_LEVEL}>L\d)-",
    rf"-(?P<{_LEVEL}>L[234][PUCS]?)_GHRSST-.*?(?:-(?P<{DAY_OR_NIGHT}>[DN]))?-v[\d.]+-fv(?P<{_VERSION}>[\d.]*\d)",
)
_OF_VARIABLES = re.compile(r"(?:^|[_/. ])LST_(Day|Night)(?=[_. ]|$)|\b(day|night)time\b", re.IGNORECASE)
_WORDS: Mapping[str, tuple[str, ...]] = {
    _LEVEL: ("processing_level", "ProcessingLevel", "product_level", "product_type", "DATA_TYPE"),
    _COLLECTION: ("collection", "COLLECTION_NUMBER", "VersionID"),
    _VERSION: ("product_version", "processing_version", "build_id", "PGEVersion",
               "PROCESSING_SOFTWARE_VERSION"),
    DAY_OR_NIGHT: ("day_or_night", "day_night_flag", "DayNightFlag"),
}  # fmt: skip
_HORIZON_DEG = 0.83  # the sun's radius and the air's refraction, sunrise by convention


def edition_of(
    stem: str, variable: str, words: Mapping[str, str], grid: Grid, acquired: str | None
) -> tuple[dict[str, str], dict[str, str]]:
    """What is told of a scene besides its pixels.

    Args:
        stem: Name of the main file without its ending.
        variable: The picture's name, and its long name where it has one.
        words: What the file says of itself, by name: attributes, tags, the MTL's keys.
        grid: Where the scene lies.
        acquired: UTC, ISO 8601 with Z; None where it is not known.

    Returns:
        `day_or_night` ("day" or "night"), `source_level`, `source_collection` and `source_version`, as far as
        they are told; and where each comes from, by the same names.
    """
    told: dict[str, str] = {}
    sources: dict[str, str] = {}

    def take(name: str, said: str | None, source: str) -> None:
        plain = _PLAIN.get(name, _as_said)(said or "")
        if plain and name not in told:
            told[name], sources[name] = plain, source

    named = next((match for pattern in _NAMES if (match := re.search(pattern, stem))), None)
    for name, said in named.groupdict().items() if named else ():
        take(name, said, "file name")
    for text, source in ((variable, "name of the picture"), (stem, "file name")):
        found = _OF_VARIABLES.search(text)
        take(DAY_OR_NIGHT, (found[1] or found[2]) if found else "", source)
    for name, keys in _WORDS.items():
        for key in keys:
            take(name, words.get(key), shortened(key))
    take(DAY_OR_NIGHT, _by_the_sun(grid, acquired), "elevation of the sun")
    return told, sources


def _as_said(said: str) -> str:
    return shortened(said, 40)


def _level(said: str) -> str:
    """One of L2, L1TP, L2P, ... as in "2", "L2SP", "_L2", "Level 2" and "NASA L2"; "" where there is none."""
    if re.fullmatch(r"[A-C][1-3]", said):  # a grid of MODIS or VIIRS: daily or of several days
        return "L3"
    found = re.search(r"(?:^|[^A-Za-z])(?:L|Level)?[ -]?(\d\w{0,3})$|SL_([12])_", said.strip())
    return f"L{found[1] or found[2]}" if found else ""


def _day_or_night(said: str) -> str:
    return {"d": "day", "day": "day", "n": "night", "night": "night"}.get(said.strip().lower(), "")


_PLAIN = {_LEVEL: _level, DAY_OR_NIGHT: _day_or_night}


def _by_the_sun(grid: Grid, acquired: str | None) -> str:
    """Day or night where the sun was up, or down, over corners, sides and middle alike; else ""."""
    if grid.crs_wkt is None or grid.transform is None or acquired is None or len(set(span(acquired))) > 1:
        return ""
    parts = (0.0, 0.5, 1.0)
    pixels = [(grid.width * across, grid.height * down) for down in parts for across in parts]
    try:
        to_degrees = Transformer.from_crs(CRS.from_wkt(grid.crs_wkt), "OGC:CRS84", always_xy=True)
        places = [to_degrees.transform(*(grid.transform @ pixel)) for pixel in pixels]
    except ProjError:
        return ""
    if not np.isfinite(places).all():
        return ""
    elevations = [sun_position(from_iso(acquired), east, north)[0] for east, north in places]
    if min(elevations) > -_HORIZON_DEG:
        return "day"
    return "night" if max(elevations) < -_HORIZON_DEG else ""

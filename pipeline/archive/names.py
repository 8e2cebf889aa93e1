"""What a file's name tells: whether it is a scene at all, when it was taken, and what to call it.

Names come from strangers: a scene id keeps only letters, digits, dot, underscore and dash.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pipeline.errors import UnusableInputError

INPUT_SUFFIXES = frozenset(
    {".tif", ".tiff", ".gtiff", ".nc", ".nc4", ".cdf", ".npz", ".h5", ".hdf5", ".he5", ".hdf"}
)
PARTIAL_SUFFIXES = (".part", ".partial", ".tmp", ".filepart", ".crdownload", "~")
ID_LENGTH = 128
MTL_SUFFIX = "_MTL.txt"


def scene_id(stem: str, digest: str) -> str:
    """A safe file name: the stem in plain letters and eight digits of its content, at most 128 characters."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", stem).strip("._-")
    return f"{plain[: ID_LENGTH - 9] or 'scene'}-{digest[:8]}"


def looks_like_input(name: str) -> bool:
    """Whether the suffix is one of the formats that hold scenes."""
    return name[name.rfind(".") :].lower() in INPUT_SUFFIXES if "." in name else False


def partial(name: str) -> bool:
    """Whether the name says that somebody is still writing an input file."""
    lowered = name.lower()
    return any(lowered.endswith(end) and looks_like_input(name[: -len(end)]) for end in PARTIAL_SUFFIXES)


# Layers that travel beside a temperature, by product family. The group `layer` is what a reader of
# the report sees; a name that matches is no scene.
_COMPANION_LAYERS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"^ECOv\d+_L2[TG]_(?!LSTE).*?_\d{4}_\d{2}_(?P<layer>\w+)$",
        r"^ECOv\d+_L2[TG]_LSTE_.*_\d{4}_\d{2}_(?P<layer>(?!LST$)\w+)$",
        r"^(?:ECO|M[OY]D|V(?:NP|J[12]))\w*\.\d{3}_(?:SDS_)?+(?P<layer>(?!LST(?:_(?:Day|Night|1km))*_doy)\w+?)_doy\d{7}",
        r"^L[COTEM]0\d_\w+?_(?P<layer>QA_\w+|SR_\w+|ST_(?!B6|B10)\w+|B(?:[1-57-9]|QA)|[SV][AZ]A)$",
        r"^L[COTEM]\d{14}\w{5}_(?P<layer>B(?:[1-57-9]|QA))$",
        r"^(?:M[OY]D|V(?:NP|J[12]))(?:11|21).*?_(?P<layer>QC(?:_Day|_Night)?|Emis_\w+|(?:Day|Night)_view\w*|Clear_\w+|View_\w+)$",
    )
)


def companion_layer(stem: str) -> str | None:
    """The layer that this file holds beside a temperature (a mask, an emissivity), or None."""
    for pattern in _COMPANION_LAYERS:
        if match := pattern.search(stem):
            return match["layer"]
    return None


_ECOSTRESS_TILE = re.compile(
    r"^(?P<scene>ECO(?:v(?P<version>\d+))?_L2[TG]_LSTE_\d+_\d+_\w+?_\d{8}T\d{6})_(?P<build>\d{4})_(?P<iteration>\d{2})_LST$"
)


def ecostress_edition(stem: str) -> tuple[str, tuple[int, int]] | None:
    """The scene of an ECOSTRESS tile and its (build, iteration): of one scene only the newest counts."""
    match = _ECOSTRESS_TILE.match(stem)
    return (match["scene"], (int(match["build"]), int(match["iteration"]))) if match else None


@dataclass(frozen=True)
class LandsatName:
    """Satellite number, path and row, day: what a band and its MTL have in common whatever their names."""

    satellite: str
    path_row: str
    day: str


_LANDSAT_NEW = re.compile(r"^L[COTEM]0(\d)_(?:L\w{3}_|CU_|AK_|HI_)?(\d{6})_(\d{8})(?!\d)")
_LANDSAT_OLD = re.compile(r"^L[COTEM](\d)(\d{6})(\d{4})(\d{3})(?:\D|$)")


def landsat_name(name: str) -> LandsatName | None:
    """Understands LC08_L1TP_040028_20140712_..., LE07_039028_20100702_... and LC80400282014193LGN00."""
    if match := _LANDSAT_NEW.match(name):
        return LandsatName(match[1], match[2], match[3])
    if (match := _LANDSAT_OLD.match(name)) and (day := _moment(match[3], match[4])):
        return LandsatName(match[1], match[2], day.strftime("%Y%m%d"))
    return None


def landsat_sensor(name: str) -> str | None:
    """Key of the thermal instrument of a Landsat file's satellite."""
    found = landsat_name(name)
    return (
        {"4": "TM", "5": "TM", "7": "ETM+", "8": "TIRS", "9": "TIRS-2"}.get(found.satellite)
        if found
        else None
    )


# What marks an acquisition comes first, then any date: a production time may stand beside it.
# Groups: y year, j day of year, d month and day, t time of day.
_TIMES = tuple(
    re.compile(rf"(?<![0-9]){pattern}" if pattern[0] == "(" else pattern)
    for pattern in (
        r"[._]A(?P<y>\d{4})(?P<j>\d{3})\.(?P<t>\d{4})(?!\d)",
        r"[._]A(?P<y>\d{4})(?P<j>\d{3})(?!\d)",
        r"doy(?P<y>\d{4})(?P<j>\d{3})(?P<t>\d{6})(?!\d)",
        r"doy(?P<y>\d{4})(?P<j>\d{3})(?!\d)",
        r"_s(?P<y>\d{4})(?P<j>\d{3})(?P<t>\d{6})\d?(?!\d)",
        r"(?P<y>\d{4})(?P<d>\d{4})[T_](?P<t>\d{6})(?!\d)",
        r"(?P<y>\d{4})(?P<d>\d{4})T(?P<t>\d{4})(?!\d)",
        r"(?P<y>\d{4})-(?P<d>\d{2}-\d{2})[T_ ](?P<t>\d{2}[-:]?\d{2}(?:[-:]?\d{2})?)",
        r"(?P<y>\d{4})(?P<d>\d{4})(?P<t>\d{6})(?!\d)",
        r"(?P<y>\d{4})(?P<j>\d{3})(?P<t>\d{6})(?!\d)",
        r"(?P<y>\d{4})(?P<d>\d{4})(?P<t>\d{4})(?!\d)",
        r"(?P<y>\d{4})-(?P<d>\d{2}-\d{2})(?!\d)",
        r"(?P<y>\d{4})(?P<d>\d{4})(?!\d)",
        r"(?P<y>\d{4})(?P<j>\d{3})(?!\d)",
    )
)


def acquired_in_name(name: str) -> tuple[str, bool] | None:
    """When a file's name says it was taken.

    Returns:
        UTC as ISO 8601 with Z, and whether the name gave a time of day too; None where it says nothing.
    """
    if landsat := landsat_name(name):
        moment = _moment(landsat.day[:4], landsat.day[4:])
        return (iso(moment), False) if moment else None
    for pattern in _TIMES:
        for match in pattern.finditer(name):
            groups = match.groupdict()
            day = re.sub(r"\D", "", groups.get("d") or groups["j"])
            time = re.sub(r"\D", "", groups.get("t") or "")
            if moment := _moment(groups["y"], day, time):
                return iso(moment), bool(time)
    return None


def time_of_name(name: str, inside: Callable[[], str | None]) -> str | None:
    """When a file was taken: its name tells the day, and where it has no time of day, the file may.

    Args:
        name: The file's stem.
        inside: Looks for the time in the file; what it raises as unusable counts as not told.

    Returns:
        UTC as ISO 8601 with Z; None where nothing tells it. A file that says another day is not believed.
    """
    named = acquired_in_name(name)
    if named is not None and named[1]:
        return named[0]
    try:
        told = inside()
    except UnusableInputError:  # reading the scene will say what is wrong with it
        told = None
    return told if named is None or (told is not None and told[:10] == named[0][:10]) else named[0]


def iso(moment: datetime) -> str:
    """UTC as ISO 8601 with Z, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> str | None:
    """ISO 8601, GHRSST's basic form or EXIF's, as ISO 8601 UTC with Z; None where it is none of these."""
    stripped = text.strip().strip('"')[:40]
    compact = re.sub(r"\.\d+(?=Z?$)", "", stripped)
    for form in (None, "%Y%m%dT%H%M%SZ", "%Y%m%dT%H%M%S", "%Y:%m:%d %H:%M:%S", "%d-%b-%Y %H:%M:%S", "%Y%m%d"):
        try:
            moment = datetime.fromisoformat(compact) if form is None else datetime.strptime(compact, form)
        except ValueError:
            continue
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return iso(moment) if 1970 <= moment.year < 2100 else None
    return None


def _moment(year: str, day: str, time: str = "") -> datetime | None:
    """A UTC moment from a year, MMDD or a day of the year, and HHMM[SS]; None where the calendar has none."""
    if not 1970 <= int(year) < 2100:
        return None
    try:
        if len(day) == 4:
            start = datetime(int(year), int(day[:2]), int(day[2:]), tzinfo=UTC)
        else:
            start = datetime(int(year), 1, 1, tzinfo=UTC) + timedelta(days=int(day) - 1)
            if int(day) < 1 or start.year != int(year):
                return None
        clock = (time + "000000")[:6] if time else "000000"
        return start.replace(hour=int(clock[:2]), minute=int(clock[2:4]), second=min(int(clock[4:]), 59))
    except ValueError:
        return None

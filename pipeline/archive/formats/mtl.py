"""The MTL file beside a Landsat scene: calibration and time of acquisition.

Its groups changed names over the years, its keys hardly did, so keys are read without
their groups. A band and its MTL may have different names: they share satellite, path,
row and day.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.archive.names import MTL_SUFFIX, landsat_name, parse_time
from pipeline.errors import UnusableInputError
from pipeline.files import first_bytes
from pipeline.text import shortened

_LARGEST_BYTES = 1 << 20
_KEY = re.compile(r"[A-Z0-9_]+")

# K1 (W m-2 sr-1 um-1) and K2 (K) where an old MTL leaves them out.
# Source: Chander, Markham and Helder 2009 (doi:10.1016/j.rse.2009.01.007).
_CONSTANTS: Mapping[tuple[str, str], tuple[float, float]] = {
    ("TM", "LANDSAT_4"): (671.62, 1284.30),
    ("TM", "LANDSAT_5"): (607.76, 1260.56),
    ("ETM+", "LANDSAT_7"): (666.09, 1282.71),
}


@dataclass(frozen=True)
class ThermalConstants:
    """Radiance = mult * count + add (W m-2 sr-1 um-1); kelvin = k2 / ln(k1 / radiance + 1)."""

    mult: float
    add: float
    k1: float
    k2: float


def mtl_beside(name: str, siblings: Collection[str]) -> str | None:
    """The MTL among the names of a folder that belongs to a Landsat file; the most alike where several do."""
    scene = landsat_name(name)
    matching = [other for other in siblings if other.endswith(MTL_SUFFIX) and landsat_name(other) == scene]
    if scene is None or not matching:
        return None
    return max(matching, key=lambda other: (_shared(name, other), other))


def mtl_among(files: Sequence[Path]) -> Path | None:
    """The MTL of a scene's files, or None."""
    return next((file for file in files[1:] if file.name.endswith(MTL_SUFFIX)), None)


def _shared(name: str, other: str) -> int:
    """How many leading characters two names share."""
    return next((i for i, (a, b) in enumerate(zip(name, other, strict=False)) if a != b), len(name))


def read_mtl(path: Path) -> dict[str, str]:
    """Keys and values, groups ignored, quotes removed.

    Raises:
        UnusableInputError: If it is too large to be one, or holds no keys.
        OSError: If storage refuses.
    """
    content = first_bytes(path, _LARGEST_BYTES + 1)
    if len(content) > _LARGEST_BYTES:
        raise UnusableInputError(f"its MTL {shortened(path.name)} is larger than 1 MiB")
    lines = (line.partition("=") for line in content.decode("latin-1").split("\n"))
    told = {key.strip(): value.strip() for key, _, value in lines}
    found = {key: value.strip('"') for key, value in told.items() if value and _KEY.fullmatch(key)}
    if "GROUP" not in found:
        raise UnusableInputError(f"its MTL {shortened(path.name)} is no MTL: it has no groups")
    return found


def mtl_time(mtl: Mapping[str, str]) -> str | None:
    """Center of the acquisition, ISO 8601 UTC with Z; None where the MTL does not tell it."""
    day = mtl.get("DATE_ACQUIRED") or mtl.get("ACQUISITION_DATE", "")
    clock = mtl.get("SCENE_CENTER_TIME") or mtl.get("SCENE_CENTER_SCAN_TIME", "")
    return parse_time(f"{day}T{clock[:8]}Z") if clock else parse_time(day)


def thermal_constants(mtl: Mapping[str, str], band: str, sensor: str) -> ThermalConstants:
    """Calibration of a thermal band, in the MTL's words of any year.

    Args:
        mtl: From `read_mtl`.
        band: "B10", "B11", "B6", "B6_VCID_1" or "B6_VCID_2".
        sensor: Key of the sensor table, for constants that old files leave out.

    Raises:
        UnusableInputError: If a constant is missing or no number.
    """
    new = band.replace("B", "BAND_", 1)
    old = new.replace("BAND_", "BAND").replace("_VCID_", "")
    if f"RADIANCE_MULT_{new}" in mtl:
        mult, add = _number(mtl, f"RADIANCE_MULT_{new}"), _number(mtl, f"RADIANCE_ADD_{new}")
    else:
        mult, add = _from_limits(mtl, new, old)
    if f"K1_CONSTANT_{new}" in mtl:
        k1, k2 = _number(mtl, f"K1_CONSTANT_{new}"), _number(mtl, f"K2_CONSTANT_{new}")
    else:
        satellite = re.sub(r"\D", "", mtl.get("SPACECRAFT_ID", ""))
        known = _CONSTANTS.get((sensor, f"LANDSAT_{satellite}"))
        if known is None:
            raise UnusableInputError(f"its MTL has no K1_CONSTANT_{new}")
        k1, k2 = known
    if not (mult > 0 and k1 > 0 and k2 > 0):
        raise UnusableInputError(
            f"its MTL's constants of {band} are no calibration: {mult:g}, {add:g}, {k1:g}, {k2:g}"
        )
    return ThermalConstants(mult, add, k1, k2)


def _from_limits(mtl: Mapping[str, str], new: str, old: str) -> tuple[float, float]:
    """Gain and offset from the radiances at the ends of the count range, as files before 2012 have them."""
    for names, label in (
        (("RADIANCE_MAXIMUM_{}", "RADIANCE_MINIMUM_{}", "QUANTIZE_CAL_MAX_{}", "QUANTIZE_CAL_MIN_{}"), new),
        (("LMAX_{}", "LMIN_{}", "QCALMAX_{}", "QCALMIN_{}"), old),
    ):
        keys = [name.format(label) for name in names]
        if keys[0] in mtl:
            highest, lowest, most, least = (_number(mtl, key) for key in keys)
            if most <= least:
                raise UnusableInputError(f"its MTL's {keys[2]} is not above {keys[3]}")
            mult = (highest - lowest) / (most - least)
            return mult, lowest - mult * least
    raise UnusableInputError(f"its MTL has no RADIANCE_MULT_{new}")


def _number(mtl: Mapping[str, str], key: str) -> float:
    try:
        number = float(mtl[key])
    except KeyError as error:
        raise UnusableInputError(f"its MTL has no {key}") from error
    except ValueError as error:
        raise UnusableInputError(
            f"its MTL's {key} is {shortened(mtl[key], 30)!r}, a number is wanted"
        ) from error
    if not math.isfinite(number):
        raise UnusableInputError(f"its MTL's {key} is {number}, a finite number is wanted")
    return number

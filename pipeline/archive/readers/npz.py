"""NumPy archives (.npz): one temperature and what belongs to it, under plain keys.

The archive's directory is checked before a byte of it is unpacked, and pickled objects
are never loaded: an .npz from a stranger may carry a program.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray

from pipeline.archive.decode import Stored, stated
from pipeline.archive.formats.cf_variable import quantity_in_words
from pipeline.archive.formats.npz import Members, is_zip, open_npz
from pipeline.archive.make_scene import Profile, make_scene
from pipeline.archive.names import parse_time, time_of_name
from pipeline.archive.placement import (
    Placement,
    checked_transform,
    crs_from_text,
    transform_from_centers,
    unit_assumed,
)  # fmt: skip
from pipeline.archive.product_rules import product_rule
from pipeline.archive.sensors import SENSORS, sensor_in_text
from pipeline.errors import UnusableInputError
from pipeline.scene import Quantity, Scene, SceneRef
from pipeline.settings import ArchiveSettings
from pipeline.text import shortened

PICTURES = ("data", "temperature", "lst", "bt")
_QUANTITIES: tuple[Quantity, ...] = (
    "brightness_temperature",
    "surface_temperature",
    "sea_surface_temperature",
)


def claims(path: Path) -> bool:
    """Any file that ends in .npz and begins like a zip archive."""
    return path.suffix.lower() == ".npz" and is_zip(path)


def acquired(files: Sequence[Path]) -> str | None:
    """From the name; where that has no time of day, from the key `time`."""

    def inside() -> str | None:
        with open_npz(files[0], ArchiveSettings()) as members:
            return _time(members.small("time"))

    return time_of_name(files[0].stem, inside)


def read(ref: SceneRef, settings: ArchiveSettings) -> Scene:
    """The picture under data, temperature, lst or bt, in kelvin on the grid that other keys give."""
    path = Path(ref.files[0])
    rule = product_rule(path, settings)
    with open_npz(path, settings) as members:
        key = _picture_key(members.names, rule.variable if rule else None)
        values = members.picture(key)
        missing = _missing(members, values.shape)
        small = {name: members.small(name) for name in members.names if name != key}
        placement = _placement(members, small, values.shape)
    scale = _number(small, ("scale", "scale_factor"), 1.0)
    offset = _number(small, ("offset", "add_offset"), 0.0)
    fills = tuple(_numbers(small, ("fill_value", "fill", "nodata")))
    stored = Stored(
        values=values,
        variable=key,
        missing=missing,
        scale=scale,
        offset=offset,
        units=_text(small, "units") or None,
        fills=fills,
        facts={"units": "key units", **stated("keys", scaling=(scale, offset), fills=fills)},
    )
    return make_scene(ref, stored, placement, _profile(small, key, path), settings)


def _picture_key(names: Sequence[str], wanted: str | None) -> str:
    if wanted is not None:
        if wanted not in names:
            raise UnusableInputError(f"has no key {shortened(wanted, 40)!r}; it has {_listed(names)}")
        return wanted
    found = [name for name in PICTURES if name in names]
    if len(found) == 1:
        return found[0]
    if found:
        raise UnusableInputError(
            f"more than one key may be the temperature: {_listed(found)}; name one as variable in "
            "[[archive.products]]"
        )
    raise UnusableInputError(
        f"has none of the keys {', '.join(PICTURES)}; it has {_listed(names)}; name one as variable in "
        "[[archive.products]]"
    )


def _missing(members: Members, shape: tuple[int, ...]) -> Bool[NDArray[np.bool_], "y x"] | None:
    """True where `mask` is set or `valid` is not."""
    if "mask" in members.names and "valid" in members.names:
        raise UnusableInputError("has both mask (true = no data) and valid (true = data); one is wanted")
    for name, inverted in (("mask", False), ("valid", True)):
        if name in members.names:
            flags: NDArray[np.bool_] = members.picture(name, kinds="buif").astype(np.bool_)
            if flags.shape != shape:
                raise UnusableInputError(f"{name} is {flags.shape} pixels, the picture {shape}")
            return ~flags if inverted else flags
    return None


def _placement(members: Members, small: Mapping[str, Any], shape: tuple[int, ...]) -> Placement:
    text = _text(small, "crs")
    crs = crs_from_text(text) if text else None
    source = "key crs" if crs else ""
    for name, order in (("transform", (0, 1, 2, 3, 4, 5)), ("geotransform", (1, 2, 0, 4, 5, 3))):
        if name in small:
            terms = np.asarray(small[name], dtype=np.float64).reshape(-1)
            if terms.size not in ((6, 9) if name == "transform" else (6,)):
                raise UnusableInputError(f"{name} has {terms.size} terms, 6 are wanted")
            transform = checked_transform(tuple(float(terms[index]) for index in order))
            return Placement(crs, transform, source, f"key {name}") if transform else Placement()
    for east, north in (("x", "y"), ("lon", "lat")):
        if east in members.names and north in members.names:
            return _from_centers(members, (east, north), shape, crs, source)
    return Placement()


def _from_centers(
    members: Members, names: tuple[str, str], shape: tuple[int, ...], crs: Any, source: str
) -> Placement:
    x, y = (members.coordinate(name) for name in names)
    slack = max(
        float(np.finfo(c.dtype).eps * np.abs(c).max()) if c.dtype.kind == "f" else 0.0 for c in (x, y)
    )
    x, y = x.astype(np.float64), y.astype(np.float64)
    if x.ndim == 2 and y.ndim == 2 and x.shape == y.shape == shape:
        if np.abs(x - x[0]).max() > 2 * slack or np.abs(y - y[:, :1]).max() > 2 * slack:
            raise UnusableInputError(
                "is a swath: its coordinates are given per pixel; resample it to a grid first"
            )
        x, y = x[0], y[:, 0]
    if x.shape != (shape[1],) or y.shape != (shape[0],):
        raise UnusableInputError(
            f"{names[0]} and {names[1]} are {x.shape} and {y.shape}, the picture is {shape}"
        )
    transform = transform_from_centers(x, y, slack)
    if crs is None and names[0] == "lon":
        words = "reference system assumed: EPSG:4326 for latitude and longitude"
        return Placement(crs_from_text("EPSG:4326"), transform, "assumed", "coordinates", (words,))
    return Placement(crs, transform, source, "coordinates", unit_assumed(crs))


def _profile(small: Mapping[str, Any], key: str, path: Path) -> Profile:
    """Sensor and quantity from their keys or the `meta` JSON, only where they are known words."""
    meta: Mapping[str, Any] = {}
    try:
        loaded = json.loads(_text(small, "meta") or "{}")
        meta = loaded if isinstance(loaded, dict) else {}
    except (ValueError, RecursionError):  # also a number of 5000 digits
        meta = {}
    sensor = _text(small, "sensor") or str(meta.get("sensor", ""))
    quantity = _text(small, "quantity") or str(meta.get("quantity", ""))
    return Profile(
        "keys",
        sensor if sensor in SENSORS else sensor_in_text(sensor),
        None,
        next((known for known in _QUANTITIES if known == quantity), None)
        or quantity_in_words(f"{key} {path.stem}"),
    )


def _text(small: Mapping[str, Any], name: str) -> str:
    value = small.get(name)
    if value is None:
        return ""
    item = np.asarray(value).reshape(-1)
    if item.size != 1 or item.dtype.kind not in "US":
        raise UnusableInputError(f"{name} is no single text")
    text = item[0].decode("utf-8", "replace") if item.dtype.kind == "S" else str(item[0])
    return text.strip()[:20_001]


def _numbers(small: Mapping[str, Any], names: Sequence[str]) -> list[float]:
    for name in names:
        if small.get(name) is not None:
            item = np.asarray(small[name]).reshape(-1)
            if item.dtype.kind not in "buif" or not 1 <= item.size <= 8:
                raise UnusableInputError(f"{name} is no number")
            return [float(number) for number in item]
    return []


def _number(small: Mapping[str, Any], names: Sequence[str], default: float) -> float:
    found = _numbers(small, names)
    if not found:
        return default
    if not math.isfinite(found[0]) or (names[0] == "scale" and found[0] == 0):
        raise UnusableInputError(f"{names[0]} is {found[0]}, which decodes nothing")
    return found[0]


def _time(value: Any) -> str | None:
    item = np.asarray(value).reshape(-1)
    if value is None or item.size != 1:
        return None
    if item.dtype.kind == "M":
        return parse_time(str(item[0].astype("datetime64[s]")))
    return parse_time(_text({"time": value}, "time")) if item.dtype.kind in "US" else None


def _listed(names: Sequence[str]) -> str:
    return (
        ", ".join(shortened(name, 40) for name in names[:8]) + (", ..." if len(names) > 8 else "") or "none"
    )

"""From numbers in a file to kelvin.

Units are never guessed from a range, with one exception that is always told: floating
point without a unit, all of it between 180 and 400, is taken for kelvin. Nothing is
clipped; a few pixels that cannot be a temperature become no data, which is told too, and with more
than 1 % of them the file is refused.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float32, Shaped
from numpy.typing import NDArray

from pipeline.errors import SkippedSceneError, UnusableInputError
from pipeline.radiometry import FAHRENHEIT_UNITS, KELVIN_UNITS, known_temperature_units, to_kelvin
from pipeline.settings import ProductRule
from pipeline.text import shortened

COLDEST_K, HOTTEST_K, FIRE_K = 150.0, 400.0, 1500.0
IMPLAUSIBLE_SHARE = 0.01
ASSUMED_LOW_K, ASSUMED_HIGH_K = 180.0, 400.0
_BLOCK = 1 << 22  # pixels converted at a time: float64 intermediates stay below 100 MB
_SETTING = "[[archive.products]]"


@dataclass(frozen=True)
class Stored:
    """Numbers as a file holds them, and what it says of them.

    Attributes:
        values: (y, x) integers or floats, unscaled.
        variable: What the file calls them.
        missing: (y, x) bool, true where the file says by other means that there is no data, or None.
        scale: Temperature (or radiance, with `planck`) = number * scale + offset.
        offset: See scale.
        units: As the file spells it; None where it says nothing.
        fills: Stored numbers that mean no data.
        planck: K1 and K2 where the scaled number is a radiance: T = K2 / ln(K1 / L + 1).
        facts: Where each of these came from.
    """

    values: Shaped[NDArray[np.generic], "y x"]
    variable: str
    missing: Bool[NDArray[np.bool_], "y x"] | None = None
    scale: float = 1.0
    offset: float = 0.0
    units: str | None = None
    fills: tuple[float, ...] = ()
    planck: tuple[float, float] | None = None
    facts: Mapping[str, str] = field(default_factory=dict)

    def with_rule(self, rule: ProductRule | None) -> Stored:
        """The same numbers under a person's rule, which beats whatever the file or its product says."""
        if rule is None:
            return self
        told = rule.model_dump(include={"units", "scale", "offset"}, exclude_none=True)
        if told:
            told["planck"] = None
        if rule.fill is not None:
            told["fills"] = (rule.fill,)
        words = {"fills": "fill", "offset": "scale"}  # facts have one line for scale and offset
        source = f"{_SETTING} {rule.pattern}"
        facts = {words.get(name, name): source for name in told if name != "planck"}
        return dataclasses.replace(self, **told, facts={**self.facts, **facts})


@dataclass(frozen=True)
class Kelvin:
    """A decoded picture: (y, x) float32 kelvin, the step of its numbers, and how it came about."""

    temperature: Float32[NDArray[np.float32], "y x"]
    quantization_k: float
    facts: Mapping[str, str]
    assumptions: tuple[str, ...]


def stated(source: str, *, scaling: tuple[float, float], fills: tuple[float, ...]) -> dict[str, str]:
    """Facts on scale and fill: the source where it states any, "none stated" where it states none."""
    return {
        "scale": source if scaling != (1.0, 0.0) else "none stated",
        "fill": source if fills else "none stated",
    }


def decode(stored: Stored, *, strict: bool) -> Kelvin:
    """Stored numbers to kelvin, or the reason why they are none.

    Args:
        stored: The numbers; not changed.
        strict: Refuse to take unlabeled floats for kelvin.

    Raises:
        SkippedSceneError: If no pixel holds data.
        UnusableInputError: If the units are unknown or more than 1 % of the pixels lie outside 150-400 K.
    """
    valid = _valid(stored)
    if not valid.any():
        raise SkippedSceneError(f"{shortened(stored.variable)} holds no data: every pixel is fill")
    assumptions: list[str] = []
    stored, valid = _with_units(stored, valid, assumptions, strict=strict)
    temperature = _convert(stored, valid)
    _drop_impossible(temperature, stored, assumptions)
    facts = {"variable": shortened(stored.variable), **stored.facts}
    return Kelvin(temperature, _quantization_k(stored, temperature), facts, tuple(assumptions))


def _valid(stored: Stored) -> Bool[NDArray[np.bool_], "y x"]:
    values = stored.values
    if values.dtype.kind == "f":
        with np.errstate(invalid="ignore", over="ignore"):
            valid = np.abs(values) < 1e30  # also false for NaN; some files fill with the largest float
    else:
        valid = np.ones(values.shape, dtype=np.bool_)
    for fill in stored.fills:
        if values.dtype.kind == "f":
            with np.errstate(over="ignore"):
                valid &= values != values.dtype.type(fill)
        elif np.isfinite(fill):
            valid &= values != fill
    if stored.missing is not None:
        valid &= ~stored.missing
    return np.asarray(valid, dtype=np.bool_)


def _with_units(
    stored: Stored, valid: Bool[NDArray[np.bool_], "y x"], assumptions: list[str], *, strict: bool
) -> tuple[Stored, Bool[NDArray[np.bool_], "y x"]]:
    """The numbers with a unit that can be converted; fills in what may be assumed, refuses the rest."""
    units = stored.units.strip() if stored.units is not None else ""
    if stored.planck is not None:
        return dataclasses.replace(stored, units="K"), valid
    if units and not known_temperature_units(units):
        raise UnusableInputError(
            f"{shortened(stored.variable)} is no temperature: its unit is {shortened(units, 40)!r}, "
            f"{_range(stored, valid)}"
        )
    # 0 K is nowhere on Earth: a file that declares no fill and holds it means its collar.
    if not stored.fills and stored.offset == 0 and (not units or units in KELVIN_UNITS):
        zeros = valid & (stored.values == 0)
        if zeros.any() and not zeros[valid].all():
            valid = valid & ~zeros
            assumptions.append("0 K taken for no data")
    if units:
        return dataclasses.replace(stored, units=units), valid
    inside = _inside(stored, valid)
    if stored.values.dtype.kind != "f" or not inside:
        raise UnusableInputError(
            f"{shortened(stored.variable)} has no units, {_range(stored, valid)}: these are no kelvin as "
            f"they stand; say units, scale and offset in {_SETTING}"
        )
    if strict:
        raise UnusableInputError(
            f"{shortened(stored.variable)} has no units, {_range(stored, valid)}, and archive.strict forbids "
            f"to assume kelvin; say units in {_SETTING}"
        )
    assumptions.insert(0, "units assumed: K")
    return dataclasses.replace(stored, units="K", facts={**stored.facts, "units": "assumed"}), valid


def _inside(stored: Stored, valid: Bool[NDArray[np.bool_], "y x"]) -> bool:
    lowest, highest = _extremes(stored, valid)
    return lowest >= ASSUMED_LOW_K and highest <= ASSUMED_HIGH_K


def _extremes(stored: Stored, valid: Bool[NDArray[np.bool_], "y x"]) -> tuple[float, float]:
    """Lowest and highest valid number after scale and offset."""
    if not valid.any():
        return 0.0, 0.0
    some, values = stored.values[np.unravel_index(valid.argmax(), valid.shape)], stored.values
    found = values.min(where=valid, initial=some), values.max(where=valid, initial=some)
    ends = sorted(float(end) * stored.scale + stored.offset for end in found)
    return ends[0], ends[1]


def _range(stored: Stored, valid: Bool[NDArray[np.bool_], "y x"]) -> str:
    lowest, highest = _extremes(stored, valid)
    kind = "counts" if stored.values.dtype.kind in "iu" and stored.scale == 1.0 else "values"
    return f"{stored.values.dtype.name} {kind} {lowest:.6g} to {highest:.6g}"


def _convert(stored: Stored, valid: Bool[NDArray[np.bool_], "y x"]) -> Float32[NDArray[np.float32], "y x"]:
    """(y, x) float32 kelvin, NaN where not valid; block by block, so that a large scene stays small."""
    temperature = np.full(stored.values.shape, np.nan, dtype=np.float32)
    rows = max(1, _BLOCK // max(stored.values.shape[1], 1))
    for row in range(0, stored.values.shape[0], rows):
        block = slice(row, row + rows)
        good = valid[block]
        numbers = stored.values[block][good].astype(np.float64) * stored.scale + stored.offset
        with np.errstate(invalid="ignore", divide="ignore"):
            if stored.planck is not None:
                k1, k2 = stored.planck
                numbers = np.where(numbers > 0, k2 / np.log1p(k1 / numbers), np.nan)
            else:
                numbers = to_kelvin(numbers, stored.units or "K")
        temperature[block][good] = numbers.astype(np.float32)
    return temperature


def _drop_impossible(
    temperature: Float32[NDArray[np.float32], "y x"], stored: Stored, assumptions: list[str]
) -> None:
    """Refuses a picture that is no temperature; a few impossible pixels become NaN in place, and are told."""
    total = int(np.isfinite(temperature).sum())
    cold, hot = temperature < COLDEST_K, temperature > HOTTEST_K
    outside = int(cold.sum()) + int(hot.sum())
    if total == 0 or outside > IMPLAUSIBLE_SHARE * total:
        lowest, highest = (np.nanmin(temperature), np.nanmax(temperature)) if total else (np.nan, np.nan)
        raise UnusableInputError(
            f"{shortened(stored.variable)} is no temperature in {stored.units}: "
            f"{outside / max(total, 1):.1%} of its valid pixels lie outside {COLDEST_K:g}-{HOTTEST_K:g} K "
            f"(lowest {lowest:.6g} K, highest {highest:.6g} K); if the file hides a scale or a fill value, "
            f"say it in {_SETTING}"
        )
    too_hot = temperature > FIRE_K
    for wrong, words in ((cold, f"below {COLDEST_K:g} K"), (too_hot, f"above {FIRE_K:g} K")):
        if count := int(wrong.sum()):
            temperature[wrong] = np.nan
            assumptions.append(f"{count} {'pixel' if count == 1 else 'pixels'} {words} taken for no data")


def _quantization_k(stored: Stored, temperature: Float32[NDArray[np.float32], "y x"]) -> float:
    """The step of packed integers in kelvin, at the median where the relation is curved; 0 for floats."""
    if stored.values.dtype.kind == "f":
        return 0.0
    if stored.planck is None:
        return abs(stored.scale) * (5.0 / 9.0 if stored.units in FAHRENHEIT_UNITS else 1.0)
    k1, k2 = stored.planck
    median = float(np.nanmedian(temperature))
    radiance = k1 / np.expm1(k2 / median)
    # dT/dL of T = K2 / ln(K1 / L + 1)
    return float(abs(stored.scale) * median**2 / k2 * k1 / (radiance * (radiance + k1)))

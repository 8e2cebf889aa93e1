"""Which temperatures a kind of scene can hold, so that fill values and cloud tops are not taken for ground.

Colder pixels become no data, and their number is told. Hotter ones may be fires and stay, but not at
sea, where they become no data. A scene with more of either than `archive.plausible` allows is refused.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from pipeline.errors import SkippedSceneError, UnusableInputError
from pipeline.scene import Quantity
from pipeline.settings import ArchiveSettings, PlausibleSettings, ProductRule

ALARM = "alarm: "
RARE = 0.01  # more than this share of the valid pixels outside is worth an alarm
_COLLAR_GAP_K = 8.0  # a lowest value that is repeated so far below all others is no measurement
_WATER_VAPOR_UM, _MID_INFRARED_UM = (5.5, 7.7), (3.4, 4.3)


def keep_plausible(
    temperature: Float32[NDArray[np.float32], "y x"],
    quantity: Quantity,
    wavelength_um: float,
    rule: ProductRule | None,
    settings: ArchiveSettings,
) -> tuple[str, ...]:
    """Make impossible pixels no data, in place; what was done, in words, with "alarm" where it is much.

    Raises:
        UnusableInputError: If more pixels lie outside than the settings allow.
        SkippedSceneError: If a rule's range leaves none.
    """
    _drop_ruled(temperature, rule)
    collar = _drop_collar(temperature)
    valid = int(np.isfinite(temperature).sum())
    lowest_k, highest_k = _range(quantity, wavelength_um, settings.plausible)
    if rule is not None and rule.valid_min_k is not None:
        lowest_k = rule.valid_min_k
    if rule is not None and rule.valid_max_k is not None:
        highest_k = rule.valid_max_k
    cold, hot = temperature < lowest_k, temperature > highest_k
    share = (int(cold.sum()) + int(hot.sum()) + collar) / max(valid + collar, 1)
    named = quantity.replace("_", " ")
    if share > settings.plausible.most_outside_fraction:
        raise UnusableInputError(
            f"{share:.1%} of its valid pixels lie outside {lowest_k:g}-{highest_k:g} K, where a {named} "
            "lies; say a fill value, a mask or a range in [[archive.products]], or change archive.plausible"
        )
    temperature[cold] = np.nan
    words = f"below {lowest_k:g} K"
    if quantity == "sea_surface_temperature":
        temperature[hot] = np.nan
        words = f"outside {lowest_k:g}-{highest_k:g} K"
    told = []
    gone = int(cold.sum()) + collar + (int(hot.sum()) if quantity == "sea_surface_temperature" else 0)
    if gone:
        told.append(f"{gone} {'pixel' if gone == 1 else 'pixels'} {words} taken for no data")
    if share > RARE:
        told.append(f"{ALARM}{share:.1%} of the valid pixels lay outside {lowest_k:g}-{highest_k:g} K")
    return tuple(told)


def _drop_ruled(temperature: Float32[NDArray[np.float32], "y x"], rule: ProductRule | None) -> None:
    """What a person's rule says to be no data becomes it, in place."""
    if rule is None or (rule.valid_min_k is None and rule.valid_max_k is None):
        return
    outside = temperature < (-np.inf if rule.valid_min_k is None else rule.valid_min_k)
    outside |= temperature > (np.inf if rule.valid_max_k is None else rule.valid_max_k)
    temperature[outside] = np.nan
    if not np.isfinite(temperature).any():
        raise SkippedSceneError("no pixel lies within valid_min_k and valid_max_k of its rule")


def _drop_collar(temperature: Float32[NDArray[np.float32], "y x"]) -> int:
    """Make one repeated value far below all others no data, in place; how many pixels that were."""
    valid = np.isfinite(temperature)
    lowest = temperature.min(where=valid, initial=np.inf)
    others = valid & (temperature > lowest)
    count = int(valid.sum()) - int(others.sum())
    next_k = temperature.min(where=others, initial=np.inf)
    if count <= max(RARE * valid.sum(), 2) or not _COLLAR_GAP_K <= next_k - lowest < np.inf:
        return 0
    temperature[temperature == lowest] = np.nan
    return count


def _range(quantity: Quantity, wavelength_um: float, ranges: PlausibleSettings) -> tuple[float, float]:
    if quantity == "surface_temperature":
        return ranges.surface_k
    if quantity == "sea_surface_temperature":
        return ranges.sea_k
    if _WATER_VAPOR_UM[0] <= wavelength_um <= _WATER_VAPOR_UM[1]:
        return ranges.water_vapor_k
    if _MID_INFRARED_UM[0] <= wavelength_um <= _MID_INFRARED_UM[1]:
        return ranges.mid_infrared_k
    return ranges.brightness_k

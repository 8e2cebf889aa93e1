"""Quality flags by their own words: `flag_values` or `flag_masks` with `flag_meanings`, as CF has it.

The same number means something else in every product, so a product's list counts only where the
file does not say what its flags mean.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped
from numpy.typing import NDArray

_BAD = re.compile(
    r"(?<![a-z])(?:bad|invalid|out_of|no_(?:value|data|retrieval)|not_(?:clear|produced|processed|valid)|cloudy?|"
    r"degraded|exceeded|missing|fill|space|unusable|unprocessed|probably_cloudy|low_quality|error)",
    re.IGNORECASE,
)
_GOOD = re.compile(r"(?<![a-z])(?:good|clear|best|valid|conditionally|not_cloudy|no_cloud)", re.IGNORECASE)


def unusable(
    flags: Shaped[NDArray[np.generic], "y x"], attrs: Mapping[str, Any]
) -> Bool[NDArray[np.bool_], "y x"] | None:
    """(y, x) true where a meaning says that there is no usable number; None where the flags say no meanings.

    Without a word for bad, and with one for good, all others are bad.
    """
    meanings = str(attrs.get("flag_meanings", "")).split()
    kind = flags.dtype
    if kind.kind not in "iu" or not meanings or len(meanings) > 256:
        return None
    values, masks = (_numbers(attrs.get(name), kind) for name in ("flag_values", "flag_masks"))
    if len(meanings) not in (len(values), len(masks)):
        return None
    wide = flags.astype(np.int64) & ((1 << 8 * kind.itemsize) - 1)
    missing = np.zeros(flags.shape, dtype=np.bool_)
    for position, words in enumerate(meanings):
        if not _BAD.search(words) or (_GOOD.search(words) and not re.search(r"not_|in_?valid", words)):
            continue
        if len(masks) == len(meanings):
            value = values[position] if len(values) == len(masks) else None
            field = wide & masks[position]
            missing |= (field == value) if value is not None else (field != 0)
        else:
            missing |= wide == values[position]
    return missing


def _numbers(given: Any, kind: np.dtype[Any]) -> list[int]:
    """The flags of an attribute as unsigned numbers of the variable's size; text "0b, 1b" is understood."""
    if given is None:
        return []
    if isinstance(given, str):
        found = re.findall(r"-?\d{1,10}", given)
        numbers = [int(number) for number in found]
    else:
        array = np.asarray(given).reshape(-1)
        if array.dtype.kind not in "iu":
            return []
        numbers = [int(number) for number in array[:256]]
    return [number & ((1 << 8 * kind.itemsize) - 1) for number in numbers]

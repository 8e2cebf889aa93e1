"""Quality bands that lie beside a GeoTIFF: which file, and which of its numbers mean no data.

Only what the product's own guide calls no data or cloud is left out; shadows, water and snow have a
temperature. A rule in `[[archive.products]]` says the same of other products.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Shaped
from numpy.typing import NDArray

from pipeline.settings import ProductRule
from pipeline.text import shortened


@dataclass(frozen=True)
class Mask:
    """A file beside a scene that says which of its pixels are no data.

    Attributes:
        name: Of the file.
        bad: No data where number & first == second, for any of these pairs.
        values: No data where the number is one of these.
        words: For `Scene.facts`.
    """

    name: str
    bad: tuple[tuple[int, int], ...] = ()
    values: tuple[int, ...] = ()
    words: str = ""

    def missing(self, numbers: Shaped[NDArray[np.generic], "y x"]) -> Bool[NDArray[np.bool_], "y x"]:
        """(y, x) true where there is no data."""
        stored = np.asarray(numbers).astype(np.int64)
        missing = np.isin(stored, self.values)
        for field, value in self.bad:
            missing |= (stored & field) == value
        return missing


# Pattern of the temperature's name, what the mask's name may have in its place, pairs as in `Mask.bad`.
_KNOWN = (
    # Landsat 8-9 Collection 2 Level 2 guide (LSDS-1619), QA_PIXEL: fill, dilated cloud, cirrus, cloud
    (r"(?<=_)ST_B(?:6|10)(?=\.)", ("QA_PIXEL",), ((1, 1), (2, 2), (4, 4), (8, 8))),
    # ECOSTRESS Level-2 guide: cloud 1; QC, mandatory bits 2 (cloud) and 3 (not produced)
    (r"(?<=_\d{4}_\d{2}_)LST(?=\.)", ("cloud",), ((1, 1),)),
    (r"(?<=_\d{4}_\d{2}_)LST(?=\.)", ("QC",), ((3, 2), (3, 3))),
    # MOD11 guide, QC: mandatory bits 2 (cloud) and 3 (not produced)
    (r"LST_(Day|Night)(_1km)?", (r"QC_\1", r"QC_\1\2"), ((3, 2), (3, 3))),
)


def masks_beside(name: str, names: Collection[str], rule: ProductRule | None) -> list[Mask]:
    """The masks of a scene's file among the names of its folder: those of its rule, or of its product."""
    if rule is not None and rule.mask is not None:
        if rule.mask[0] not in name or (beside := name.replace(rule.mask[0], rule.mask[1])) not in names:
            return []
        bad = tuple((1 << bit, 1 << bit) for bit in rule.mask_bits)
        return [Mask(beside, bad, rule.mask_values, f"[[archive.products]] {rule.pattern}")]
    others = {re.sub(pattern, word, name): bad for pattern, words, bad in _KNOWN for word in words}
    return [
        Mask(other, bad, (), f"{shortened(other, 100)} beside it")
        for other, bad in others.items()
        if other != name and other in names
    ]

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
        most: No data where the number is larger than this, negative or none; None for any number.
        words: For `Scene.facts`.
    """

    name: str
    bad: tuple[tuple[int, int], ...] = ()
    values: tuple[int, ...] = ()
    words: str = ""
    most: float | None = None

    def missing(self, numbers: Shaped[NDArray[np.generic], "y x"]) -> Bool[NDArray[np.bool_], "y x"]:
        """(y, x) true where there is no data."""
        if self.most is not None:
            told = np.asarray(numbers, dtype=np.float64)
            small: Bool[NDArray[np.bool_], "y x"] = (told >= 0) & (told <= self.most)
            return ~small
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
    # AppEEARS' names of ECOSTRESS and VIIRS land surface temperature; the same bits of QC (VNP21 guide)
    (r"(?<=\.\d{3}_)(SDS_)?LST(?:_1KM)?(?=_doy)", (r"\1QC",), ((3, 2), (3, 3))),
    # MOD11 guide, QC: mandatory bits 2 (cloud) and 3 (not produced)
    (r"LST_(Day|Night)(_1km)?", (r"QC_\1", r"QC_\1\2"), ((3, 2), (3, 3))),
)
# The same of products that tell their own uncertainty, and the kelvin of one stored number.
_UNCERTAINTY = (
    (r"(?<=_)ST_B(?:6|10)(?=\.)", "ST_QA", 0.01),  # LSDS-1619, surface temperature bands: scale 0.01, K
    (r"(?<=_\d{4}_\d{2}_)LST(?=\.)", "LST_err", 1.0),  # ECOSTRESS Level-2 guide, tiles
)


def masks_beside(name: str, names: Collection[str], rule: ProductRule | None) -> list[Mask]:
    """The masks of a scene's file among the names of its folder: those of its rule, or of its product."""
    return [*_flags_beside(name, names, rule), *_uncertainty_beside(name, names, rule)]


def ruled_mask(name: str, rule: ProductRule) -> Mask | None:
    """The mask that a rule names for a file or a variable of this name, wherever it is; None where none."""
    if rule.mask is None or rule.mask[0] not in name:
        return None
    bad = tuple((1 << bit, 1 << bit) for bit in rule.mask_bits)
    beside = name.replace(rule.mask[0], rule.mask[1])
    return Mask(beside, bad, rule.mask_values, f"[[archive.products]] {rule.pattern}")


def _uncertainty_beside(name: str, names: Collection[str], rule: ProductRule | None) -> list[Mask]:
    if rule is None or rule.most_uncertain_k is None:
        return []
    words = f"[[archive.products]] {rule.pattern}, most_uncertain_k {rule.most_uncertain_k:g}"
    others = {re.sub(pattern, word, name): unit_k for pattern, word, unit_k in _UNCERTAINTY}
    return [
        Mask(other, words=words, most=rule.most_uncertain_k / unit_k)
        for other, unit_k in others.items()
        if other != name and other in names
    ]


def _flags_beside(name: str, names: Collection[str], rule: ProductRule | None) -> list[Mask]:
    if rule is not None and rule.mask is not None:
        mask = ruled_mask(name, rule)
        return [mask] if mask is not None and mask.name in names else []
    others = {re.sub(pattern, word, name): bad for pattern, words, bad in _KNOWN for word in words}
    return [
        Mask(other, bad, (), f"{shortened(other, 100)} beside it")
        for other, bad in others.items()
        if other != name and other in names
    ]

"""GeoTIFF of any origin: what its tags say, and nothing else.

Product readers use the same steps and add what they know of their product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.archive.formats.cf_variable import quantity_in_words
from pipeline.archive.formats.geotiff import Raster, is_tiff, read_geotiff, tiff_time
from pipeline.archive.make_scene import Profile, make_scene
from pipeline.archive.masks import masks_beside
from pipeline.archive.names import parse_time, time_of_name
from pipeline.archive.product_rules import product_rule
from pipeline.errors import UnusableInputError
from pipeline.scene import Scene, SceneRef
from pipeline.settings import ArchiveSettings
from pipeline.text import shortened

SUFFIXES = frozenset({".tif", ".tiff", ".gtiff"})


def claims(path: Path) -> bool:
    """Any file that ends and begins like a TIFF."""
    return path.suffix.lower() in SUFFIXES and is_tiff(path)


def acquired(files: Sequence[Path]) -> str | None:
    """From the name; the time of day from the TIFF's date tag where the name has none."""
    return time_of_name(files[0].stem, lambda: parse_time(tiff_time(files[0]) or ""))


def read(ref: SceneRef, settings: ArchiveSettings) -> Scene:
    """The one temperature band, in kelvin on its grid."""
    raster = load(ref, settings)
    words = f"{raster.description} {raster.tags.get('long_name', '')} {Path(ref.files[0]).stem}"
    profile = Profile("names in the file", quantity=quantity_in_words(words), words=raster.tags)
    return make_scene(ref, raster.stored(), raster.placement, profile, settings)


def load(ref: SceneRef, settings: ArchiveSettings) -> Raster:
    """The stored band of a scene's main file, chosen by its rule where there is one, and its masks.

    Raises:
        UnusableInputError: As `read_geotiff`, or where a mask does not fit the band or is missing.
    """
    path = Path(ref.files[0])
    rule = product_rule(path, settings)
    raster = read_geotiff(path, settings, rule)
    masks = masks_beside(path.name, [Path(file).name for file in ref.files[1:]], rule)
    if rule is not None and rule.most_uncertain_k is not None and all(mask.most is None for mask in masks):
        raise UnusableInputError(
            "most_uncertain_k wants the ST_QA or LST_err of its product beside it; none is there"
        )
    for mask in masks:
        numbers = read_geotiff(path.with_name(mask.name), settings).values
        kinds = "iu" if mask.most is None else "iuf"
        if numbers.shape != raster.values.shape or numbers.dtype.kind not in kinds:
            raise UnusableInputError(
                f"its mask {shortened(mask.name)} is {numbers.shape} pixels of {numbers.dtype.name}; "
                f"integers in {raster.values.shape} pixels are wanted"
            )
        missing = mask.missing(numbers)
        raster = replace(raster, missing=missing if raster.missing is None else raster.missing | missing)
    return replace(raster, masks=tuple(mask.words for mask in masks))

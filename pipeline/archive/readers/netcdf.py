"""NetCDF of any origin, by the Climate and Forecast conventions.

Product readers use `scene_of` with the names and masks that they know of.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from jaxtyping import Bool, Shaped
from numpy.typing import NDArray

from pipeline.archive.decode import Stored, stated
from pipeline.archive.formats.cf_flags import unusable
from pipeline.archive.formats.cf_place import place
from pipeline.archive.formats.cf_variable import choose_variable, quantity_of
from pipeline.archive.formats.hdfeos import eos_placement
from pipeline.archive.formats.netcdf import (
    Variable,
    attributes,
    is_netcdf,
    open_netcdf,
    packed,
    stored_numbers,
    text_of,
    time_of,
    variables,
)  # fmt: skip
from pipeline.archive.make_scene import Profile, make_scene
from pipeline.archive.masks import ruled_mask
from pipeline.archive.names import parse_time, time_of_name
from pipeline.archive.placement import Placement
from pipeline.archive.product_rules import product_rule
from pipeline.archive.sensors import sensor_in_text
from pipeline.errors import UnusableInputError
from pipeline.scene import Scene, SceneRef
from pipeline.settings import ArchiveSettings, ProductRule
from pipeline.text import shortened

SUFFIXES = frozenset({".nc", ".nc4", ".cdf", ".h5", ".hdf5", ".he5", ".hdf"})
_TELLING = (
    "platform", "platform_ID", "instrument", "instrument_type", "instrument_name", "sensor", "sensor_name",
    "product_type", "title", "source", "id", "ShortName", "dataset_name",
)  # fmt: skip
_UNCERTAIN = ("_uncertainty", "_err", "_standard_error")


@dataclass(frozen=True)
class QualityFlags:
    """A product's own variable of pixel quality.

    Attributes:
        variable: Its name.
        usable: The flags worth using.
        words: That rule in words.
        own_words: Whether the meanings that the file gives its flags count before `usable`.
        field: The bits that hold the flag; 0 where it is the whole number.
    """

    variable: str
    usable: tuple[int, ...]
    words: str
    own_words: bool = False
    field: int = 0


def claims(path: Path) -> bool:
    """Any file that ends and begins like NetCDF."""
    return path.suffix.lower() in SUFFIXES and is_netcdf(path)


def acquired(files: Sequence[Path]) -> str | None:
    """From the name; where that has no time of day, from the attributes or the time variable."""

    def inside() -> str | None:
        with open_netcdf(files[0]) as dataset:
            return _time_in_attributes(attributes(dataset)) or time_of(dataset)

    return time_of_name(files[0].stem, inside)


def read(ref: SceneRef, settings: ArchiveSettings) -> Scene:
    """The one temperature variable, in kelvin on its grid."""
    with open_netcdf(Path(ref.files[0])) as dataset:
        stored, placement, profile = scene_of(dataset, ref, settings)
    return make_scene(ref, stored, placement, profile, settings)


def scene_of(
    dataset: netCDF4.Dataset,
    ref: SceneRef,
    settings: ArchiveSettings,
    wanted: Sequence[str] = (),
    quality: QualityFlags | None = None,
) -> tuple[Stored, Placement, Profile]:
    """Numbers, place and labels of a dataset's temperature.

    Args:
        dataset: Open.
        ref: The scene.
        settings: Of the archive.
        wanted: Variables that a product's profile prefers, the first that exists counts.
        quality: Flags that tell pixels without data, where the dataset has them in the picture's shape.
    """
    path = Path(ref.files[0])
    rule = product_rule(path, settings)
    variable, decided_by = _variable(dataset, rule.variable if rule else None, wanted)
    placement, turned = _place(dataset, variable, settings)
    picture = packed(variable, settings)
    scaling = picture.scale, picture.offset
    facts = {"units": "attribute", **stated("attributes", scaling=scaling, fills=picture.fills)}
    missing = picture.missing
    for masked, words in _masks(dataset, variable, quality, rule, settings):
        missing = masked if missing is None else missing | masked
        facts["mask"] = "; ".join(filter(None, [facts.get("mask"), words]))
    facts["variable"] = f"{shortened(variable.name, 60)} ({decided_by})"
    stored = Stored(
        picture.values, shortened(variable.name, 60), missing, picture.scale, picture.offset, picture.units,
        picture.fills, None, facts,
    )  # fmt: skip
    if turned:
        stored = replace(stored, values=stored.values.T, missing=None if missing is None else missing.T)
    told = attributes(dataset)
    said = {name: text_of(told, name) for name in told}
    said["long_name"] = text_of(attributes(variable), "long_name")
    profile = Profile("attributes", _sensor_in_attributes(told), None, quantity_of(variable), said)
    return stored, placement, profile


def _masks(
    dataset: netCDF4.Dataset,
    variable: Variable,
    quality: QualityFlags | None,
    rule: ProductRule | None,
    settings: ArchiveSettings,
) -> Iterator[tuple[Bool[NDArray[np.bool_], "y x"], str]]:
    """What is no data by a person's rule or by the product's flags, and in whose words."""
    ruled = None if rule is None else ruled_mask(variable.name, rule)
    if ruled is not None:
        if (numbers := _beside(dataset, variable, ruled.name, settings)) is None:
            raise UnusableInputError(
                f"has no {shortened(ruled.name, 60)} of its picture's size to mask it by"
            )
        yield ruled.missing(numbers), ruled.words
    else:
        quality = quality or _quality_beside(dataset, variable)
        if quality is not None and (found := _unusable(dataset, variable, quality, settings)) is not None:
            yield found, quality.words
    if rule is not None and rule.most_uncertain_k is not None:
        yield _too_uncertain(dataset, variable, rule.most_uncertain_k, settings), "most_uncertain_k"


def _too_uncertain(
    dataset: netCDF4.Dataset, variable: Variable, most_k: float, settings: ArchiveSettings
) -> Bool[NDArray[np.bool_], "y x"]:
    there = variables(dataset)
    for ending in _UNCERTAIN:
        told = there.get(f"{variable.name}{ending}")
        if told is not None and told.shape[-2:] == variable.shape[-2:]:
            picture = packed(told, settings)
            kelvin = picture.values.astype(np.float64) * picture.scale + picture.offset
            known: Bool[NDArray[np.bool_], "y x"] = (kelvin >= 0) & (kelvin <= most_k)
            return ~known | np.isin(picture.values, picture.fills)
    names = ", ".join(f"{variable.name}{ending}" for ending in _UNCERTAIN)
    raise UnusableInputError(f"most_uncertain_k wants one of {shortened(names)}; none is there")


def _beside(
    dataset: netCDF4.Dataset, variable: Variable, name: str, settings: ArchiveSettings
) -> Shaped[NDArray[np.generic], "y x"] | None:
    """The numbers of another variable with the picture's shape; None where there is none."""
    flags = variables(dataset).get(name)
    shape = variable.shape[-2:]
    if flags is None or flags.shape[-2:] != shape or flags.size != shape[0] * shape[1]:
        return None
    return stored_numbers(flags, settings).reshape(shape)


def _unusable(
    dataset: netCDF4.Dataset, variable: Variable, quality: QualityFlags, settings: ArchiveSettings
) -> Bool[NDArray[np.bool_], "y x"] | None:
    """(y, x) true where the flag is not one of the usable; None where the dataset has no such flags."""
    if (numbers := _beside(dataset, variable, quality.variable, settings)) is None:
        return None
    own_words = attributes(variables(dataset)[quality.variable])
    told = unusable(numbers, own_words) if quality.own_words else None
    if told is not None:
        return told
    if quality.field:
        return np.isin(numbers.astype(np.int64) & quality.field, quality.usable, invert=True)
    return np.isin(numbers, quality.usable, invert=True)


def _quality_beside(dataset: netCDF4.Dataset, variable: Variable) -> QualityFlags | None:
    """The QC of VIIRS and MODIS land products, beside their temperature; None where there is none."""
    if not re.search(r"(?:^|/)LST(?:_1KM)?$", variable.name):
        return None
    found = [name for name in variables(dataset) if name.rpartition("/")[2] == "QC"]
    if len(found) != 1:
        return None
    return QualityFlags(found[0], (0, 1), "QC, mandatory bits above 1", field=3)


def _place(dataset: netCDF4.Dataset, variable: Variable, settings: ArchiveSettings) -> tuple[Placement, bool]:
    of_eos = eos_placement(dataset, variable)
    return (of_eos, False) if of_eos is not None else place(dataset, variable, settings)


def _variable(dataset: netCDF4.Dataset, ruled: str | None, wanted: Sequence[str]) -> tuple[Variable, str]:
    if ruled is not None:
        return choose_variable(dataset, ruled)[0], "[[archive.products]]"
    there = variables(dataset)
    for name in wanted:
        if name in there:
            return there[name], "product profile"
    return choose_variable(dataset)


def _sensor_in_attributes(attrs: Mapping[str, Any]) -> str | None:
    found = {key for name in _TELLING if (key := sensor_in_text(text_of(attrs, name))) is not None}
    return found.pop() if len(found) == 1 else None


def _time_in_attributes(attrs: Mapping[str, Any]) -> str | None:
    for name in ("time_coverage_start", "start_time", "start_date", "RangeBeginningDateTime"):
        if told := parse_time(text_of(attrs, name)):
            return told
    return None

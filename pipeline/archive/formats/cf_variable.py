"""Which variable of a NetCDF file is the temperature, and what it is the temperature of.

The Climate and Forecast conventions say it with `standard_name`; many files say half of
it. A choice is made only where one candidate is left, never by order or by size.
"""

from __future__ import annotations

import re

import netCDF4
import numpy as np

from pipeline.archive.formats.cf_place import coordinate_role
from pipeline.archive.formats.netcdf import Variable, attributes, text_of, variables
from pipeline.errors import UnusableInputError
from pipeline.radiometry import known_temperature_units
from pipeline.scene import Quantity
from pipeline.text import shortened

_STANDARD_NAMES: dict[str, Quantity] = {
    "toa_brightness_temperature": "brightness_temperature",
    "brightness_temperature": "brightness_temperature",
    "surface_temperature": "surface_temperature",
    "land_surface_temperature": "surface_temperature",
    "land_surface_skin_temperature": "surface_temperature",
    "surface_skin_temperature": "surface_temperature",
    "sea_surface_temperature": "sea_surface_temperature",
    "sea_surface_skin_temperature": "sea_surface_temperature",
    "sea_surface_subskin_temperature": "sea_surface_temperature",
    "sea_surface_foundation_temperature": "sea_surface_temperature",
}
_NAMES = frozenset(
    {"lst", "surface_temperature", "temperature", "bt", "cmi", "sea_surface_temperature", "analysed_sst"}
)
_NO_TEMPERATURE = re.compile(
    r"uncert|err|std|bias|dtime|(?<![a-z])qc|quality|flag|count|mask|climat|anomal", re.IGNORECASE
)


def choose_variable(dataset: netCDF4.Dataset, wanted: str | None = None) -> tuple[Variable, str]:
    """The variable that holds the temperature, and what decided.

    Args:
        dataset: Open.
        wanted: Name given by a person's rule or a product's profile.

    Raises:
        UnusableInputError: If there is none, or more than one that nothing tells apart.
    """
    everything = variables(dataset)
    if wanted is not None:
        if wanted not in everything:
            raise UnusableInputError(f"has no variable {wanted!r}; it has {_listed(list(everything))}")
        return everything[wanted], "named"
    pictures = {name: variable for name, variable in everything.items() if _is_picture(variable)}
    plausible = {name: variable for name, variable in pictures.items() if not _NO_TEMPERATURE.search(name)}
    told = {name: attributes(variable) for name, variable in plausible.items()}
    steps = {
        "standard_name": [n for n in told if text_of(told[n], "standard_name") in _STANDARD_NAMES],
        "name": [n for n in told if n.rsplit("/", 1)[-1].lower() in _NAMES],
        "units": [n for n in told if known_temperature_units(text_of(told[n], "units"))],
        "only one": list(told),
    }
    for decided_by, names in steps.items():
        if len(names) == 1:
            return plausible[names[0]], decided_by
        if names:
            raise UnusableInputError(
                f"more than one variable may be the temperature: {_listed(names)}; name one as variable in "
                "[[archive.products]]"
            )
    raise UnusableInputError(f"has no variable that is a picture; it has {_listed(list(everything))}")


def quantity_of(variable: Variable) -> Quantity | None:
    """What the temperature is of, by standard name or by the words of the variable; None where unsaid."""
    attrs = attributes(variable)
    standard = _STANDARD_NAMES.get(text_of(attrs, "standard_name"))
    return standard or quantity_in_words(f"{variable.name} {text_of(attrs, 'long_name')}")


def quantity_in_words(words: str) -> Quantity | None:
    """What a temperature is of, by the words of a name; None where they do not say."""
    told = words.lower().replace("_", " ").replace("-", " ")
    if re.search(r"brightness|\b(bt|tb|tbb)\b", told):
        return "brightness_temperature"
    if re.search(r"\bsst|sea surface", told):
        return "sea_surface_temperature"
    if re.search(r"\blst|land surface|surface temp|skin temp", told):
        return "surface_temperature"
    return None


def _is_picture(variable: Variable) -> bool:
    """Whether it could be one: numbers over rows and columns; integers only where they are packed."""
    if len(variable.shape) < 2 or min(variable.shape[-2:]) < 2:
        return False
    if not isinstance(variable.dtype, np.dtype) or variable.dtype.kind not in "iuf":
        return False
    if coordinate_role(variable) is not None:
        return False
    attrs = set(variable.ncattrs())
    return variable.dtype.kind == "f" or bool({"scale_factor", "units"} & attrs)


def _listed(names: list[str]) -> str:
    shown = ", ".join(shortened(name, 60) for name in names[:6])
    return (shown or "none at all") + (f" and {len(names) - 6} more" if len(names) > 6 else "")

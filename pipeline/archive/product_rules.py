"""A person's rules for files that do not say what they hold: the first that fits a file wins.

A rule is looked up by the file's place below the archive's root or by its bare name, so
the same rule serves a folder and a single file.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path

from pipeline.archive.placement import crs_from_text
from pipeline.archive.sensors import sensor
from pipeline.errors import SettingsError, UnusableInputError
from pipeline.radiometry import known_temperature_units
from pipeline.settings import ArchiveSettings, ProductRule


def product_rule(path: Path, settings: ArchiveSettings) -> ProductRule | None:
    """The first rule whose pattern fits the path below the root, or the name; None where none does."""
    if not settings.products:
        return None
    root = settings.root.absolute()
    below = path.absolute()
    inside = below.relative_to(root).as_posix() if below.is_relative_to(root) else path.name
    for rule in settings.products:
        if fnmatchcase(inside, rule.pattern) or fnmatchcase(path.name, rule.pattern):
            return rule
    return None


def check_rules(settings: ArchiveSettings) -> None:
    """Finds what is wrong with the settings before it is taken for a fault of the files.

    Raises:
        SettingsError: A rule names an unknown sensor, unit or reference system, or a bound of the period
            is no date.
    """
    for name, day in (("since", settings.since), ("until", settings.until)):
        if day is not None and not re.fullmatch(r"\d{4}-\d{2}-\d{2}", day):
            raise SettingsError(f"archive.{name}: a date (YYYY-MM-DD) is wanted, found {day!r}")
    for rule in settings.products:
        where = f"[[archive.products]] {rule.pattern!r}"
        if rule.sensor is not None:
            sensor(rule.sensor)
        if rule.units is not None and not known_temperature_units(rule.units):
            raise SettingsError(f'{where}: units: "K", "degC" or "degF" is wanted, found {rule.units!r}')
        if rule.crs is not None:
            try:
                crs_from_text(rule.crs)
            except UnusableInputError as error:
                raise SettingsError(f'{where}: crs: {error}; "EPSG:32633" or WKT is wanted') from error

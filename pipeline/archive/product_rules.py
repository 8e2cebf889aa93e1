"""A person's rules for files that do not say what they hold: the first that fits a file wins.

A pattern with a slash is matched on the file's path below the archive's root, one without
a slash on the file's name. Where the archive is a single file, any folder above it may be
the root, so that `info` and a night see the same rule.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from pipeline.archive.placement import crs_from_text
from pipeline.archive.sensors import sensor
from pipeline.errors import SettingsError, UnusableInputError
from pipeline.files import text_digest
from pipeline.radiometry import known_temperature_units
from pipeline.settings import ArchiveSettings, ProductRule


def product_rule(path: Path, settings: ArchiveSettings) -> ProductRule | None:
    """The first rule whose pattern fits the path below the root, or the name; None where none does."""
    root, whole = settings.root.absolute(), path.absolute()
    alone = whole == root or not whole.is_relative_to(root)
    parts = whole.parts if alone else whole.relative_to(root).parts
    for rule in settings.products:
        pattern = rule.pattern.split("/")
        if _fits(parts, ["**", *pattern] if alone or len(pattern) == 1 else pattern):
            return rule
    return None


def rule_identity(path: Path, settings: ArchiveSettings) -> str:
    """Eight digits of what a person says that decides a scene's pixels, "" where nobody says anything.

    Two rules that say the same of a file are one, whatever their patterns and wherever they stand.
    """
    rule = product_rule(path, settings)
    said = {} if rule is None else rule.model_dump(mode="json", exclude={"pattern"}, exclude_defaults=True)
    ranges = settings.plausible.model_dump(mode="json", exclude_defaults=True)
    both = {**said, **({"plausible": ranges} if ranges else {})}
    return text_digest(json.dumps(both, sort_keys=True))[:8] if both else ""


def _fits(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether folders and name fit a glob, part by part; ** is any number of folders, none included."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_fits(parts[start:], pattern[1:]) for start in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _fits(parts[1:], pattern[1:])


def check_rules(settings: ArchiveSettings) -> None:
    """Finds what is wrong with the settings before it is taken for a fault of the files.

    Raises:
        SettingsError: A rule has an absolute pattern or names an unknown sensor, unit or reference system, or
            a bound of the period is no date.
    """
    for name, day in (("since", settings.since), ("until", settings.until)):
        if day is not None and not re.fullmatch(r"\d{4}-\d{2}-\d{2}", day):
            raise SettingsError(f"archive.{name}: a date (YYYY-MM-DD) is wanted, found {day!r}")
    for rule in settings.products:
        where = f"[[archive.products]] {rule.pattern!r}"
        if rule.pattern.startswith("/"):
            raise SettingsError(
                f"{where}: the path below the archive root is wanted, without a slash before it"
            )
        if rule.sensor is not None:
            try:
                sensor(rule.sensor)
            except SettingsError as error:
                raise SettingsError(f"{where}: sensor: {error}") from error
        if rule.units is not None and not known_temperature_units(rule.units):
            raise SettingsError(f'{where}: units: "K", "degC" or "degF" is wanted, found {rule.units!r}')
        if rule.crs is not None:
            try:
                crs_from_text(rule.crs)
            except UnusableInputError as error:
                raise SettingsError(f'{where}: crs: {error}; "EPSG:32633" or WKT is wanted') from error

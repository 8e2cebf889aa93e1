"""A person's rules for files that do not say what they hold: the first that fits a file wins.

A rule is looked up by the file's place below the archive's root or by its bare name, so
the same rule serves a folder and a single file.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path

from pipeline.archive.sensors import sensor
from pipeline.errors import SettingsError
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
    """Raises `SettingsError` where a rule names an unknown sensor or a bound of the period is no date."""
    for name, day in (("since", settings.since), ("until", settings.until)):
        if day is not None and not re.fullmatch(r"\d{4}-\d{2}-\d{2}", day):
            raise SettingsError(f"archive.{name}: a date (YYYY-MM-DD) is wanted, found {day!r}")
    for rule in settings.products:
        if rule.sensor is not None:
            sensor(rule.sensor)

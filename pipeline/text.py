"""Words that came from files, made harmless where people and programs read them.

A scene's name, a unit or a reason may hold line breaks, terminal codes or a
spreadsheet formula: whoever made the file chose it, not we.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

LONGEST_TEXT = 500  # characters; an attribute of a megabyte is no description
_TERMINAL_CODE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
# Emphasis, code, links, HTML, tables, headings, lists, and addresses that become links by themselves.
_MARKDOWN_MARKS = re.compile(r"[\\`*_{}\[\]<>()|~#&!$]|^[-+=]|(?<=^\d)[.)]|:(?=//)|(?<=www)\.|@")
_FORMULA_STARTS = ("=", "+", "-", "@")


def one_line(text: object, limit: int = LONGEST_TEXT) -> str:
    """Any text as one printable line of at most `limit` characters."""
    encodable = _TERMINAL_CODE.sub(" ", str(text)).encode("utf-8", "replace").decode()
    printable = "".join(character if character.isprintable() else " " for character in encodable)
    cleaned = " ".join(printable.split())
    return cleaned if len(cleaned) <= limit else cleaned[: limit - 1] + "…"


def shortened(text: object, limit: int = 120) -> str:
    """One line that is short enough for a part of a sentence."""
    return one_line(text, limit)


def markdown_safe(text: object, limit: int = LONGEST_TEXT) -> str:
    """One line that a Markdown page shows letter for letter: no link, no emphasis, no HTML, no new cell."""
    return _MARKDOWN_MARKS.sub(r"\\\g<0>", one_line(text, limit))


def markdown_code(text: object, limit: int = LONGEST_TEXT) -> str:
    """One line as code between backticks, for names; what would end it or a table cell is left out."""
    return f"`{one_line(text, limit).translate({ord('`'): ' ', ord('|'): ' '}).strip() or ' '}`"


def latin_line(text: object) -> str:
    """One line in Latin-1, all that a PNG text chunk can hold; other letters become "?"."""
    return one_line(text).encode("latin-1", "replace").decode("latin-1")


def table_cell(value: object) -> str:
    """A cell of a CSV file that no spreadsheet takes for a formula; numbers stay numbers."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(value)
    text = one_line(value)
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def plain_json(value: Any) -> Any:
    """The same value as JSON knows it: numpy scalars become numbers, what is not finite becomes null.

    Raises:
        TypeError: If something has no plain form, an array for instance: pixels belong in the store.
    """
    if isinstance(value, Mapping):
        return {str(key): plain_json(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain_json(item) for item in value]
    if type(value).__module__ == "numpy" and hasattr(value, "item") and not getattr(value, "ndim", 1):
        return plain_json(value.item())  # a scalar, known without importing NumPy, which `--help` waits for
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain_json(dataclasses.asdict(value))
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, PurePath):
        return value.name
    raise TypeError(f"{type(value).__name__} has no plain JSON form")

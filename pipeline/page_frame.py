"""What all pages share: head, content policy, colors for dark and light, and how words and data get in.

A page is one HTML file that opens from the disk and loads nothing; its policy forbids every request. Data
come in as JSON that no text from a file can close, and scripts show words as text and never as markup.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

from pipeline.text import one_line


def fill_page(room: str, name: str, *, title: str, data: Mapping[str, Any], library: str = "") -> str:
    """A whole page as text.

    Args:
        room: Package that holds `<name>.html` (the body), `.css` and `.js`.
        name: Of these three.
        title: Any words; shown as text.
        data: Plain JSON, which the script finds as `data`.
        library: Name of a `.css` and a `.js` beside them that come first.

    Raises:
        ValueError: If the data hold a number that is not finite.
    """
    names = [library, name] if library else [name]
    parts = {
        "TITLE": escape(one_line(title)),
        "CSS": part("pipeline", "page_frame.css") + "".join(part(room, f"{each}.css") for each in names),
        "BODY": part(room, f"{name}.html"),
        "DATA": json.dumps(data, allow_nan=False).replace("<", "\\u003c"),
        "SCRIPT": part("pipeline", "page_frame.js") + "".join(part(room, f"{each}.js") for each in names),
    }
    # In one pass: what is filled in is not looked into again.
    return re.sub("@([A-Z]+)@", lambda place: parts[place[1]], part("pipeline", "page_frame.html"))


@cache
def part(room: str, name: str) -> str:
    """A text file that lies beside the modules of a package."""
    return files(room).joinpath(name).read_text(encoding="utf-8")

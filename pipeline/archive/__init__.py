"""What comes in: names of scenes, and readers that turn files into kelvin on a grid.

`discover.discover` names every scene of a folder, `read_scene` reads one. What each
product family needs lives in `readers`, what each instrument does in `sensors`.
"""

from __future__ import annotations

from typing import Any

__all__ = ["read_scene"]


def __getattr__(name: str) -> Any:
    """`read_scene`, imported with all readers when it is asked for: most of this room needs none of them."""
    if name != "read_scene":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pipeline.archive.read import read_scene

    return read_scene

"""Readers by product family; the first that claims a file reads it.

Ordered by how much they know: products before containers. To add one, write a module with
the three functions of `Reader`, or a few constants in `profiles` where that is all it
needs, and a line here; `tests/archive/test_every_reader.py` then asks for a made file of that
kind (`twins.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from pipeline.archive.formats.mtl import mtl_beside
from pipeline.archive.readers import geotiff, ghrsst, goes_abi, landsat_l1, netcdf, npz, slstr
from pipeline.archive.readers.profiles import ECOSTRESS, LANDSAT_L2, MODIS
from pipeline.scene import Scene, SceneRef
from pipeline.settings import ArchiveSettings


class Reader(Protocol):
    """What a reader offers, a module or a profile; errors of all readers are named here."""

    def claims(self, path: Path) -> bool:
        """Whether the file is of this family, by its name and first bytes; OSError where storage refuses."""

    def acquired(self, files: Sequence[Path]) -> str | None:
        """When it was taken, UTC, ISO 8601 with Z; None where nothing tells it. Files: main, companions."""

    def read(self, ref: SceneRef, settings: ArchiveSettings) -> Scene:
        """Kelvin on a grid; UnusableInputError where that cannot be, SkippedSceneError where all is fill."""


READERS: Mapping[str, Reader] = {
    "landsat_l2": LANDSAT_L2,
    "landsat_l1": landsat_l1,
    "ecostress": ECOSTRESS,
    "modis": MODIS,
    "goes_abi": goes_abi,
    "slstr": slstr,
    "ghrsst": ghrsst,
    "npz": npz,
    "netcdf": netcdf,
    "geotiff": geotiff,
}

# What else belongs to a scene: from its file's name and the names of the files beside it to one of them.
COMPANIONS: Mapping[str, Callable[[str, Collection[str]], str | None]] = {
    "landsat_l2": mtl_beside,
    "landsat_l1": mtl_beside,
}

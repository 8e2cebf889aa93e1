"""Ways out of an HDF5 file, found before anything follows them.

A NetCDF-4 file is HDF5, and HDF5 may keep a variable's numbers in any other file of the
machine: by an external link, by external storage, by a virtual dataset. The NetCDF
library follows all three without asking, so a file that has one is refused.
"""

from __future__ import annotations

from pathlib import Path

import h5py

from pipeline.errors import UnusableInputError
from pipeline.text import shortened

_MOST_OBJECTS = 20_000
_DEEPEST = 16  # a group inside itself makes the NetCDF library abort the whole process
_LONGEST_NAME = 256  # NC_MAX_NAME


def refuse_ways_out(path: Path) -> None:
    """Looks at every link and dataset of an HDF5 file, and follows none out of it.

    Raises:
        UnusableInputError: If one leads to another file, or there are too many to look at.
        OSError, RuntimeError, KeyError, ValueError, TypeError: If the file is damaged, as h5py says it.
    """
    with h5py.File(path.absolute(), "r") as file:
        groups: list[tuple[h5py.Group, int]] = [(file, 0)]
        seen = {h5py.h5o.get_info(file.id).addr}
        while groups:
            group, depth = groups.pop()
            for name in group:
                _check_link(group, name)
                if isinstance(group.get(name, getlink=True), h5py.SoftLink):
                    continue  # its target is inside, and is looked at under its own name
                found = group[name]
                address = h5py.h5o.get_info(found.id).addr
                if address in seen and isinstance(found, h5py.Dataset):
                    continue
                if address in seen or depth >= _DEEPEST or len(name) > _LONGEST_NAME:
                    raise UnusableInputError(
                        f"group {shortened(name, 40)} is nested in itself or without end"
                    )
                seen.add(address)
                if len(seen) > _MOST_OBJECTS:
                    raise UnusableInputError(f"has more than {_MOST_OBJECTS} groups and variables")
                if isinstance(found, h5py.Group):
                    groups.append((found, depth + 1))
                elif isinstance(found, h5py.Dataset):
                    _check_dataset(found, name)


def _check_link(group: h5py.Group, name: str) -> None:
    if not isinstance(group.get(name, getlink=True), h5py.HardLink | h5py.SoftLink):
        raise UnusableInputError(f"{shortened(name, 40)} is a link to another file: not followed")


def _check_dataset(dataset: h5py.Dataset, name: str) -> None:
    if dataset.is_virtual or dataset.id.get_create_plist().get_external_count() > 0:
        raise UnusableInputError(f"{shortened(name, 40)} keeps its numbers in another file: not followed")

"""Every file below a folder that could be a scene, and why some are not looked at.

Links stay inside the folder; hidden files and our own products are passed over.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.archive.names import MTL_SUFFIX, looks_like_input, partial
from pipeline.errors import UnreadableInputError
from pipeline.text import shortened

LINKED_FOLDER = "a link to a folder is not followed; name that folder as the archive, or mount it here"


@dataclass(frozen=True)
class FoundFile:
    """A file of the walk: its path, size, last change, and the names in its folder."""

    path: Path
    size: int
    mtime_ns: int
    siblings: frozenset[str]


def walk(root: Path, waiting: list[tuple[str, str]], no_scenes: Counter[str]) -> Iterator[FoundFile]:
    """Every file that could be input.

    Args:
        root: A folder, or one file.
        waiting: Takes path and reason of what cannot be looked at now.
        no_scenes: Counts other files by the ending of their names.

    Raises:
        UnreadableInputError: If the root cannot be listed.
    """
    root = root.absolute()
    if root.is_file():
        stat = root.stat()
        names = frozenset(path.name for path in root.parent.iterdir())
        yield FoundFile(root, stat.st_size, stat.st_mtime_ns, names)
        return
    inside = root.resolve(strict=True)
    folders = [root]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(folder) as listing:
                entries = [entry for entry in listing if not entry.name.startswith(".")]
        except OSError as error:
            if folder == root:
                raise UnreadableInputError(f"archive {root} cannot be listed: {error.strerror}") from error
            waiting.append((str(folder), f"cannot be listed: {shortened(error.strerror or error)}"))
            continue
        names = frozenset(entry.name for entry in entries)
        if "MANIFEST.json" in names and any(name.endswith(".zarr") for name in names):
            continue  # one of our own products
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                folders.append(Path(entry.path))
            elif _links_to_folder(entry):
                waiting.append((entry.path, LINKED_FOLDER))
            elif looks_like_input(entry.name) or partial(entry.name):
                yield from _file(entry, inside, names, waiting)
            elif not entry.name.endswith(MTL_SUFFIX):
                no_scenes[shortened(Path(entry.name).suffix.lower(), 12) or "no ending"] += 1


def _links_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_symlink() and entry.is_dir()
    except OSError:  # a loop of links; one that is named like a scene is reported as a file
        return False


def _file(
    entry: os.DirEntry[str], inside: Path, siblings: frozenset[str], waiting: list[tuple[str, str]]
) -> Iterator[FoundFile]:
    try:
        if entry.is_symlink() and not Path(entry.path).resolve(strict=True).is_relative_to(inside):
            waiting.append((entry.path, "a link that leads out of the archive is not followed"))
            return
        if not entry.is_file():
            waiting.append((entry.path, "is no regular file"))
            return
        stat = entry.stat()
    except (OSError, RuntimeError) as error:  # a loop of links, or gone in the meantime
        reason = getattr(error, "strerror", None) or error
        waiting.append((entry.path, f"cannot be followed: {shortened(reason)}"))
        return
    yield FoundFile(Path(entry.path), stat.st_size, stat.st_mtime_ns, siblings)

"""Every scene below a folder, named by its content.

A file is taken when it has been left alone for a while, once per content whatever its
name, and never through a link that leads out of the folder. Every file whose name is that
of a scene is in exactly one list, with the reason where it is not taken; hidden files, other
formats and our own products are not looked at.
"""

from __future__ import annotations

import logging
import stat
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

from pipeline.archive.apart import acquired_apart
from pipeline.archive.formats.geotiff import what_instead
from pipeline.archive.formats.netcdf import is_hdf4
from pipeline.archive.masks import masks_beside
from pipeline.archive.names import (
    companion_layer,
    ecostress_edition,
    partial,
    scene_id,
)
from pipeline.archive.product_rules import check_rules, product_rule
from pipeline.archive.readers import COMPANIONS, READERS
from pipeline.archive.walk import FoundFile, walk
from pipeline.errors import SettingsError
from pipeline.files import digest_of
from pipeline.scene import SceneRef
from pipeline.settings import ArchiveSettings
from pipeline.text import shortened

RESTING = "archive.settle_s"  # stands in the reason of each file that is too young
log = logging.getLogger(__name__)

Known: TypeAlias = Mapping[str, "tuple[int, int, str, str | None, str]"]
NO_READER = "none"
LONGEST_PATH = 4096  # characters


@dataclass(frozen=True)
class Discovery:
    """What a walk through the archive found, each list in the order of paths.

    Attributes:
        scenes: To be read, each content once.
        refused: Files that look like input and cannot be scenes, with the reason.
        waiting: Path, without unprintable characters, and reason of files left for a later run.
        duplicates: Path, and the path that stands for it: the first with the same content.
        left_out: Path and reason of files that are not wanted: outside `archive.since` and `until`, larger
            than `archive.max_file_gb`, or an older edition of an ECOSTRESS tile.
        known: Path to (bytes, latest change in ns, digest, time of acquisition), to be handed to the next
            `discover`; the time is "" where nothing tells it, and None where nobody looked.
        no_scenes: How many files are there by the ending of their names, which is none of a scene's; hidden
            files, companions of scenes and our own products are not among them.
    """

    scenes: list[SceneRef] = field(default_factory=list)
    refused: list[tuple[SceneRef, str]] = field(default_factory=list)
    waiting: list[tuple[str, str]] = field(default_factory=list)
    duplicates: list[tuple[str, str]] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    no_scenes: Counter[str] = field(default_factory=Counter)
    known: dict[str, tuple[int, int, str, str | None, str]] = field(default_factory=dict)


def discover(
    settings: ArchiveSettings,
    known: Known = MappingProxyType({}),
) -> Discovery:
    """Names every scene of the archive.

    Args:
        settings: `root` is a folder, or one file, which is taken however young it is.
        known: `Discovery.known` of an earlier run: unchanged files are not read again.

    Raises:
        SettingsError: If the root does not exist or a rule names an unknown sensor.
        UnreadableInputError: If the root cannot be listed.
    """
    check_rules(settings)
    if not settings.root.exists():
        raise SettingsError(f"archive.root {shortened(settings.root)} does not exist")
    found = Discovery()
    candidates = []
    for file in walk(settings.root, found.waiting, found.no_scenes):
        if (reason := _unspeakable(file.path)) or (reason := _unsettled(file, settings)):
            found.waiting.append((str(file.path), reason))
        elif partial(file.path.name):
            found.waiting.append((str(file.path), "its name says that it is still being written"))
        elif file.size > settings.max_file_gb * 1e9:
            words = f"has {file.size / 1e9:.1f} GB, archive.max_file_gb allows {settings.max_file_gb:g}"
            found.left_out.append((str(file.path), words))
        else:
            candidates.append(file)
    candidates.sort(key=lambda file: str(file.path))
    first: dict[str, str] = {}
    for file in _newest_editions(candidates, found):
        try:
            _take(file, settings, known, found, first)
        except OSError as error:
            found.waiting.append(
                (str(file.path), f"cannot be read now: {shortened(error.strerror or error)}")
            )
    found.waiting[:] = sorted(
        (path if path.isprintable() else shortened(path, LONGEST_PATH), reason)
        for path, reason in found.waiting
    )
    found.duplicates.sort()
    found.left_out.sort()
    log.debug("%s: %d scenes, %d refused", settings.root, len(found.scenes), len(found.refused))
    return found


def _take(
    file: FoundFile,
    settings: ArchiveSettings,
    known: Known,
    found: Discovery,
    first: dict[str, str],
) -> None:
    """Adds one file to the discovery as a scene, a refusal, a duplicate or one to wait for."""
    path = file.path
    reader, reason = _reader(file, settings, known)
    files = [path]
    if reader in COMPANIONS and (beside := COMPANIONS[reader](path.name, file.siblings)):
        files.append(path.with_name(beside))
    if path.suffix.lower().startswith(".tif"):
        masks = masks_beside(path.name, file.siblings, product_rule(path, settings))
        files += [path.with_name(mask.name) for mask in masks]
    digest = _digest(files, file, known, settings, found, reader)
    if digest is None:
        return
    ref = SceneRef(scene_id(path.stem, digest), reader, tuple(str(part) for part in files), digest)
    same = ref.scene_id if reason else digest  # why a file is refused may lie in its name
    if same in first:
        found.duplicates.append((str(path), first[same]))
        return
    first[same] = str(path)
    if reason:
        found.refused.append((ref, reason))
        return
    ref = replace(ref, acquired=_acquired(ref, settings, found))
    if outside := _outside_period(ref.acquired, settings):
        found.left_out.append((str(path), outside))
    else:
        found.scenes.append(ref)


def _reader(file: FoundFile, settings: ArchiveSettings, known: Known) -> tuple[str, str]:
    """Key of the reader that claims a file, or "none" and why none does.

    A person's rule for a layer that is usually no temperature is believed. A file that has not changed is not
    opened again.
    """
    path = file.path
    layer = companion_layer(path.stem)
    if layer is not None and product_rule(path, settings) is None:
        return NO_READER, f"is no temperature: it holds the layer {shortened(layer, 40)} of its product"
    remembered = known.get(str(path))
    if remembered is not None and remembered[:2] == (file.size, file.mtime_ns) and remembered[4] in READERS:
        return remembered[4], ""
    for key, reader in READERS.items():
        if reader.claims(path):
            return key, ""
    if is_hdf4(path):
        return NO_READER, "is HDF4, which is not read here; convert it to GeoTIFF or NetCDF first"
    kind = {".tif": "GeoTIFF", ".tiff": "GeoTIFF", ".gtiff": "GeoTIFF", ".npz": ".npz"}.get(
        path.suffix.lower()
    )
    return NO_READER, f"is no {kind or 'NetCDF'}: {what_instead(path)}"


def _digest(
    files: Sequence[Path],
    file: FoundFile,
    known: Known,
    settings: ArchiveSettings,
    found: Discovery,
    reader: str,
) -> str | None:
    """Digest of a scene's files, from `known` where nothing changed; None where it has to wait."""
    size, mtime_ns = file.size, file.mtime_ns
    for companion in files[1:]:
        beside = companion.stat()
        if not stat.S_ISREG(beside.st_mode) or beside.st_size > settings.max_file_gb * 1e9:
            words = "is no regular file, or larger than archive.max_file_gb"
            found.waiting.append((str(file.path), f"{shortened(companion.name)} {words}"))
            return None
        size, mtime_ns = size + beside.st_size, max(mtime_ns, beside.st_mtime_ns)
        if reason := _unsettled(replace(file, path=companion, mtime_ns=beside.st_mtime_ns), settings):
            found.waiting.append((str(file.path), f"{shortened(companion.name)}: {reason}"))
            return None
    remembered = known.get(str(file.path))
    acquired = None
    if remembered is not None and remembered[:2] == (size, mtime_ns):
        digest, acquired = remembered[2:4]
    else:
        digest = digest_of(files)
        after = file.path.stat()
        if (after.st_size, after.st_mtime_ns) != (file.size, file.mtime_ns):
            found.waiting.append((str(file.path), "changed while it was being read"))
            return None
    found.known[str(file.path)] = (size, mtime_ns, digest, acquired, reader)
    return digest


def _acquired(ref: SceneRef, settings: ArchiveSettings, found: Discovery) -> str | None:
    """When the scene was taken; nobody looks twice into a file that does not change."""
    size, mtime_ns, digest, acquired, reader = found.known[ref.files[0]]
    if acquired is None:
        acquired = acquired_apart(ref, settings) or ""
        found.known[ref.files[0]] = size, mtime_ns, digest, acquired, reader
    return acquired or None


def _outside_period(acquired: str | None, settings: ArchiveSettings) -> str:
    """Why the day of acquisition lies outside since and until, or ""; what has no date never does."""
    if acquired is None:
        return ""
    day = acquired[:10]
    if settings.since is not None and day < settings.since:
        return f"acquired {day}, before archive.since {settings.since}"
    if settings.until is not None and day > settings.until:
        return f"acquired {day}, after archive.until {settings.until}"
    return ""


def _newest_editions(files: Sequence[FoundFile], found: Discovery) -> list[FoundFile]:
    """The files without older builds and iterations of the same ECOSTRESS tile."""
    newest: dict[str, tuple[tuple[int, int], FoundFile]] = {}
    for file in files:
        edition = ecostress_edition(file.path.stem)
        if edition is not None and (edition[0] not in newest or edition[1] > newest[edition[0]][0]):
            newest[edition[0]] = (edition[1], file)
    kept = []
    for file in files:
        edition = ecostress_edition(file.path.stem)
        if edition is None or newest[edition[0]][0] == edition[1]:
            kept.append(file)
        else:
            newer = newest[edition[0]][1].path.name
            found.left_out.append((str(file.path), f"an older edition of {shortened(newer)}"))
    return kept


def _unspeakable(path: Path) -> str:
    """Why no record, report or database could hold a path, or "": Linux takes any bytes for a name."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return "its name or its folder's is not UTF-8; rename it"
    return ""


def _unsettled(file: FoundFile, settings: ArchiveSettings) -> str:
    """Why a file is still too young, or "".

    A change in the future (another machine's clock) counts like one in the past: a file waits until the two
    clocks are `settle_s` apart either way, so a skewed clock delays it by at most twice that, never forever.
    """
    if settings.root.is_file():
        return ""
    age_s = abs(time.time() - file.mtime_ns / 1e9)
    if age_s >= settings.settle_s:
        return ""
    return f"changed {age_s:.0f} s ago, {settings.settle_s:g} s of rest are wanted ({RESTING})"

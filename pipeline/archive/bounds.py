"""How much memory a file may take, asked before anything of it is decoded.

A few kilobytes can declare pixels, chunks or coordinates of many gigabytes. What a file of this
size may reasonably hold is allowed, and never more than `archive.read_memory_gb`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import UnusableInputError
from pipeline.settings import ArchiveSettings

SMALL_FILE_BYTES, BYTES_PER_BYTE = 1_800_000_000, 200  # a small file may take that, and more for each byte
_WORK_BYTES = 12  # kelvin and masks of a pixel, beside the number as it is stored
_EMPTINESS = 2000  # a larger picture than this many times its file is a bomb or holds nothing
_SMALL_BYTES = 64 << 20


def allowed_bytes(file_bytes: int, settings: ArchiveSettings) -> int:
    """Memory that reading a scene of so many bytes may take."""
    return min(SMALL_FILE_BYTES + BYTES_PER_BYTE * file_bytes, int(settings.read_memory_gb * 1e9))


def refuse_bomb(
    what: str,
    shape: Sequence[int],
    item_bytes: int,
    path: Path,
    settings: ArchiveSettings,
    *,
    chunk_bytes: int = 0,
) -> None:
    """Refuse what a file declares to be far larger than it can hold, before anything is decoded.

    Args:
        what: Begins the message: "its band 1", "LST".
        shape: Of the numbers that would be decoded.
        item_bytes: Of one stored number.
        path: The file.
        settings: Of the archive.
        chunk_bytes: Of the largest piece that is decoded at a time.

    Raises:
        UnusableInputError: If it is far more than the file can hold, or more than may be taken.
    """
    file_bytes, count = path.stat().st_size, math.prod(shape)
    size, sides = count * item_bytes, " x ".join(str(side) for side in shape)
    if size > _SMALL_BYTES and size > _EMPTINESS * file_bytes:
        raise UnusableInputError(
            f"{what} declares {sides} pixels in {file_bytes} bytes: an empty picture or a bomb"
        )
    needed, allowed = (
        count * (item_bytes + _WORK_BYTES) + 2 * chunk_bytes,
        allowed_bytes(file_bytes, settings),
    )
    if needed > allowed:
        chunks = f" in chunks of {chunk_bytes / 1e9:.2g} GB" if 2 * chunk_bytes > needed / 2 else ""
        raise UnusableInputError(
            f"{what} ({sides}{chunks}) would take {needed / 1e9:.2g} GB of memory; archive.read_memory_gb "
            f"{settings.read_memory_gb:g} allows {allowed / 1e9:.2g} GB for a file of {file_bytes} bytes"
        )

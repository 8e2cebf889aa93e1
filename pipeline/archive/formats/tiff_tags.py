"""Whether a TIFF's own list of tags lies within its file.

The library leaves out a tag whose numbers lie behind the end of a file that was cut short, and says
nothing: the pixels are whole and their place on the Earth is gone.
"""

from __future__ import annotations

import struct
from pathlib import Path

from pipeline.errors import UnusableInputError
from pipeline.files import open_regular

_SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
_MOST_TAGS = 4096


def refuse_cut_short(path: Path) -> None:
    """Raises UnusableInputError where a tag of the first picture points behind the end of the file."""
    size = path.stat().st_size
    with open_regular(path) as file:
        head = file.read(16)
        order = "<" if head[:2] == b"II" else ">"
        big = len(head) == 16 and struct.unpack(f"{order}H", head[2:4])[0] == 43
        if len(head) < 16:
            raise UnusableInputError("is cut short: it has no tags")
        (start,) = struct.unpack(f"{order}{'Q' if big else 'I'}", head[8:16] if big else head[4:8])
        file.seek(min(start, size))
        counted = file.read(8 if big else 2)
        count = int.from_bytes(counted, "little" if order == "<" else "big")
        width, inline, form = (20, 8, "HHQQ") if big else (12, 4, "HHII")
        tags = file.read(width * min(count, _MOST_TAGS))
    if len(tags) < width * count or not count:
        raise UnusableInputError("is cut short or damaged: its list of tags is not whole")
    for _, kind, number, place in struct.iter_unpack(f"{order}{form}", tags):
        length = _SIZES.get(kind, 1) * number
        if length > inline and place + length > size:
            raise UnusableInputError(
                f"is cut short: a tag ends at byte {place + length}, the file has {size}"
            )

"""How long a classic NetCDF file must be: the library pads one that was cut short, and says nothing.

Source: the file format specifications of NetCDF classic, 64-bit offset and 64-bit data (CDF-1, 2, 5).
"""

from __future__ import annotations

import io
import struct
from pathlib import Path

from pipeline.errors import UnusableInputError
from pipeline.files import first_bytes

_LARGEST_HEADER = 16 << 20
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}  # bytes of a type's number


def refuse_cut_short(path: Path) -> None:
    """Raises UnusableInputError where a classic file ends before the numbers that its header declares."""
    header = io.BytesIO(first_bytes(path, _LARGEST_HEADER))
    version = header.read(4)[3]
    try:
        end = _end(header, version)
    except (struct.error, KeyError, IndexError, OverflowError) as error:
        raise UnusableInputError("is damaged NetCDF: its header makes no sense") from error
    size = path.stat().st_size
    if size < end:
        raise UnusableInputError(f"is cut short: its header declares {end} bytes, the file has {size}")


def _end(header: io.BytesIO, version: int) -> int:
    """First byte after the last number of any variable."""

    def count() -> int:
        return _one(header, ">q" if version == 5 else ">i")

    def skip_name() -> None:
        header.seek(-(-count() // 4) * 4, io.SEEK_CUR)

    def skip_attributes() -> None:
        header.seek(4, io.SEEK_CUR)
        for _ in range(count()):
            skip_name()
            size = _SIZES[_one(header, ">i")] * count()
            header.seek(-(-size // 4) * 4, io.SEEK_CUR)

    records = count()
    header.seek(4, io.SEEK_CUR)
    lengths = []
    for _ in range(count()):
        skip_name()
        lengths.append(count())
    skip_attributes()
    header.seek(4, io.SEEK_CUR)
    ends, strides = [0], []
    for _ in range(count()):
        skip_name()
        sides = [lengths[count()] for _ in range(count())]
        skip_attributes()
        item = _SIZES[_one(header, ">i")]
        count()  # its size, which overflows in large variables
        begin = _one(header, ">i" if version == 1 else ">q")
        size = item
        for side in sides:
            size *= side or 1
        if sides and sides[0] == 0:
            strides.append((begin, size))
        else:
            ends.append(begin + size)
    stride = strides[0][1] if len(strides) == 1 else sum(-(-size // 4) * 4 for _, size in strides)
    if records > 0:
        ends += [begin + (records - 1) * stride + size for begin, size in strides]
    return max(ends)


def _one(header: io.BytesIO, form: str) -> int:
    return int(struct.unpack(form, header.read(struct.calcsize(form)))[0])

"""A zip archive of .npy members, checked before anything of it is used.

Numbers in the directory (sizes, counts) are checked before anything is unpacked, and
each member's header is parsed with a bound before its numbers are read. Nothing here
can unpickle.
"""

from __future__ import annotations

import errno
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from jaxtyping import Shaped
from numpy.typing import NDArray

from pipeline.archive.bounds import allowed_bytes
from pipeline.errors import UnusableInputError
from pipeline.files import first_bytes, open_regular
from pipeline.settings import ArchiveSettings
from pipeline.text import shortened

MOST_MEMBERS = 64
LARGEST_RATIO = 200
LARGEST_HEADER = 64 << 10
_SMALL_BYTES = 16 << 20  # below this a constant scene may compress as well as it likes
_TAIL = 65_557  # the end record and the longest comment
_SCALAR_BYTES = 1 << 20
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, struct.error, RuntimeError)
_ADVICE = "; write each picture of a stack into a file of its own"


def is_zip(path: Path) -> bool:
    """Whether the file begins like a zip archive with members."""
    return first_bytes(path, 4) == b"PK\x03\x04"


class Members:
    """The members of an .npz by plain key, read one at a time."""

    def __init__(self, archive: zipfile.ZipFile, settings: ArchiveSettings) -> None:
        self._archive = archive
        self._max_pixels = settings.max_pixels
        self.names = tuple(info.filename.removesuffix(".npy") for info in archive.infolist())

    def picture(self, name: str, kinds: str = "iuf") -> Shaped[NDArray[Any], "y x"]:
        """A 2-D member of real numbers, in the machine's byte order; UnusableInputError where it is none."""
        values = self._read(name, self._max_pixels, kinds)
        if values.ndim == 3 and values.shape[0] == 1:
            values = values[0]
        if values.ndim != 2 or min(values.shape) < 2:
            raise UnusableInputError(
                f"{shortened(name, 40)} has shape {values.shape}: one picture (y, x) is wanted, 2 x 2 or more"
                f"{_ADVICE if values.ndim > 2 else ''}"
            )
        return values

    def coordinate(self, name: str) -> Shaped[NDArray[Any], ...]:
        """A 1-D or 2-D member of real numbers; UnusableInputError where it is none."""
        return self._read(name, self._max_pixels, "iuf")

    def small(self, name: str) -> Any:
        """A member of at most 1 MiB that is no object, or None."""
        if name not in self.names or self._archive.getinfo(f"{name}.npy").file_size > _SCALAR_BYTES:
            return None
        return self._read(name, _SCALAR_BYTES, "buifUSM")

    def shape(self, name: str) -> tuple[int, ...]:
        """What a member declares."""
        with self._archive.open(f"{name}.npy") as member:
            return _header(member, name)[0]

    def _read(self, name: str, most: int, kinds: str) -> NDArray[Any]:
        info = self._archive.getinfo(f"{name}.npy")
        with self._archive.open(info) as member:
            shape, dtype, header = _header(member, name)
            if dtype.hasobject:
                raise UnusableInputError(
                    f"{shortened(name, 40)} holds pickled objects, which are never unpacked; "
                    "save plain numbers"
                )
            if dtype.kind not in kinds or dtype.names is not None:
                raise UnusableInputError(
                    f"{shortened(name, 40)} holds {shortened(dtype, 40)}, real numbers are wanted"
                )
            count = 1
            for size in shape:
                count *= size
            if count > most:
                raise UnusableInputError(f"{shortened(name, 40)} has {count} elements, {most} are allowed")
            if header + count * dtype.itemsize != info.file_size:
                raise UnusableInputError(
                    f"{shortened(name, 40)} declares shape {shortened(shape, 60)}, "
                    "which is not what the file holds"
                )
        with self._archive.open(info) as member:
            values = np.lib.format.read_array(member, allow_pickle=False, max_header_size=LARGEST_HEADER)
        return np.asarray(values.astype(values.dtype.newbyteorder("="), copy=False))


@contextmanager
def open_npz(path: Path, settings: ArchiveSettings) -> Iterator[Members]:
    """The members of an .npz whose directory holds nothing strange.

    Raises:
        UnusableInputError: If it is no plain archive of arrays, or damaged, also while it is being read.
        OSError: If storage refuses.
    """
    _check_end_record(path)
    try:
        with zipfile.ZipFile(path) as archive:
            _check_directory(archive, settings)
            yield Members(archive, settings)
    except UnusableInputError:
        raise
    except _DAMAGE as error:
        raise UnusableInputError(f"is a damaged .npz ({shortened(error, 80)})") from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # a seek to a place that the directory states wrongly
            raise
        raise UnusableInputError("is a damaged .npz: its directory points nowhere") from error
    except (ValueError, TypeError, KeyError, OverflowError, SyntaxError, MemoryError, TokenError) as error:
        raise UnusableInputError(f"is no plain .npz ({shortened(error, 80)})") from error


def _check_end_record(path: Path) -> None:
    """The end record's counts, before the zip library builds a list from them."""
    size = path.stat().st_size
    with open_regular(path) as file:
        file.seek(max(0, size - _TAIL))
        tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        raise UnusableInputError("is no complete .npz: its directory is missing (cut short?)")
    _, _, _, count, directory_size, _, _ = struct.unpack("<4H2LH", tail[at + 4 : at + 22])
    if count > MOST_MEMBERS or directory_size > 1 << 20:
        raise UnusableInputError(f"has {count} members, {MOST_MEMBERS} are allowed")


def _check_directory(archive: zipfile.ZipFile, settings: ArchiveSettings) -> None:
    infos = archive.infolist()
    names = [info.filename for info in infos]
    if len(infos) > MOST_MEMBERS or len(set(names)) != len(names):
        raise UnusableInputError(f"has {len(infos)} members, {MOST_MEMBERS} different ones are allowed")
    for info in infos:
        plain = info.filename.removesuffix(".npy")
        if plain == info.filename or not plain.replace("_", "a").isalnum() or not plain.isascii():
            raise UnusableInputError(
                f"has a member {shortened(info.filename, 40)!r}; plain keys (.npy) are wanted"
            )
        if info.flag_bits & 0x1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UnusableInputError(f"member {plain} is encrypted or strangely compressed")
    unpacked, stored = sum(info.file_size for info in infos), sum(info.compress_size for info in infos)
    if unpacked > settings.max_pixels * 8 + (1 << 20):
        raise UnusableInputError(
            f"unpacks to {unpacked} bytes; archive.max_pixels allows {settings.max_pixels} pixels"
        )
    allowed = allowed_bytes(stored, settings)
    if 3 * unpacked > allowed:
        raise UnusableInputError(
            f"unpacks to {unpacked} bytes; archive.read_memory_gb {settings.read_memory_gb:g} allows "
            f"{allowed / 1e9:.2g} GB for {stored} bytes"
        )
    if unpacked > _SMALL_BYTES and unpacked > LARGEST_RATIO * stored:
        raise UnusableInputError(f"unpacks to {unpacked} bytes from {stored}: an empty picture or a bomb")


def _header(member: Any, name: str) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Shape, type and length of a member's header."""
    start = member.read(12)
    if start[:6] != b"\x93NUMPY" or len(start) < 12:
        raise UnusableInputError(f"member {shortened(name, 40)} is no .npy array")
    wide = start[6] >= 2
    length = struct.unpack("<L", start[8:12])[0] if wide else struct.unpack("<H", start[8:10])[0]
    if start[6] not in (1, 2) or length > LARGEST_HEADER:
        raise UnusableInputError(
            f"member {shortened(name, 40)} has a header of {length} bytes, version {start[6]}"
        )
    rest = _Ahead(start[8:], member)
    read = np.lib.format.read_array_header_2_0 if wide else np.lib.format.read_array_header_1_0
    shape, _, dtype = read(rest, max_header_size=LARGEST_HEADER)
    return shape, dtype, (12 if wide else 10) + length


class _Ahead:
    """A stream with a few bytes put back."""

    def __init__(self, start: bytes, stream: Any) -> None:
        self._start, self._stream = start, stream

    def read(self, size: int = 0, /) -> bytes:
        head, self._start = self._start[:size], self._start[size:]
        return head + (self._stream.read(size - len(head)) if size > len(head) else b"")

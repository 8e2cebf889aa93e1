"""Files on the disk: their digest, and how a small one is written so that no reader finds half of it."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import stat
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.text import plain_json


def open_regular(path: Path) -> io.FileIO:
    """A file's bytes, unbuffered; nothing else is opened, since a pipe or a device may never end.

    Raises:
        OSError: Storage refuses, or it is a pipe, a device or a folder.
    """
    _refuse_other(path.stat())
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _refuse_other(os.fstat(descriptor))
        return io.FileIO(descriptor, "rb")
    except OSError:
        os.close(descriptor)
        raise


def _refuse_other(found: os.stat_result) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "is no regular file")


def first_bytes(path: Path, count: int) -> bytes:
    """How a regular file begins; OSError as `open_regular`."""
    with open_regular(path) as file:
        return file.read(count)


def read_small(path: Path, most_bytes: int = 256 << 20) -> bytes:
    """All of a regular file of ours; OSError as `open_regular`, and where it is larger than any of ours."""
    with open_regular(path) as file:
        content = bytearray()
        while more := file.read(1 << 20):
            content += more
            if len(content) > most_bytes:
                raise OSError(errno.EFBIG, f"is larger than {most_bytes >> 20} MiB")
    return bytes(content)


def digest_of(files: Iterable[Path]) -> str:
    """sha256 over the contents of the files, one after the other, hex; OSError where storage refuses."""
    digest = hashlib.sha256()
    for path in files:
        for block in _blocks(path):
            digest.update(block)
    return digest.hexdigest()


def digests_of(files: Iterable[Path]) -> tuple[str, list[str]]:
    """What `digest_of` gives, and each file's own digest, from one reading of every byte."""
    whole, each = hashlib.sha256(), []
    for path in files:
        own = hashlib.sha256()
        for block in _blocks(path):
            whole.update(block)
            own.update(block)
        each.append(own.hexdigest())
    return whole.hexdigest(), each


def _blocks(path: Path) -> Iterator[memoryview]:
    buffer = memoryview(bytearray(1 << 20))
    with open_regular(path) as file:
        while size := file.readinto(buffer):
            yield buffer[:size]


def text_digest(text: str) -> str:
    """sha256 of a text in UTF-8, hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def write_json(path: Path, plain: Mapping[str, Any]) -> Path:
    """Write a small JSON file so that readers see the old one or the new one, also after a power cut.

    Numbers that are not finite become null; keys keep their order.
    """
    text = json.dumps(plain_json(plain), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> Path:
    """Write a small file as `write_json` does; its folder is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    flush(path.parent)
    return path


def flush(path: Path) -> None:
    """Make a file's content, or a folder's entries, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

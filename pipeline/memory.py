"""How much memory a scene took, and how a giant one takes little.

Whole rasters of a giant scene lie in files without a name, in the folder for temporary files (TMPDIR): the
process holds the pages that it works on and hands back the others, which lose nothing. What is counted, and
what a SLURM job must ask for, is the most that the whole process held since it was last asked to forget:
scenes that run side by side in one process share the number.
"""

from __future__ import annotations

import ctypes
import logging
import mmap
import os
import resource
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import WeakSet

import numpy as np
from jaxtyping import Shaped
from numpy.typing import DTypeLike, NDArray

log = logging.getLogger(__name__)

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
FORGET_PEAK = "5"  # man 5 proc: resets the high-water mark of resident memory
LARGE_BYTES = 64 << 20  # an array from here on lies in a file; 4096 x 4096 pixels of float32
_files: WeakSet[mmap.mmap] = WeakSet()  # of arrays in use
_lock = threading.Lock()  # scenes side by side add to the files and look through them


def forget_peak() -> None:
    """Count the peak from now on; outside Linux it stays that of the process since its start."""
    with suppress(OSError):
        _CLEAR.write_text(FORGET_PEAK)


def empty_array(shape: tuple[int, ...], dtype: DTypeLike) -> Shaped[NDArray[Any], "*shape"]:
    """An array whose numbers are not set yet; a large one lies in a file that ends with it.

    Where the folder for temporary files has no room, it lies in memory.
    """
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if size < LARGE_BYTES:
        return np.empty(shape, dtype)
    try:
        with tempfile.TemporaryFile() as file:
            file.truncate(size)
            if hasattr(os, "posix_fallocate"):  # else a full disk would end the process later, without a word
                os.posix_fallocate(file.fileno(), 0, size)
            pages = mmap.mmap(file.fileno(), size)
    except OSError as error:
        log.warning("%d MB for pixels lie in memory, not in %s: %s", size >> 20, tempfile.gettempdir(), error)
        return np.empty(shape, dtype)
    with _lock:
        _files.add(pages)
    return np.frombuffer(pages, dtype).reshape(shape)


def copied(values: Shaped[NDArray[Any], "*shape"]) -> Shaped[NDArray[Any], "*shape"]:
    """A copy, made by `empty_array`."""
    copy = empty_array(values.shape, values.dtype)
    copy[...] = values
    return copy


def give_back_pages() -> None:
    """Let go of the pages of arrays in files; they are read again where they are needed."""
    with _lock:
        files = list(_files)
    for pages in files:
        with suppress(OSError, AttributeError):  # where a system knows no such advice
            pages.madvise(mmap.MADV_DONTNEED)


def give_back() -> None:
    """Hand the system all that was freed, and the pages of arrays in files.

    glibc keeps what was freed between pieces that are in use.
    """
    give_back_pages()
    with suppress(OSError, AttributeError):  # only glibc has it
        ctypes.CDLL(None).malloc_trim(0)


def peak_mib() -> int:
    """Most resident memory since `forget_peak`, MiB."""
    with suppress(OSError):
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) // 1024
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest // (1024 * 1024 if sys.platform == "darwin" else 1024)


def total_bytes() -> int:
    """Memory of the machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

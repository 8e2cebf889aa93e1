"""How much memory a scene took: what a SLURM job must ask for.

It is the most that the whole process held since it was last asked to forget: scenes that run
side by side in one process share the number.
"""

from __future__ import annotations

import os
import resource
import sys
from contextlib import suppress
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
FORGET_PEAK = "5"  # man 5 proc: resets the high-water mark of resident memory


def forget_peak() -> None:
    """Count the peak from now on; outside Linux it stays that of the process since its start."""
    with suppress(OSError):
        _CLEAR.write_text(FORGET_PEAK)


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

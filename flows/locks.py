"""A lock that its holder loses when it ends, however it ends: a file that the kernel guards."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from flows.stopping import STOP
from pipeline.errors import SettingsError


@contextlib.contextmanager
def locked(path: Path, *, patience_s: float = 0.0, end_holder: bool = False) -> Iterator[None]:
    """Inside, nobody else holds the lock.

    Args:
        path: Its file, which holds the process id of the holder.
        patience_s: How long to wait for the holder.
        end_holder: Tell the holder to end, and end it where it still holds the lock after that time.

    Raises:
        SettingsError: Another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _taken(descriptor, patience_s, signal.SIGTERM if end_holder else None) and not (
            end_holder and _taken(descriptor, 5.0, signal.SIGKILL)
        ):
            raise SettingsError(
                f"{path}: held by process {_holder(descriptor)}, which serves this archive already"
            )
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _taken(descriptor: int, patience_s: float, tell: signal.Signals | None) -> bool:
    """Whether the lock could be taken within that time; its holder may be told a signal first."""
    for turn in range(int(patience_s / 0.5) + 1):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if turn == 0 and tell is not None and (holder := _holder(descriptor)):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(holder, tell)
            STOP.get().sleep(0.5)
        else:
            return True
    return False


def _holder(descriptor: int) -> int:
    text = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
    return int(text) if text.isdecimal() else 0

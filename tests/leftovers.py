"""What a test file started or changed and did not end: threads, processes, sockets, environment variables."""

from __future__ import annotations

import os
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil

MARK = "THERMAL_SR_TESTED_BY"  # in the environment of every process that these tests start, daemons too
ENOUGH_S = 20.0  # a process that was told to end may take a while on a busy machine
SET_BY_PYTEST = "PYTEST_"  # pytest says here which test runs
KEPT_BY_DESIGN = {
    "multiprocessing.resource_tracker": "Python's watch over semaphores, one as long as the process lives",
    "TORCHINDUCTOR_CACHE_DIR": "torch tells the processes of its compiler where to write",
    "thread IO loop": "distributed keeps it for its next client",
    "thread Dask-Offload": "and this one for messages that are large",
}


@dataclass
class Present:
    """What is there at one moment."""

    threads: set[threading.Thread] = field(default_factory=set)
    processes: set[psutil.Process] = field(default_factory=set)
    listening: set[tuple[str, int]] = field(default_factory=set)
    environment: set[tuple[str, str]] = field(default_factory=set)

    def __sub__(self, other: Present) -> Present:
        """What is here and not there."""
        return Present(*(getattr(self, name) - getattr(other, name) for name in vars(self)))

    def add(self, other: Present) -> None:
        """Take in what is there."""
        for name, things in vars(self).items():
            things |= getattr(other, name)


KEPT = Present()  # by fixtures of the session


def mark_processes() -> None:
    """Let every process that is started from here on be found again, also when its parent has ended."""
    os.environ[MARK] = uuid.uuid4().hex


@contextmanager
def kept() -> Iterator[None]:
    """What is started inside, and what that starts, may live on until the session's fixtures end."""
    before = present()
    yield
    KEPT.add(present() - before)


@contextmanager
def nothing_left() -> Iterator[None]:
    """Raises AssertionError with the names of what was begun inside and is there still `ENOUGH_S` later."""
    before = present()
    yield
    end_what_is_kept()
    deadline = time.monotonic() + ENOUGH_S
    while left := _names(present() - before - KEPT, before):
        if time.monotonic() > deadline:
            raise AssertionError(f"left behind: {'; '.join(left)}")
        time.sleep(0.05)


def present() -> Present:
    """Threads, processes, listening sockets and environment variables of the tests in this process."""
    mine = psutil.Process().net_connections("tcp")
    return Present(
        set(threading.enumerate()),
        processes(),
        {(of.laddr.ip, of.laddr.port) for of in mine if of.status == psutil.CONN_LISTEN},
        {item for item in os.environ.items() if not item[0].startswith(SET_BY_PYTEST)},
    )


def processes() -> set[psutil.Process]:
    """Living processes that this one started, at any depth, and daemons that broke away from it."""
    found = set(psutil.Process().children(recursive=True))
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == os.environ[MARK] and process.pid != os.getpid():
                found.add(process)
        except psutil.Error:  # gone already, or not ours to look at
            continue
    return {process for process in found if _lives(process)}


def end_what_is_kept() -> None:
    """End the loops, pools and servers that libraries, and ours, keep for their next use, when all is done.

    Prefect's log and event services draw from `random` when they like, and Hypothesis calls that an error of
    the test that then runs. Every library starts new ones when it is used again.
    """
    if (prefect := sys.modules.get("prefect._internal.concurrency.threads")) is not None:
        for loop in list(prefect._active_instances):
            loop.shutdown()
    if (zarr := sys.modules.get("zarr.core.sync")) is not None and zarr.loop[0] is not None:
        zarr.loop[0].call_soon_threadsafe(zarr.loop[0].stop)
        zarr.iothread[0].join()
        zarr.cleanup_resources()
    if (dask := sys.modules.get("dask.threaded")) is not None:
        for pool in [pool for pools in dask.pools.values() for pool in pools.values()]:
            pool.shutdown()
        dask.pools.clear()
        if dask.default_pool is not None:
            dask.default_pool.shutdown()
            dask.default_pool = None
    if (apart := sys.modules.get("pipeline.archive.apart")) is not None:
        apart.end_reading()
    if (forkserver := sys.modules.get("multiprocessing.forkserver")) is not None:
        forkserver._forkserver._stop()


def _names(left: Present, before: Present) -> list[str]:
    set_before = {name for name, _ in before.environment}
    names = (
        [f"thread {thread.name}" for thread in left.threads]
        + [f"process {of.pid} {_command(of)}" for of in left.processes if not _is_of_the_session(of)]
        + [f"listening socket {ip}:{port}" for ip, port in left.listening]
        + [f"environment variable {name}" for name, _ in left.environment]
        + [f"environment variable {name}, unset" for name in set_before - set(os.environ)]
    )
    return sorted(name for name in names if not any(known in name for known in KEPT_BY_DESIGN))


def _is_of_the_session(process: psutil.Process) -> bool:
    try:
        return any(parent in KEPT.processes for parent in process.parents())
    except psutil.Error:  # gone meanwhile
        return True


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())[:200]
    except psutil.Error:
        return "that ended meanwhile"

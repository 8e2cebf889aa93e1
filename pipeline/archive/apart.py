"""Reading strangers' files in a process apart, so that no file can end, stop or fill this one.

A file that makes its reader crash, hang or take too much memory is refused or fails like any other
that cannot be read. The process that reads (`reading_process`) is started at the first file and ends
with this one.
"""

from __future__ import annotations

import atexit
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

import pipeline
from pipeline.archive.messages import LONGEST_HEADER, Answer, Request, Task
from pipeline.archive.names import acquired_in_name
from pipeline.archive.placement import refuse_hostile_crs
from pipeline.errors import EndedReadingError, SkippedSceneError, UnreadableInputError, UnusableInputError
from pipeline.memory import empty_array
from pipeline.offline import NO_NETWORK
from pipeline.scene import Scene, SceneRef
from pipeline.settings import ArchiveSettings
from pipeline.text import shortened

Kelvins: TypeAlias = Float32[NDArray[np.float32], "y x"]
START_S = 300.0  # a busy network disk gives Python its modules slowly
LOOK_S = 30.0  # to look at the head of a file
GRACE_S = 5.0
_KEPT = (
    "PATH",
    "LANG",
    "HOME",
    "TMPDIR",
    "TZ",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "PROJ_DATA",
    "PROJ_LIB",
    "GDAL_DATA",
)
_KEPT_PREFIXES = ("LD_", "DYLD_", "PYTHON", "LC_")


def read_apart(ref: SceneRef, settings: ArchiveSettings) -> Scene:
    """What `read_scene` gives, read in a process of its own.

    Raises:
        EndedReadingError: The process crashed, or did not answer within `archive.read_s`.
        UnusableInputError, SkippedSceneError, UnreadableInputError: As `read_scene`.
    """
    with _reading(ref) as process:
        answer, pixels = process.ask(Request("scene", ref, settings), settings.read_s)
    try:
        if answer.crs_wkt is not None:
            refuse_hostile_crs(answer.crs_wkt)
        return answer.scene(ref, pixels)
    except (ValueError, TypeError) as error:
        raise EndedReadingError(
            f"{_name(ref)}: its reading process answered nonsense ({shortened(error)})"
        ) from error


def acquired_apart(ref: SceneRef, settings: ArchiveSettings) -> str | None:
    """When a scene was taken, UTC, ISO 8601 with Z; opens no file whose name tells the time of day.

    None where nothing tells it, and where the file does not let itself be read: reading the scene says why.
    """
    named = acquired_in_name(Path(ref.files[0]).stem)
    if named is not None and named[1]:
        return named[0]
    answer = _look("time", ref, settings)
    if answer is None:
        return named[0] if named is not None else None
    return answer.acquired


def pixels_apart(ref: SceneRef, settings: ArchiveSettings) -> int:
    """How many pixels a scene has, by the head of its file; 0 where it tells none."""
    answer = _look("pixels", ref, settings)
    return 0 if answer is None else min(max(answer.pixels, 0), settings.max_pixels)


def _look(task: Task, ref: SceneRef, settings: ArchiveSettings) -> Answer | None:
    """What the head of a file tells; None where it does not let itself be read."""
    try:
        with _reading(ref) as process:
            return process.ask(Request(task, ref, settings), min(settings.read_s, LOOK_S))[0]
    except (UnusableInputError, SkippedSceneError):
        return None


class _EndedError(Exception):
    """The process is no more, answered nonsense, or did not answer in time."""


class ReadingProcess:
    """A `reading_process` and the way to ask it; changes itself."""

    def __init__(self) -> None:
        self._ours, theirs = socket.socketpair()
        command = [sys.executable, "-P", "-m", "pipeline.archive.reading_process", str(theirs.fileno())]
        self._process = subprocess.Popen(
            command,
            pass_fds=(theirs.fileno(),),
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        theirs.close()
        self._ready = False

    @property
    def pid(self) -> int:
        """Number of the process, and of its group."""
        return self._process.pid

    def ask(self, request: Request, limit_s: float) -> tuple[Answer, Kelvins]:
        """The answer, and its pixels, (0, 0) where it has none.

        Raises:
            _EndedError: The process that read ended without an answer, or took longer than `limit_s`; the
                message says how.
            UnusableInputError, SkippedSceneError, UnreadableInputError: What the reading ended in.
            OSError: The process does not start.
        """
        if not self._ready:
            self._await_start()
        deadline_s = time.monotonic() + limit_s
        answers, theirs = os.pipe()
        try:
            try:
                said = request.to_bytes()
                socket.send_fds(self._ours, [struct.pack("<Q", len(said))], [theirs])
                self._ours.sendall(said)
            except OSError as error:
                raise _EndedError("was ended from outside") from error
            finally:
                os.close(theirs)
            answer, pixels = self._receive(answers, request.settings, deadline_s)
        except TimeoutError:
            raise _EndedError(f"did not answer within {limit_s:g} s (archive.read_s)") from None
        finally:
            os.close(answers)
        self._status(deadline_s)
        answer.raise_error()
        return answer, pixels

    def end(self) -> None:
        """End the process, and what it may have started, at once."""
        self._ours.close()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):  # a disk that hangs keeps it until the disk answers
            self._process.wait(GRACE_S)

    def _await_start(self) -> None:
        self._ours.settimeout(START_S)
        try:
            started = self._ours.recv(1)
        except TimeoutError:
            started = b""
        if not started:
            raise OSError(f"the process that reads files did not start: {sys.executable}")
        self._ours.settimeout(None)
        self._ready = True

    def _receive(self, answers: int, settings: ArchiveSettings, deadline_s: float) -> tuple[Answer, Kelvins]:
        try:
            head = bytearray(8)
            _fill(answers, memoryview(head), deadline_s)
            (length,) = struct.unpack("<Q", head)
            if length > LONGEST_HEADER:
                raise _EndedError("answered nonsense")
            header = bytearray(length)
            _fill(answers, memoryview(header), deadline_s)
            answer = Answer.from_bytes(header)
            height, width = answer.shape or (0, 0)
            if not (height >= 0 and width >= 0 and height * width <= settings.max_pixels):
                raise _EndedError("answered nonsense")
            pixels = empty_array((height, width), "<f4")
            if pixels.size:
                _fill(answers, pixels.data.cast("B"), deadline_s)
        except EOFError:
            raise _EndedError(self._how(deadline_s)) from None
        except ValueError as error:
            raise _EndedError(f"answered nonsense ({shortened(error)})") from error
        return answer, pixels.astype(np.float32, copy=False)

    def _status(self, deadline_s: float) -> int:
        """How the process of the last request ended, as `os.wait` says it."""
        self._ours.settimeout(max(deadline_s - time.monotonic(), GRACE_S))
        try:
            status = self._ours.recv(4, socket.MSG_WAITALL)
        except OSError:  # also when nothing comes in time
            status = b""
        if len(status) < 4:
            raise _EndedError("was ended from outside")
        self._ours.settimeout(None)
        return int(struct.unpack("<i", status)[0])

    def _how(self, deadline_s: float) -> str:
        status = self._status(deadline_s)
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            return f"was ended by {signal.Signals(number).name}"
        return f"ended with {os.waitstatus_to_exitcode(status)}"


def _fill(descriptor: int, buffer: memoryview, deadline_s: float) -> None:
    """Read until the buffer is full."""
    ready = select.poll()
    ready.register(descriptor, select.POLLIN)
    got = 0
    while got < len(buffer):
        left_s = deadline_s - time.monotonic()
        if left_s <= 0 or not ready.poll(left_s * 1000):
            raise TimeoutError
        count = os.readv(descriptor, [buffer[got:]])
        if count == 0:
            raise EOFError
        got += count


_idle: list[ReadingProcess] = []
_lock = threading.Lock()


@contextmanager
def _reading(ref: SceneRef) -> Iterator[ReadingProcess]:
    """A process that nobody else asks meanwhile; it is kept for the next file while it answers."""
    with _lock:
        process = _idle.pop() if _idle else None
    process = process or ReadingProcess()
    whole = False
    try:
        yield process
        whole = True
    except (UnusableInputError, SkippedSceneError, UnreadableInputError):
        whole = True
        raise
    except _EndedError as error:
        raise EndedReadingError(f"{_name(ref)}: its reading process {error}") from error
    finally:
        if whole:
            with _lock:
                _idle.append(process)
        else:
            process.end()


def begin_reading() -> None:
    """Start a reading process ahead of the first file, so that it imports its readers meanwhile."""
    with _lock:
        if not _idle:
            _idle.append(ReadingProcess())


def end_reading() -> None:
    """End every reading process that waits for work."""
    with _lock:
        while _idle:
            _idle.pop().end()


def _environment() -> dict[str, str]:
    """What a reader needs to know, and no secret: neither a key nor an address."""
    kept = {
        name: value for name, value in os.environ.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)
    }
    here = str(Path(pipeline.__file__).parents[1])
    paths = [here, *filter(None, [kept.get("PYTHONPATH")])]
    threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    return {**kept, **threads, **NO_NETWORK, "PYTHONPATH": os.pathsep.join(paths)}


def _name(ref: SceneRef) -> str:
    return shortened(Path(ref.files[0]).name)


atexit.register(end_reading)
os.register_at_fork(after_in_child=_idle.clear)

"""The process that reads: strangers' files are opened here and nowhere else.

It is started once and opens nothing itself. For every file it forks a process with limits of
time, memory, file size and open files, which reads, answers and ends; a decoder that divides by
zero, hangs or takes all memory ends that process and nothing else. Run as a module, with the
number of the socket on which it is asked.
"""

from __future__ import annotations

import ctypes
import os
import resource
import select
import signal
import socket
import struct
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np

from pipeline.archive.bounds import allowed_bytes
from pipeline.archive.messages import Answer, Request
from pipeline.archive.read import acquired, read_scene
from pipeline.archive.sizes import pixels_in
from pipeline.errors import SettingsError, SkippedSceneError, UnreadableInputError, UnusableInputError
from pipeline.text import shortened

READY = b"R"
MOST_OPEN_FILES = 64
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of linux/prctl.h


def serve(asked: socket.socket) -> None:
    """Answer one request after the other, each in a process of its own, until nobody asks any more."""
    asked.sendall(READY)
    while True:
        head, descriptors, _, _ = socket.recv_fds(asked, 8, 1)
        if len(head) < 8 or not descriptors:
            return
        (length,) = struct.unpack("<Q", head)
        said = b""
        while len(said) < length:
            if not (more := asked.recv(length - len(said))):
                return
            said += more
        status = _in_own_process(asked, said, descriptors[0])
        asked.sendall(struct.pack("<i", status))


def _in_own_process(asked: socket.socket, said: bytes, answers: int) -> int:
    """Read in a fork and write to `answers`, which is closed; how the fork ended, as `os.wait` says it."""
    alive, held = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(alive)
            asked.close()
            _read(said, answers)
            status = 0
        finally:
            os._exit(status)
    os.close(held)
    os.close(answers)
    waiting = select.poll()
    waiting.register(asked, select.POLLIN)
    waiting.register(alive, select.POLLIN)
    if alive not in {descriptor for descriptor, _ in waiting.poll()}:
        os.kill(child, signal.SIGKILL)  # who asked is gone
    os.close(alive)
    return os.waitpid(child, 0)[1]


def _read(said: bytes, answers: int) -> None:
    """What the fork does: limits first, then the file."""
    request = Request.from_bytes(said)
    memory_gb = _limit(request)
    pixels = None
    try:
        if request.task == "time":
            answer = Answer(acquired=acquired(request.ref))
        elif request.task == "pixels":
            answer = Answer(pixels=pixels_in(Path(request.ref.files[0]), request.settings))
        else:
            scene = read_scene(request.ref, request.settings)
            answer, pixels = Answer.of_scene(scene), scene.temperature
    except (UnusableInputError, SkippedSceneError, UnreadableInputError, SettingsError) as error:
        answer = Answer(type(error).__name__, str(error))
    except MemoryError:
        name = shortened(Path(request.ref.files[0]).name)
        answer = Answer(
            UnusableInputError.__name__,
            f"{name}: more than {memory_gb:.1f} GB of memory are wanted to read it: a bomb, or too large for "
            f"archive.read_memory_gb {request.settings.read_memory_gb:g}",
        )
    header = answer.to_bytes()
    with os.fdopen(answers, "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        if pixels is not None:
            file.write(np.ascontiguousarray(pixels, dtype="<f4").data.cast("B"))


def _limit(request: Request) -> float:
    """Bounds on all that the fork may take from the machine; returns the gigabytes of memory."""
    with suppress(OSError, AttributeError):  # only Linux has it; elsewhere who asked ends the group
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    size_bytes = 0
    with suppress(OSError):  # gone meanwhile; who opens it says so
        size_bytes = sum(Path(file).stat().st_size for file in request.ref.files)
    memory_bytes = allowed_bytes(size_bytes, request.settings)
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NOFILE: MOST_OPEN_FILES,
        resource.RLIMIT_CPU: int(request.settings.read_s) + 10,
        resource.RLIMIT_AS: _address_space() + memory_bytes,
    }
    for kind, most in limits.items():
        hard = resource.getrlimit(kind)[1]
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (bound, bound))
    return memory_bytes / 1e9


def _address_space() -> int:
    """Bytes of address space that this process has already."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return 1 << 30
    return pages * resource.getpagesize()


if __name__ == "__main__":
    for unheard in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # who asks decides when this ends
        signal.signal(unheard, signal.SIG_IGN)
    serve(socket.socket(fileno=int(sys.argv[1])))

"""Waiting for what other processes do, and finding them a place to listen."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")
PORTS = range(15_000, 32_000)  # Linux gives clients 32768 and up
_MARKS: list[socket.socket] = []


def wait_for(condition: Callable[[], Answer], *, within_s: float, what: str, every_s: float = 0.5) -> Answer:
    """The condition's first true value; `TimeoutError` names what was waited for."""
    deadline = time.monotonic() + within_s
    while True:
        if value := condition():
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {within_s:.0f} s for {what}")
        time.sleep(every_s)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on and nobody else is given while this process lives.

    Daemons take their port some time after it was chosen, and another session on this machine chooses too:
    the UDP port of the same number is held as a mark, which the kernel takes back when the process ends.
    Ports above `PORTS` are not given, because any client may get one of those as its own end.
    """
    for port in random.SystemRandom().sample(PORTS, 1000):
        mark = socket.socket(type=socket.SOCK_DGRAM)
        try:
            mark.bind(("127.0.0.1", port))
            with socket.socket() as listener:
                listener.bind(("127.0.0.1", port))
        except OSError:
            mark.close()
            continue
        _MARKS.append(mark)
        return port
    raise OSError(f"none of 1000 ports between {PORTS.start} and {PORTS.stop} is free")

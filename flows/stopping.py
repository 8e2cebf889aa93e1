"""TERM and Ctrl-C in a night that runs here: the scenes at work keep their state, and the report is written.

The main thread only listens; the night runs beside it. A signal then interrupts nobody in
the middle of a request to the server: whoever works asks now and then whether to stop.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextvars import ContextVar, copy_context
from types import FrameType
from typing import NoReturn, TypeVar

from flows.start import end_at_once

log = logging.getLogger(__name__)

GRACE_S = 14.0
SIGNALS = (signal.SIGTERM, signal.SIGINT)
Answer = TypeVar("Answer")


class StoppedError(Exception):
    """This work was told to end before it was done; what it kept is gone on from."""


class Stop:
    """Whether the night was told to end; a signal changes it.

    Attributes:
        heard: Name of the signal that was heard first, "" before.
        last_words: Called once where the night does not end by itself in time: it writes the report.
    """

    def __init__(self) -> None:
        self.heard = ""
        self.last_words: Callable[[], object] = lambda: None

    def ask(self, name: str) -> None:
        """Tell the night to end, for a signal of that name."""
        self.heard = self.heard or name

    def check(self) -> None:
        """Raise `StoppedError` where the night was told to end."""
        if self.heard:
            raise StoppedError(f"told to end by {self.heard}")

    def sleep(self, seconds: float) -> None:
        """Wait, but not longer than until the night is told to end."""
        until = time.monotonic() + seconds
        while not self.heard and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.2))


STOP: ContextVar[Stop] = ContextVar("stop", default=Stop())  # noqa: B039 - nobody asks the default to stop


_in_haste: list[bool] = []


def leave_at_once_afterwards() -> None:
    """Let `leave` end this process at once: threads that still wait for a server would hold it back."""
    _in_haste.append(True)


def leave(code: int) -> NoReturn:
    """End this process, at once where something would hold it back, or when it is told so meanwhile."""
    for number in SIGNALS:
        signal.signal(number, end_at_once)
    if _in_haste:
        _end(code)
    sys.exit(code)


def exit_code(name: str) -> int:
    """What a process ends with after a signal of that name."""
    return 128 + signal.Signals[name].value


def stoppable(work: Callable[[], Answer], grace_s: float = GRACE_S) -> Answer:
    """The answer of `work`, done in another thread while this one listens for TERM and Ctrl-C.

    Where a night does not end within the grace time its report is written, and the process ends at once:
    threads that compute cannot be ended otherwise.
    """
    if threading.current_thread() is not threading.main_thread():  # only that one hears signals
        return work()
    stop, done = Stop(), Future[Answer]()

    def run() -> None:
        STOP.set(stop)
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised again where the answer is wanted
            done.set_exception(error)

    with _heard_by(stop):
        threading.Thread(target=copy_context().run, args=(run,), name="night", daemon=True).start()
        since = None
        while not done.done():
            with contextlib.suppress(TimeoutError):
                done.exception(0.2)
            if stop.heard and since is None:
                since = time.monotonic()
                log.warning("told to end by %s: scenes at work keep their state", stop.heard)
            if since is not None and time.monotonic() - since > grace_s and not done.done():
                _leave(stop)
    return done.result()


@contextlib.contextmanager
def _heard_by(stop: Stop) -> Iterator[None]:
    def hear(number: int, _frame: FrameType | None) -> None:
        stop.ask(signal.Signals(number).name)

    before = {number: signal.signal(number, hear) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(stop: Stop) -> None:
    """End the process with all that it started; servers of our own see that their owner is gone."""
    with contextlib.suppress(OSError):
        stop.last_words()
    _end(exit_code(stop.heard))


def _end(code: int) -> NoReturn:
    for child in multiprocessing.active_children():
        child.kill()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)

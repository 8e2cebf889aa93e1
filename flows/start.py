"""The way into the command: TERM and Ctrl-C are heard before anything large is imported.

An exception in the middle of an import is taken for a broken package, or for a mistake in
NumPy, and ends in a traceback and another exit code. So there the process ends at once.
Only in its first hundredths of a second, before any of our code, does Python itself answer.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from types import FrameType


def main() -> None:
    """Run the command `thermal-sr`."""
    atexit.register(_at_the_very_end)  # the first that is registered is the last that is called
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, told_to_end)
    from flows.cli import main as run_command

    run_command()


def told_to_end(number: int, frame: FrameType | None) -> None:
    """End by SystemExit, so that temporary files are removed; a night has handlers of its own."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            end_at_once(number, None)
        frame = frame.f_back
    sys.exit(128 + number)


def _at_the_very_end() -> None:
    """Ignore signals from here on: while Python takes its modules apart, a handler would fail."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def end_at_once(number: int, _frame: FrameType | None) -> None:
    """End at once, without cleaning up: servers and scenes notice by themselves that this process is gone."""
    os._exit(128 + number)

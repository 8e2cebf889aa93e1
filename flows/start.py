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
    """End by the front door, so that temporary files go; a night listens for itself."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            end_at_once(number, None)
        frame = frame.f_back
    sys.exit(128 + number)


def _at_the_very_end() -> None:
    """Let the process end with its exit code: what Python takes apart now knows no handlers any more."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def end_at_once(number: int, _frame: FrameType | None) -> None:
    """End without looking back: nothing is held that another process does not see to."""
    os._exit(128 + number)

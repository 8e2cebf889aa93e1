"""What a night that runs here says of itself: a file for `watch`, a log, and lines where no bar is shown."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from flows.tonight import Night
from pipeline.commands.options import err_console
from pipeline.files import write_json
from pipeline.products import layout
from pipeline.stages import STAGES
from pipeline.times import now_utc

SAY_EVERY_S = 30.0  # where no bar shows it
BEAT_S = 2.0
LOGS_KEPT_S = 7 * 86_400.0
AtWork = dict[str, tuple[float, str]]
"""How far scenes are: name to percent and stage."""
_STAGE_NAMES = frozenset(stage.name for stage in STAGES)


def is_outcome(percent: float, words: str) -> bool:
    """Whether a listener is told that a scene has ended, and not of a stage of it."""
    return percent >= 100 and words not in _STAGE_NAMES


def in_one_line(scenes: int, ended: Mapping[str, int], at_work: AtWork) -> str:
    """How far a night is."""
    counts = ", ".join(f"{number} {status}" for status, number in sorted(ended.items()) if number)
    at = "; ".join(f"{name} {words} {percent:.0f} %" for name, (percent, words) in sorted(at_work.items()))
    return (
        f"night: {sum(ended.values())} of {scenes} ended{f' ({counts})' if counts else ''}; {at or 'waiting'}"
    )


class _Log(logging.FileHandler):
    """A log file whose own errors are ignored: where the disk is full, the scenes' records say so."""

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):
            super().emit(record)
        # Python prints a warning that nobody handles; before Prefect is there, this file must not hide it.
        if logging.lastResort is not None and record.levelno >= logging.WARNING and self._alone(record.name):
            logging.lastResort.handle(record)

    def _alone(self, name: str) -> bool:
        logger: logging.Logger | None = logging.getLogger(name)
        while logger is not None:
            if any(handler is not self for handler in logger.handlers):
                return False
            logger = logger.parent if logger.propagate else None
        return True

    def handleError(self, _record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        return

    def close(self) -> None:
        with contextlib.suppress(OSError):
            super().close()


class Heartbeat:
    """Hears of the scenes of a night and tells of them while it lasts; changes itself. It is a `Listener`.

    Attributes:
        also: Another listener, a bar.
    """

    def __init__(self, night: Night, *, spoken: bool) -> None:
        self._night, self._spoken = night, spoken
        self._folder = layout.below(night.settings.output.root, layout.SCRATCH, layout.NIGHTS)
        self._file = self._folder / f"{night.run_id}.json"
        self._at_work: AtWork = {}
        self._log = _Log(self._folder / f"{night.run_id}.log", encoding="utf-8", delay=True)
        lines = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
        lines.converter = time.gmtime
        self._log.setFormatter(lines)
        self._said_s, self._began = time.monotonic(), now_utc()
        self.also: Callable[[str, float, str], None] = lambda _scene_id, _percent, _words: None

    def __call__(self, scene_id: str, percent: float, words: str) -> None:
        """Hear how far a scene is."""
        self.also(scene_id, percent, words)
        if is_outcome(percent, words):
            self._at_work.pop(scene_id, None)
        elif self._at_work.get(scene_id, (0.0, ""))[1] != words:
            told = f"{scene_id}: {words}"
            self._log.handle(logging.LogRecord(__name__, logging.INFO, __file__, 0, told, (), None))
        if not is_outcome(percent, words):
            self._at_work[scene_id] = (percent, words)

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Inside, the file is kept and lines are said."""
        with contextlib.suppress(OSError):  # a full disk, or another night that does the same
            self._folder.mkdir(parents=True, exist_ok=True)
            for old in self._folder.iterdir():
                if time.time() - old.stat().st_mtime > LOGS_KEPT_S:
                    old.unlink(missing_ok=True)
        over = threading.Event()
        thread = threading.Thread(target=self._beat, args=(over,), name="heartbeat", daemon=True)
        for name in ("pipeline", "flows"):
            logging.getLogger(name).addHandler(self._log)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            for name in ("pipeline", "flows"):
                logging.getLogger(name).removeHandler(self._log)
            self._log.close()
            with contextlib.suppress(OSError):
                self._file.unlink(missing_ok=True)

    def _beat(self, over: threading.Event) -> None:
        while not over.is_set():
            scenes, ended = self._night.counts()
            at_work = dict(self._at_work)
            who = {"began": self._began, "beat": now_utc(), "host": socket.gethostname(), "pid": os.getpid()}
            plain = {**who, "scenes": scenes, "ended": ended, "at_work": at_work}
            with contextlib.suppress(OSError):  # a full disk is told by the scenes
                write_json(self._file, plain)
            if self._spoken and time.monotonic() - self._said_s >= SAY_EVERY_S:
                known = self._night.plan is not None
                words = in_one_line(scenes, ended, at_work) if known else "night: looking through the archive"
                err_console.print(words, highlight=False, markup=False, soft_wrap=True)
                self._said_s = time.monotonic()
            over.wait(BEAT_S)

"""Who hears how far a scene is: a bar for a person, an artifact for the server.

A listener is a context variable because flow parameters must be plain JSON.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import Any, Self

import httpx
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.exceptions import ObjectNotFound

from flows.heartbeat import SAY_EVERY_S
from flows.stopping import STOP, StoppedError
from pipeline.stages import percent_done
from pipeline.text import one_line

log = logging.getLogger(__name__)

Listener = Callable[[str, float, str], None]
"""Called with a scene's id, percent done (0 to 100) and the stage, or at the end with its outcome."""

LISTENER: ContextVar[Listener | None] = ContextVar("progress_listener", default=None)

_COARSE_PERCENT = 10.0


class SceneProgress:
    """Told of one scene's stages, it tells the listener and the server; it changes itself.

    Its artifact ends at 100 percent however the scene ends, but for one that is left for the next run.
    """

    def __init__(self, scene_id: str, key: str) -> None:
        self._scene_id = scene_id
        self._artifact: Any = None  # an identifier, in synchronous code
        with server_may_be_away(f"{scene_id}: progress"):
            waiting = f"{scene_id}: waiting"
            self._artifact = create_progress_artifact(progress=0.0, key=key, description=waiting)
        self._sent_percent, self._sent_stage = 0.0, ""
        self._said_s, self._now = time.monotonic(), ("waiting", 0.0)
        self._listener = LISTENER.get()
        self._over = threading.Event()

    def __call__(self, stage: str, fraction: float) -> None:
        """Tell the listener at once, the server at coarse steps and at every new stage.

        Raises:
            StoppedError: The night was told to end.
        """
        STOP.get().check()
        percent = percent_done(stage, fraction)
        self._now = stage, percent
        if self._listener is not None:
            self._listener(self._scene_id, percent, stage)
        else:
            self._say()
        news = stage != self._sent_stage or percent - self._sent_percent >= _COARSE_PERCENT or percent >= 100
        if news:
            self._send(percent, stage)

    def __enter__(self) -> Self:
        if self._listener is None:  # a stage may take long without a word
            here = copy_context()
            threading.Thread(target=here.run, args=(self._keep_saying,), name="progress", daemon=True).start()
        return self

    def _keep_saying(self) -> None:
        while not self._over.wait(SAY_EVERY_S):
            self._say()

    def _say(self) -> None:
        if time.monotonic() - self._said_s >= SAY_EVERY_S:
            log.info("%s: %s, %.0f %%", self._scene_id, *self._now)
            self._said_s = time.monotonic()

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._over.set()
        if isinstance(error, StoppedError):
            self._send(self._sent_percent, "left for the next run")
        elif isinstance(error, Exception):  # a worker's scene that is handed back ends in another kind
            self.ended("failed")

    def ended(self, outcome: str) -> None:
        """Tell the server that all is over."""
        self._send(100.0, outcome)

    def _send(self, percent: float, words: str) -> None:
        if self._artifact is not None:
            with server_may_be_away(f"{self._scene_id}: progress"):
                described = f"{self._scene_id}: {words}"
                update_progress_artifact(self._artifact, progress=percent, description=described)
        self._sent_percent, self._sent_stage = percent, words


@contextmanager
def server_may_be_away(what: str) -> Iterator[None]:
    """What is merely told to the server must not end a scene: it may restart, or have lost its database."""
    try:
        yield
    except (httpx.HTTPError, ObjectNotFound) as error:
        log.warning("%s not told to the server: %s", what, one_line(error))

"""Who hears how far a scene is: a bar for a person, an artifact for the server.

A listener is a context variable because flow parameters must be plain JSON.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import httpx
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.exceptions import ObjectNotFound

from pipeline.process import STAGES

log = logging.getLogger(__name__)

Listener = Callable[[str, str, float], None]
"""Called with scene id, stage and the stage's fraction."""

LISTENER: ContextVar[Listener | None] = ContextVar("progress_listener", default=None)

# Where the stages end on a scene's bar, in percent: training and writing take the time.
_ENDS = dict(zip(STAGES, (3, 5, 55, 60, 85, 88, 99, 100), strict=True))
_COARSE_PERCENT = 10.0


class SceneProgress:
    """A `pipeline.process.Progress` for one scene; it changes itself, remembering what was last sent."""

    def __init__(self, scene_id: str, key: str) -> None:
        self._scene_id = scene_id
        self._artifact: Any = None  # an identifier, in synchronous code
        with server_may_be_away(f"{scene_id}: progress"):
            waiting = f"{scene_id}: waiting"
            self._artifact = create_progress_artifact(progress=0.0, key=key, description=waiting)
        self._sent_percent, self._sent_stage = 0.0, ""
        self._listener = LISTENER.get()

    def __call__(self, stage: str, fraction: float) -> None:
        """Tell the listener at once, the server at coarse steps and at every new stage."""
        if self._listener is not None:
            self._listener(self._scene_id, stage, fraction)
        percent = percent_done(stage, fraction)
        news = stage != self._sent_stage or percent - self._sent_percent >= _COARSE_PERCENT or percent >= 100
        if news and self._artifact is not None:
            with server_may_be_away(f"{self._scene_id}: progress"):
                described = f"{self._scene_id}: {stage}"
                update_progress_artifact(self._artifact, progress=percent, description=described)
            self._sent_percent, self._sent_stage = percent, stage


@contextmanager
def server_may_be_away(what: str) -> Iterator[None]:
    """What is merely told to the server must not end a scene: it may restart, or have lost its database."""
    try:
        yield
    except (httpx.HTTPError, ObjectNotFound) as error:
        log.warning("%s not told to the server: %s", what, " ".join(str(error).split()))


def percent_done(stage: str, fraction: float) -> float:
    """0 to 100 over the whole scene."""
    order = list(_ENDS)
    end = _ENDS[stage]
    position = order.index(stage)
    start = _ENDS[order[position - 1]] if position else 0
    return start + (end - start) * min(max(fraction, 0.0), 1.0)

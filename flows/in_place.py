"""The scenes of a night, run in this process: each on a device of its own, each as a run on the server."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from queue import SimpleQueue
from typing import Any

import httpx
import torch
from prefect import tags
from prefect.client.schemas.objects import State

from flows.progress import LISTENER
from flows.scene import scene
from flows.states import LEFT, reason_of
from flows.stopping import STOP
from flows.tags import scene_tags
from pipeline.nights.forecast import Outlook, may_begin
from pipeline.nights.night import Plan, turn
from pipeline.outcomes import failed_record
from pipeline.scene import Record, SceneRef
from pipeline.settings import Settings

log = logging.getLogger(__name__)

PATIENCE_S = (5.0, 10.0, 20.0, 40.0, 60.0, 60.0, 60.0)


def devices(settings: Settings) -> list[str]:
    """Where scenes may run at the same time: one entry a GPU, or as many on a CPU as the settings say."""
    wanted = settings.run.device
    if wanted in ("auto", "cuda") and torch.cuda.is_available():
        return [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    return [wanted] if wanted.startswith("cuda") else ["cpu"] * settings.run.workers


def run_here(
    plan: Plan, settings: Settings, ended: Callable[[Record], None], ahead: Outlook
) -> Exception | None:
    """Run the scene flow for every scene of the plan.

    Args:
        plan: What is to be done.
        settings: The whole tree.
        ended: Called with the record of each scene, from any thread.
        ahead: What the scenes are expected to take.

    Returns:
        What ended the night early, if anything did: a server that stays away.
    """
    free: SimpleQueue[str] = SimpleQueue()
    for device in devices(settings):
        free.put(device)
    # Two nights that overlap start at different scenes and find each other's products, not each other's work.
    todo = random.SystemRandom().sample(plan.todo, len(plan.todo))
    todo.sort(key=lambda ref: turn(plan.again.get(ref.scene_id, "")))
    away: list[Exception] = []
    begins = may_begin(settings, ahead)

    def run_one(ref: SceneRef) -> None:
        if away or STOP.get().heard:
            return
        if not begins(ref):
            log.info("%s: waits, it would likely end after the night's budget", ref.scene_id)
            return
        if (record := _run_one(ref, settings, free, away)) is not None:
            ended(record)

    if free.qsize() == 1:
        for ref in todo:
            run_one(ref)
    else:
        with ThreadPoolExecutor(free.qsize(), thread_name_prefix="scene") as pool:
            for future in [pool.submit(copy_context().run, run_one, ref) for ref in todo]:
                future.result()
    return away[0] if away else None


def _run_one(
    ref: SceneRef, settings: Settings, free: SimpleQueue[str], away: list[Exception]
) -> Record | None:
    """The scene's record; None where it is left for the next run. If no server answers, `away` says so."""
    device = free.get()
    try:
        here = settings.model_copy(update={"run": settings.run.model_copy(update={"device": device})})
        state = _run_patiently(ref, here)
    except httpx.HTTPError as error:
        away.append(OSError(f"no Prefect server: {type(error).__name__} {error}"))
        return None
    finally:
        free.put(device)
    if state.name == LEFT:
        return None
    result = state.result(raise_on_failure=False)
    if isinstance(result, dict):
        record = Record.from_json(result)
    else:
        reason = reason_of(state)
        log.error("%s: failed, %s", ref.scene_id, reason)
        record = failed_record(ref, settings, reason)
    if (listener := LISTENER.get()) is not None:
        listener(ref.scene_id, 100.0, record.status)
    return record


def _run_patiently(ref: SceneRef, settings: Settings) -> State[Any]:
    """The scene flow; while the server is away, as in a restart, the scene waits and begins again.

    Raises:
        httpx.HTTPError: The server stayed away, or the night was told to end meanwhile.
    """
    for patience_s in (*PATIENCE_S, None):
        try:
            with tags(*scene_tags(ref, settings)):
                return scene(ref.to_json(), settings.model_dump(mode="json"), return_state=True)
        except httpx.HTTPError as error:  # no answer, or one that a proxy gives in its place
            if patience_s is None or STOP.get().heard:
                raise
            log.warning("%s: no Prefect server, another try in %.0f s: %s", ref.scene_id, patience_s, error)
            STOP.get().sleep(patience_s)
    raise AssertionError("the last try returns or raises")

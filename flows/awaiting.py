"""Waiting for scenes that were handed out, so that the report of a night says what became of them."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun

from flows.dispatch import Handed, is_over
from flows.stopping import STOP
from pipeline.nights.report import completed
from pipeline.settings import Settings
from pipeline.text import one_line

log = logging.getLogger(__name__)

LOOK_S = 20.0
DISK_LAG = timedelta(minutes=5)
AT_ONCE = 100  # runs asked for in one request


def await_scenes(report: dict[str, Any], handed: Handed, settings: Settings) -> Iterator[dict[str, Any]]:
    """The report each time that more of it is known, until all scenes have ended or the time is over.

    Args:
        report: Of the night, when all scenes had been handed out.
        handed: What was handed out.
        settings: `run.await_h` is how long this waits.
    """
    until = time.monotonic() + settings.run.await_h * 3600
    while report["dispatched"] and time.monotonic() < until and not STOP.get().heard:
        STOP.get().sleep(LOOK_S)
        still_out = {ref["scene_id"] for ref in report["dispatched"]}
        lost = _lost([run for scene_id, run in handed.runs.items() if scene_id in still_out], handed)
        after = completed(report, settings, lost)
        if len(after["dispatched"]) < len(report["dispatched"]):
            report = after
            yield report
    if report["dispatched"]:
        log.warning("%d scenes have not ended yet; the next night counts them", len(report["dispatched"]))


def _lost(runs: Sequence[UUID], handed: Handed) -> dict[str, str]:
    """Why runs are over, by scene_id: those that left nothing else behind are told by it."""
    scene_of = {run: scene_id for scene_id, run in handed.runs.items()}
    try:
        with get_client(sync_client=True) as client:
            ended = [
                run
                for start in range(0, len(runs), AT_ONCE)
                for run in client.read_flow_runs(
                    flow_run_filter=FlowRunFilter(
                        id=FlowRunFilterId(any_=list(runs[start : start + AT_ONCE]))
                    )
                )
                if is_over(run) and not _just_done(run)
            ]
    except httpx.HTTPError as error:  # it restarts: the next look asks again
        log.warning("the server does not say how scenes ended: %s", one_line(error))
        return {}
    return {scene_of[run.id]: _how(run) for run in ended}


def _just_done(run: FlowRun) -> bool:
    """Whether a network disk may not yet show the product of a run, although it has one."""
    state = run.state
    assert state is not None
    assert state.timestamp is not None
    return state.is_completed() and datetime.now(UTC) - state.timestamp < DISK_LAG


def _how(run: FlowRun) -> str:
    assert run.state is not None
    return f"its run ended as {run.state.name}: {one_line(run.state.message or 'no reason given')}"

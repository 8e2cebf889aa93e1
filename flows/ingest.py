"""The nightly flow: find new scenes, run or dispatch each, count how they ended."""

from __future__ import annotations

import logging
import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import httpx
import torch
from prefect import flow
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.client.schemas.objects import State

from flows.dispatch import Handed, dispatch
from flows.progress import LISTENER, server_may_be_away
from flows.scene import scene
from pipeline.errors import SettingsError
from pipeline.night import (
    Plan,
    Report,
    check_share,
    cost_remark,
    make_report,
    new_run_id,
    plan_night,
    report_markdown,
    write_report,
)
from pipeline.outcomes import failed_record, refused_record
from pipeline.products.publish import sweep
from pipeline.scene import Record, SceneRef
from pipeline.settings import Settings
from pipeline.settings_sources import load_settings
from pipeline.text import markdown_safe, one_line

log = logging.getLogger(__name__)

PATIENCE_S = (5.0, 10.0, 20.0, 40.0, 60.0, 60.0, 60.0)
PLANNED: ContextVar[Plan | None] = ContextVar("planned", default=None)
"""The night's plan, where the caller has made one already; flow parameters must be plain JSON."""

LEFT_BEHIND_S = 2 * 86_400.0  # longer than any scene takes, and than the clocks of two nodes differ


class NightFaultError(OSError):
    """The night ended before all scenes were run or handed out; its report is written and says why.

    Attributes:
        report: As `ingest` returns it.
    """

    def __init__(self, message: str, report: dict[str, Any]) -> None:
        super().__init__(message)
        self.report = report


@flow(name="ingest", persist_result=False, validate_parameters=False)
def ingest(settings: dict[str, Any] | None = None) -> dict[str, Any]:
    """One night over the archive.

    Args:
        settings: `Settings.model_dump(mode="json")`; None for those of the file that the environment
            variable THERMAL_SR_SETTINGS names, as a scheduled night does.

    Returns:
        The night's report as plain JSON, also written beside the products.

    Raises:
        SettingsError: Nobody can be handed the scenes; the report is written.
        NightFaultError: The night ended early; the report is written, and comes with the error.
    """
    tree = site_settings() if settings is None else Settings.model_validate(settings)
    started, run_id = datetime.now(UTC), new_run_id()
    tree.output.root.mkdir(parents=True, exist_ok=True)
    sweep(tree.output.root, tree.recipe.label, LEFT_BEHIND_S)
    plan = PLANNED.get() or _checked_plan(tree)
    log.info("%d found, %d to do, %d already done", plan.found, len(plan.todo), len(plan.done))
    if plan.todo and (remark := cost_remark(tree.recipe)):
        log.warning(remark)
    records = [refused_record(ref, tree, reason) for ref, reason in plan.refused]
    handed = Handed()
    fault: Exception | None
    if tree.run.dispatch == "in_place":
        ran, fault = _run_here(plan, tree)
        records += ran
    else:
        handed = dispatch(plan.todo, tree)
        fault = handed.fault
    faults = [] if fault is None else [one_line(fault)]
    report = make_report(
        run_id, started, tree, plan=plan, records=records, dispatched=handed.scenes, faults=faults
    )
    try:
        log.info("report %s", write_report(report, tree))
    except OSError as error:  # the disk that ended the scenes is full; the server and the caller hear it
        log.error("report %s could not be written: %s", run_id, error)
    with server_may_be_away(f"report {run_id}"):
        _publish_artifacts(report, tree)
    if isinstance(fault, SettingsError):
        raise fault
    if fault is not None:
        raise NightFaultError(faults[0], report.to_json()) from fault
    return report.to_json()


def _checked_plan(settings: Settings) -> Plan:
    check_share(settings)
    return plan_night(settings)


def site_settings() -> Settings:
    """The settings of this site's nights.

    Raises:
        SettingsError: Nothing names them, or they are wrong.
    """
    file = os.environ.get("THERMAL_SR_SETTINGS")
    if not file:
        raise SettingsError("THERMAL_SR_SETTINGS names no settings file; see deploy/slurm/README.md")
    return load_settings(Path(file))


def devices(settings: Settings) -> list[str]:
    """Where scenes may run at the same time: one entry a GPU, or as many on a CPU as the settings say."""
    wanted = settings.run.device
    if wanted in ("auto", "cuda") and torch.cuda.is_available():
        return [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    return [wanted] if wanted.startswith("cuda") else ["cpu"] * settings.run.workers


def _run_here(plan: Plan, settings: Settings) -> tuple[list[Record], Exception | None]:
    """Run the scene flow in this process for every scene of the plan, each on a device of its own.

    Returns:
        The records, and what ended the night early, if anything did: a server that stays away.
    """
    free: SimpleQueue[str] = SimpleQueue()
    for device in devices(settings):
        free.put(device)
    # Two nights that overlap start at different scenes and find each other's products, not each other's work.
    todo = random.SystemRandom().sample(plan.todo, len(plan.todo))
    away: list[Exception] = []

    def run_one(ref: SceneRef) -> Record | None:
        return None if away else _run_one(ref, settings, free, away)

    if free.qsize() == 1:  # in this thread: it alone hears TERM and lets the training keep its state
        ended = [run_one(ref) for ref in todo]
    else:
        pool = ThreadPoolExecutor(free.qsize(), thread_name_prefix="scene")
        try:
            futures = [pool.submit(copy_context().run, run_one, ref) for ref in todo]
            ended = [future.result() for future in futures]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # after TERM, waiting would outlast the grace time
    return [record for record in ended if record is not None], away[0] if away else None


def _run_one(
    ref: SceneRef, settings: Settings, free: SimpleQueue[str], away: list[Exception]
) -> Record | None:
    """The scene's record; None, and the reason in `away`, where no server answered however long it waited."""
    device = free.get()
    try:
        here = settings.model_copy(update={"run": settings.run.model_copy(update={"device": device})})
        state = _run_patiently(ref, here)
    except httpx.HTTPError as error:
        away.append(OSError(f"no Prefect server: {type(error).__name__} {error}"))
        return None
    finally:
        free.put(device)
    if state.is_completed():
        record = Record.from_json(state.result())
    else:
        reason = " ".join((state.message or state.name or "unknown").split())
        log.error("%s: failed, %s", ref.scene_id, reason)
        record = failed_record(ref, settings, reason)
    if (listener := LISTENER.get()) is not None:
        listener(ref.scene_id, 100.0, record.status)
    return record


def _run_patiently(ref: SceneRef, settings: Settings) -> State[Any]:
    """The scene flow; while the server is away, as in a restart, the scene waits and begins again.

    Raises:
        httpx.HTTPError: The server stayed away.
    """
    for patience_s in (*PATIENCE_S, None):
        try:
            return scene(ref.to_json(), settings.model_dump(mode="json"), return_state=True)
        except httpx.HTTPError as error:  # no answer, or one that a proxy gives in its place
            if patience_s is None:
                raise
            log.warning("%s: no Prefect server, another try in %.0f s: %s", ref.scene_id, patience_s, error)
            time.sleep(patience_s)
    raise AssertionError("the last try returns or raises")


def _publish_artifacts(report: Report, settings: Settings) -> None:
    table = [
        {
            "scene": one_line(record.ref.scene_id),
            "outcome": record.status,
            "reason": markdown_safe(record.reason),
            "product": one_line(record.product),
        }
        for record in report.records
    ]
    create_table_artifact(key="night-report-table", table=table, description=f"Night {report.run_id}")
    create_markdown_artifact(key="night-report", markdown=report_markdown(report, settings))

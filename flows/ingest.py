"""The nightly flow: find new scenes, run or dispatch each, count how they ended."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import UTC, datetime
from typing import Any

import torch
from prefect import flow
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from flows.scene import scene
from pipeline.night import Plan, Report, new_run_id, plan_night, report_markdown, write_report
from pipeline.process import failed_record, refused_record
from pipeline.scene import Record, SceneRef
from pipeline.settings import Settings

log = logging.getLogger(__name__)


@flow(name="ingest", persist_result=False, validate_parameters=False)
def ingest(settings: dict[str, Any]) -> dict[str, Any]:
    """One night over the archive.

    Args:
        settings: `Settings.model_dump(mode="json")`.

    Returns:
        The night's report as plain JSON, also written beside the products.
    """
    tree = Settings.model_validate(settings)
    started, run_id = datetime.now(UTC), new_run_id()
    plan = plan_night(tree)
    log.info("%d found, %d to do, %d already done", plan.found, len(plan.todo), len(plan.done))
    refused = [refused_record(ref, tree, reason) for ref, reason in plan.refused]
    records = [*refused, *_run_here(plan, tree)]
    report = make_report(run_id, started, tree, plan=plan, records=records)
    path = write_report(report, tree)
    _publish_artifacts(report, tree)
    log.info("report %s", path)
    return report.to_json()


def make_report(
    run_id: str, started: datetime, settings: Settings, *, plan: Plan, records: Sequence[Record]
) -> Report:
    """The report of a run that ends now."""
    return Report(
        run_id=run_id,
        started=f"{started:%Y-%m-%dT%H:%M:%SZ}",
        finished=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        recipe=settings.recipe.label,
        records=tuple(records),
        plan=plan,
    )


def scenes_at_a_time(settings: Settings) -> int:
    """One for each GPU; on a CPU as many as the settings say."""
    wants_gpu = settings.run.device != "cpu" and torch.cuda.is_available()
    return torch.cuda.device_count() if wants_gpu else settings.run.workers


def _run_here(plan: Plan, settings: Settings) -> list[Record]:
    """Run the scene flow in this process for every scene of the plan."""
    # Two nights that overlap start at different scenes and find each other's products, not each other's work.
    todo = random.SystemRandom().sample(plan.todo, len(plan.todo))
    plain = settings.model_dump(mode="json")
    with ThreadPoolExecutor(scenes_at_a_time(settings), thread_name_prefix="scene") as pool:
        futures = [pool.submit(copy_context().run, _run_one, ref, plain, settings) for ref in todo]
        return [future.result() for future in futures]


def _run_one(ref: SceneRef, plain: dict[str, Any], settings: Settings) -> Record:
    state = scene(ref.to_json(), plain, return_state=True)
    if state.is_completed():
        return Record.from_json(state.result())
    reason = " ".join((state.message or state.name).split())
    log.error("%s: failed, %s", ref.scene_id, reason)
    return failed_record(ref, settings, reason)


def _publish_artifacts(report: Report, settings: Settings) -> None:
    table = [
        {
            "scene": record.ref.scene_id,
            "outcome": record.status,
            "reason": record.reason,
            "product": record.product,
        }
        for record in report.records
    ]
    create_table_artifact(key="night-report-table", table=table, description=f"Night {report.run_id}")
    create_markdown_artifact(key="night-report", markdown=report_markdown(report, settings))

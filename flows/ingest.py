"""The nightly flow: find new scenes, run or dispatch each, count how they ended."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.client.schemas.objects import State
from prefect.runtime import deployment, flow_run

from flows.awaiting import await_scenes
from flows.dispatch import Handed, dispatch
from flows.in_place import run_here
from flows.progress import server_may_be_away
from flows.states import night_state
from flows.tonight import NIGHT, Night, look_through
from pipeline.errors import SettingsError
from pipeline.nights.forecast import look_ahead, with_limit, within_budget
from pipeline.nights.night import cost_remark
from pipeline.nights.report import report_markdown
from pipeline.outcomes import refused_record
from pipeline.products.catalog import write_catalog
from pipeline.products.publish import sweep
from pipeline.settings import Settings
from pipeline.settings_sources import load_settings
from pipeline.text import markdown_safe, one_line

log = logging.getLogger(__name__)

LEFT_BEHIND_S = 2 * 86_400.0  # longer than any scene takes, and than the clocks of two nodes differ


def night_name() -> str:
    """How a night's run is called: its date and its archive."""
    start = flow_run.scheduled_start_time or datetime.now(UTC)
    given = (flow_run.parameters or {}).get("settings") or {}
    root = (given.get("archive") or {}).get("root")
    return f"night {start.astimezone(UTC):%Y-%m-%d %H:%M}{f' {Path(root).name}' if root else ''}"


@flow(name="ingest", flow_run_name=night_name, persist_result=False, validate_parameters=False)
def ingest(settings: dict[str, Any] | None = None) -> State[dict[str, Any]]:
    """One night over the archive.

    Args:
        settings: `Settings.model_dump(mode="json")`; None for those of the file that the environment
            variable THERMAL_SR_SETTINGS names, as a scheduled night does.

    Returns:
        A state whose name tells how the night ended (see `flows.states`), and whose result is the night's
        report as plain JSON; it is also written beside the products.

    Raises:
        SettingsError: Nobody can be handed the scenes; the report is written.
    """
    tree = site_settings() if settings is None else Settings.model_validate(settings)
    night = NIGHT.get() or Night(tree)
    tree.output.root.mkdir(parents=True, exist_ok=True)
    sweep(tree.output.root, tree.recipe.label, LEFT_BEHIND_S)
    if night.plan is None:
        night.plan = look_through(tree)
    plan = night.plan
    log.info("%d found, %d to do, %d already done", plan.found, len(plan.todo), len(plan.done))
    if plan.todo and (remark := cost_remark(tree.recipe)):
        log.warning(remark)
    ahead = look_ahead(plan.todo, tree)
    tree = with_limit(tree, ahead)
    for ref, reason in plan.refused:
        night.ended(refused_record(ref, tree, reason))
    handed = Handed()
    fault: Exception | None
    if tree.run.dispatch == "in_place":
        fault = run_here(plan, tree, night.ended, ahead)
    else:
        handed = dispatch(within_budget(plan.todo, tree, ahead), tree, ahead, plan.again)
        fault = handed.fault
    report = night.write(handed.scenes, fault)
    if handed.scenes and deployment.id:  # for a scheduled night nobody waits
        for later in await_scenes(report, handed, tree):
            report = night.keep(later)
    if tree.output.catalog and any(scene["product"] for scene in report["scenes"]):
        write_catalog(tree.output.root)
    with server_may_be_away(f"report {report['run_id']}"):
        _publish_artifacts(report, tree)
    if isinstance(fault, SettingsError):
        raise fault
    return night_state(report)


def site_settings() -> Settings:
    """The settings of this site's nights.

    Raises:
        SettingsError: Nothing names them, or they are wrong.
    """
    file = os.environ.get("THERMAL_SR_SETTINGS")
    if not file:
        raise SettingsError("THERMAL_SR_SETTINGS names no settings file; see deploy/slurm/README.md")
    return load_settings(Path(file))


def _publish_artifacts(report: Mapping[str, Any], settings: Settings) -> None:
    table = [
        {
            "scene": one_line(scene["ref"]["scene_id"]),
            "outcome": scene["status"],
            "reason": markdown_safe(scene["reason"]),
            "product": one_line(scene["product"]),
        }
        for scene in report["scenes"]
    ]
    create_table_artifact(key="night-report-table", table=table, description=f"Night {report['run_id']}")
    create_markdown_artifact(key="night-report", markdown=report_markdown(report, settings))

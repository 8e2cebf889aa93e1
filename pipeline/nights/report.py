"""The report of a night: every input and how it ended, with counts that add up.

A night that hands its scenes to others reports at once what it handed out. What became of
them is filled in later, from products and records: by the night itself while it waits, or
by the next one. So a report is plain JSON that is completed, and its counts always add up.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

from pipeline.archive.product_rules import rule_identity
from pipeline.errors import DamagedProductError
from pipeline.files import write_json
from pipeline.nights.night import Plan
from pipeline.nights.pages.night_page import write_night_page
from pipeline.outcomes import outcome
from pipeline.products import layout
from pipeline.products.product_files import ProductFiles
from pipeline.products.records import read_record, read_records
from pipeline.scene import Record, SceneRef, Status
from pipeline.settings import Settings
from pipeline.text import markdown_code, markdown_safe
from pipeline.times import iso_utc, now_utc

log = logging.getLogger(__name__)

REPORT_SCHEMA = "thermal-sr night report 2"
OPEN_FOR = timedelta(days=7)  # reports that are older are not completed any more


def make_report(
    run_id: str,
    started: datetime,
    settings: Settings,
    *,
    plan: Plan,
    records: Sequence[Record] = (),
    dispatched: Sequence[SceneRef] = (),
    faults: Sequence[str] = (),
    ended_by: str = "",
) -> dict[str, Any]:
    """The report of a run that ends now, as plain JSON; its "counts" sum to "found".

    Args:
        run_id: Names this run; part of the file name.
        started: UTC.
        settings: The whole tree.
        plan: What had been found. Scenes to be done that were neither run nor handed out are "left".
        records: One for each scene that this run worked on.
        dispatched: Scenes handed to other workers, whose records come later.
        faults: What ended the night before all scenes were run or handed out, a line each.
        ended_by: Name of the signal that told the night to end, or "".
    """
    taken = {ref.scene_id for ref in (*dispatched, *(record.ref for record in records))}
    left = [ref for ref in plan.todo if ref.scene_id not in taken]
    counts = Counter(record.status for record in records)
    return {
        "schema": REPORT_SCHEMA,
        "run_id": run_id,
        "started": iso_utc(started),
        "finished": now_utc(),
        "complete": not dispatched,
        "recipe": settings.recipe.label,
        "found": plan.found,
        "counts": {
            **{status: counts[status] for status in get_args(Status)},
            "dispatched": len(dispatched),
            "left for the next run": len(left),
            "already done": len(plan.done),
            "ended earlier": len(plan.ended),
            "waiting": len(plan.waiting),
            "duplicates": len(plan.duplicates),
            "left out": len(plan.left_out),
            "no scenes": sum(plan.no_scenes.values()),
        },
        "ended_by": ended_by,
        "faults": list(faults),
        "scenes": [record.to_json() for record in records],
        "dispatched": [ref.to_json() for ref in dispatched],
        "left": [ref.to_json() for ref in left],
        "failed_before": [
            {"scene_id": record.ref.scene_id, "reason": record.reason, "finished": record.finished}
            for record in plan.failed_before
        ],
        "already_done": [{"scene_id": ref.scene_id, "product": product} for ref, product in plan.done],
        "ended_earlier": [record.to_json() for record in plan.ended],
        "waiting": [{"file": path, "reason": reason} for path, reason in plan.waiting],
        "duplicates": [{"file": path, "same_as": other} for path, other in plan.duplicates],
        "no_scenes": dict(plan.no_scenes),
        "left_out": [{"file": path, "reason": reason} for path, reason in plan.left_out],
    }


def completed(report: Mapping[str, Any], settings: Settings, lost: Mapping[str, str] = {}) -> dict[str, Any]:
    """The report with what has become of the scenes that were handed out.

    Args:
        report: Plain JSON of a report.
        settings: Those of the night.
        lost: Why scenes have ended without leaving a record (their run was canceled), by scene_id.
    """
    out, label = settings.output.root, str(report["recipe"])
    index = layout.index_products(out, label)
    records = {record.ref.digest: record for record in read_records(out, label)}
    before = {entry["scene_id"]: entry["finished"] for entry in report["failed_before"]}
    scenes, still_out, counts = list(report["scenes"]), [], dict(report["counts"])
    for plain in report["dispatched"]:
        ref = SceneRef.from_json(plain)
        rule = rule_identity(Path(ref.files[0]), settings.archive)
        record = _product_record(out, label, ref, rule, index) or records.get(ref.digest)
        if record is not None and not record.product and record.finished == before.get(ref.scene_id):
            record = None  # what is written there is of an earlier night
        if record is None and ref.scene_id in lost:
            record = outcome(ref, settings, "failed", lost[ref.scene_id])
        if record is None:
            still_out.append(plain)
            continue
        scenes.append(record.to_json())
        counts[record.status] += 1
        counts["dispatched"] -= 1
    changed = {"scenes": scenes, "dispatched": still_out, "counts": counts, "complete": not still_out}
    return {
        **report,
        **changed,
        "finished": now_utc() if len(scenes) > len(report["scenes"]) else report["finished"],
    }


def _product_record(
    out: Path, label: str, ref: SceneRef, rule: str, index: Mapping[str, tuple[Path, ...]]
) -> Record | None:
    if (product := layout.find_product(out, label, ref.digest, rule=rule, index=index)) is None:
        return None
    try:
        return read_record(product)
    except DamagedProductError as error:  # `verify` says it, too
        log.warning("%s", error)
        return None


def complete_earlier(settings: Settings) -> list[Path]:
    """Fill in what became of scenes that earlier nights of this recipe handed out; changed reports."""
    changed = []
    folder = layout.reports_folder(settings.output.root, settings.recipe.label)
    oldest = f"night-{datetime.now(UTC) - OPEN_FOR:%Y%m%dT%H%M%SZ}"
    for path in sorted(folder.glob("night-*.json")):
        if path.name < oldest or (report := _open_report(path)) is None:
            continue
        after = completed(report, settings)
        if len(after["dispatched"]) < len(report["dispatched"]):
            write_report(after, settings)
            changed.append(path)
    return changed


def _open_report(path: Path) -> dict[str, Any] | None:
    """A report that waits for scenes, or None where it is complete or no report of this schema."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        if report["schema"] == REPORT_SCHEMA and report["complete"] is False:
            return dict(report)
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s: no report of a night: %s", path.name, error)
    return None


def new_run_id() -> str:
    """Names a run: UTC time to the second and four random hex digits."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:4]}"


def write_report(report: Mapping[str, Any], settings: Settings) -> Path:
    """The report as a JSON file among the recipe's reports, and as a page beside it."""
    folder = layout.reports_folder(settings.output.root, report["recipe"])
    write_night_page(report, folder, settings.output.root)
    return write_json(folder / f"night-{report['run_id']}.json", report)


def worked_on(report: Mapping[str, Any]) -> dict[Status, int]:
    """Scenes that ended in this night, by outcome."""
    return {status: report["counts"][status] for status in get_args(Status)}


def report_markdown(report: Mapping[str, Any], settings: Settings) -> str:
    """The report as a page for the orchestrator's artifacts."""
    counts = (
        " · ".join(f"{number} {word}" for word, number in report["counts"].items() if number)
        or "nothing found"
    )
    lines = [f"# Night report {report['run_id']}", "", f"{report['found']} inputs: {counts}", ""]
    lines += [f"**The night ended early**: {markdown_safe(fault)}\n" for fault in report["faults"]]
    if report["dispatched"]:
        lines.append(
            f"{len(report['dispatched'])} scenes have not ended yet; the next night completes this.\n"
        )
    if not report["scenes"] and not report["dispatched"] and not report["left"]:
        lines.append("No new scenes.")
    for scene in sorted(report["scenes"], key=lambda row: (row["status"] == "done", row["ref"]["scene_id"])):
        reason = f": {scene['reason']}" if scene["reason"] else ""
        told = [scene["figures"].get(name) for name in ("scale_alarm", "range_alarm")]
        alarm = "".join(f"; alarm: {words}" for words in told if words)
        name = markdown_code(scene["ref"]["scene_id"])
        page = _page(settings, scene["product"])
        lines.append(f"- {name} {scene['status']}{markdown_safe(reason + alarm)}{page}")
    lines += [
        f"- {markdown_code(row['scene_id'])} had failed before: {markdown_safe(row['reason'])}"
        for row in report["failed_before"]
    ]
    lines += [
        f"- {markdown_code(Path(row['file']).name)} waiting: {markdown_safe(row['reason'])}"
        for row in report["waiting"]
    ]
    folder = settings.output.root / report["recipe"]
    newest = layout.reports_folder(settings.output.root, report["recipe"]) / "index.html"
    lines += ["", f"Products: {markdown_code(folder)}; page of the newest night: {markdown_code(newest)}"]
    return "\n".join(lines)


def _page(settings: Settings, product: str) -> str:
    """A link to a product's page as Markdown, for browsers of machines that see the folder."""
    if not (product and settings.output.pages):
        return ""
    return f" [page]({ProductFiles(settings.output.root.resolve() / product, '', 1).page.as_uri()})"

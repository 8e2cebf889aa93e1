"""How scenes and nights end on the server: states with names of their own, for automations to fire on.

The server tells an event for each name: `prefect.flow-run.Refused`, `prefect.flow-run.CompletedWithFailures`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed

from pipeline.nights.report import worked_on
from pipeline.scene import Record, Status
from pipeline.text import one_line

SCENE_STATES: Mapping[Status, str] = {
    "done": "Completed",
    "fell back": "FellBack",
    "skipped": "Skipped",
    "refused": "Refused",
    "failed": "Failed",
}
LEFT, STOPPED, MISSED = "Left", "Stopped", "Missed"
NIGHT_STATES = ("Completed", "CompletedWithFailures", "NothingNew", "Failed")
FINAL_NAMES = (*dict.fromkeys((*SCENE_STATES.values(), *NIGHT_STATES)), LEFT, STOPPED, MISSED)
"""Every name that a run of ours may end with, beside those that Prefect itself gives."""
_BEFORE_AN_EXCEPTION = "Flow run encountered an exception: "


def scene_state(record: Record) -> State[dict[str, Any]]:
    """The final state of a scene's run; the record is its result."""
    kind = Failed if record.status == "failed" else Completed
    return kind(
        name=SCENE_STATES[record.status], message=record.reason or record.status, data=record.to_json()
    )


def left_state(reason: str) -> State[None]:
    """The final state of a scene's run that was told to end: the next night goes on."""
    return Cancelled(name=LEFT, message=f"{reason}; left for the next run")


def night_state(report: Mapping[str, Any]) -> State[dict[str, Any]]:
    """The final state of a night; its report is the result."""
    ended, data = worked_on(report), dict(report)
    counts = ", ".join(f"{number} {word}" for word, number in report["counts"].items() if number)
    message = "; ".join([*report["faults"], f"{report['found']} found: {counts or 'the archive is empty'}"])
    if report["ended_by"]:
        return Cancelled(name=STOPPED, message=message, data=data)
    if report["faults"] or (ended["failed"] and ended["failed"] == sum(ended.values())):
        return Failed(message=message, data=data)
    if ended["failed"] or ended["refused"]:
        return Completed(name="CompletedWithFailures", message=message, data=data)
    if not sum(ended.values()) and not report["dispatched"] and not report["left"]:
        return Completed(name="NothingNew", message=message, data=data)
    return Completed(message=message, data=data)


def reason_of(state: State[Any]) -> str:
    """Why a run ended as it did, in a line, without what Prefect says before each exception."""
    return one_line((state.message or state.name or "unknown").removeprefix(_BEFORE_AN_EXCEPTION))

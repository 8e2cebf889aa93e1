"""The night that runs: its plan and what has come of it, so that a report can be written at any moment."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from flows.stopping import STOP
from pipeline.nights.night import Plan, check_share, plan_night
from pipeline.nights.night_metrics import write_metrics
from pipeline.nights.report import complete_earlier, make_report, new_run_id, write_report
from pipeline.scene import Record, SceneRef
from pipeline.settings import Settings
from pipeline.text import one_line

log = logging.getLogger(__name__)

NO_PLAN = Plan(todo=())


class Night:
    """A night that has not ended, which can be reported at any time; changes itself.

    Attributes:
        settings: The whole tree.
        plan: What is to be done; None before the archive was looked through.
        report: As it was written last; None before.
        run_id: Names the night.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.plan: Plan | None = None
        self.report: dict[str, Any] | None = None
        self.run_id, self._started = new_run_id(), datetime.now(UTC)
        self._records: list[Record] = []
        self._lock = threading.Lock()

    def ended(self, record: Record) -> None:
        """Keep how a scene ended."""
        with self._lock:
            self._records.append(record)

    def counts(self) -> tuple[int, dict[str, int]]:
        """How many scenes are to end in this night, and how many have, by outcome."""
        with self._lock:
            ended = Counter(str(record.status) for record in self._records)
        plan = self.plan or NO_PLAN
        return len(plan.todo) + len(plan.refused), dict(ended)

    def write(self, handed: tuple[SceneRef, ...] = (), fault: Exception | None = None) -> dict[str, Any]:
        """The report as things are now, written beside the products where the disk takes it."""
        heard = STOP.get().heard
        faults = [] if fault is None else [one_line(fault)]
        if heard:
            faults.append(f"told to end by {heard}")
        with self._lock:
            self.report = make_report(
                self.run_id,
                self._started,
                self.settings,
                plan=self.plan or NO_PLAN,
                records=self._records,
                dispatched=handed,
                faults=faults,
                ended_by=heard,
            )
        return self.keep(self.report)

    def keep(self, report: dict[str, Any]) -> dict[str, Any]:
        """Write a report beside the products where the disk takes it."""
        self.report = report
        try:
            log.info("report %s", write_report(report, self.settings))
        except OSError as error:  # the disk that ended the scenes is full; the server and the caller hear it
            log.error("report %s could not be written: %s", report["run_id"], error)
        if (metrics := self.settings.output.metrics) is not None:
            try:
                write_metrics(report, self.settings.archive.root.absolute().name, metrics)
            except OSError as error:
                log.warning("output.metrics %s could not be written: %s", metrics, error)
        return report


NIGHT: ContextVar[Night | None] = ContextVar("night", default=None)
"""The night that the caller has begun already, perhaps with its plan; flow parameters must be plain JSON."""


def look_through(settings: Settings) -> Plan:
    """The plan of a night, after what an earlier one left open was looked at."""
    check_share(settings)
    complete_earlier(settings)
    return plan_night(settings)

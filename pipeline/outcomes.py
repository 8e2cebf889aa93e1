"""How a scene ends, as a record: with a product, or with the reason why there is none."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

from pipeline.products.records import find_record, write_record
from pipeline.scene import Record, SceneRef, Status
from pipeline.settings import Settings
from pipeline.stages import Clock
from pipeline.text import one_line
from pipeline.times import from_iso, now_utc

log = logging.getLogger(__name__)

TOLD_TWICE_S = 30.0


def refused_record(ref: SceneRef, settings: Settings, reason: str) -> Record:
    """The record of an input that no reader can take, written beside the products."""
    record = outcome(ref, settings, "refused", reason)
    write_record(settings.output.root, settings.recipe.label, record)
    log.warning("%s: refused, %s", ref.scene_id, reason)
    return record


def failed_record(ref: SceneRef, settings: Settings, reason: str) -> Record:
    """The record of a scene whose run ended in an error; it is tried again until `run.give_up_after`."""
    out, label = settings.output.root, settings.recipe.label
    record = outcome(ref, settings, "failed", reason)
    before = find_record(out, label, ref.scene_id)
    if before is not None and before.status == "failed" and before.context == record.context:
        record = replace(record, failures=before.failures + (0 if _same_failure(before, record) else 1))
    else:
        record = replace(record, failures=1)
    try:
        write_record(out, label, record)
    except OSError as error:  # the disk that made the run fail is likely still full: the report says it
        log.warning("%s: its record could not be written: %s", ref.scene_id, error)
    return record


def set_aside(record: Record, settings: Settings) -> bool:
    """Whether a scene failed so often in a row that it is left alone until `redo` or a new version."""
    most = settings.run.give_up_after
    return bool(most) and record.failures >= most and record.context == settings.context


def _same_failure(before: Record, now: Record) -> bool:
    """One failure may be told twice: by the run itself, and by the night that waited for it."""
    apart = from_iso(now.finished) - from_iso(before.finished)
    return before.reason == now.reason and apart.total_seconds() < TOLD_TWICE_S


def outcome(
    ref: SceneRef,
    settings: Settings,
    status: Status,
    reason: str,
    *,
    product: str = "",
    figures: Mapping[str, float | str | None] | None = None,
    clock: Clock | None = None,
    assumptions: tuple[str, ...] = (),
) -> Record:
    """The record of a scene that ends now; nothing is written."""
    return Record(
        ref=ref,
        status=status,
        reason=one_line(reason),
        recipe=settings.recipe.label,
        product=product,
        figures={**(figures or {}), **({"peak_memory_mib": clock.peak_mib} if clock else {})},
        timings_s=clock.seconds if clock else {},
        assumptions=assumptions,
        context=settings.context,
        finished=now_utc(),
    )


def remark(record: Record) -> str:
    """What the log line of a scene adds to its outcome: the reason, or the figures that matter most."""
    if record.reason:
        return f": {record.reason}"
    shown = ("consistency_rmse_k", "consistency_bias_k", "selftest_skill_vs_base", "gain")
    numbers = [f"{name} {record.figures[name]:.4g}" for name in shown if record.figures.get(name) is not None]
    return f", {', '.join(numbers)}" if numbers else ""

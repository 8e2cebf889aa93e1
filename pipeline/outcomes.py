"""How a scene ends, as a record: with a product, or with the reason why there is none."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from pipeline.products.publish import write_record
from pipeline.scene import Record, SceneRef, Status
from pipeline.settings import Settings
from pipeline.stages import Clock
from pipeline.text import one_line
from pipeline.times import now_utc

log = logging.getLogger(__name__)


def refused_record(ref: SceneRef, settings: Settings, reason: str) -> Record:
    """The record of an input that no reader can take, written beside the products."""
    record = outcome(ref, settings, "refused", reason)
    write_record(settings.output.root, settings.recipe.label, record)
    log.warning("%s: refused, %s", ref.scene_id, reason)
    return record


def failed_record(ref: SceneRef, settings: Settings, reason: str) -> Record:
    """The record of a scene whose run ended in an error; it is tried again next time."""
    record = outcome(ref, settings, "failed", reason)
    try:
        write_record(settings.output.root, settings.recipe.label, record)
    except OSError as error:  # the disk that made the run fail is likely still full: the report says it
        log.warning("%s: its record could not be written: %s", ref.scene_id, error)
    return record


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

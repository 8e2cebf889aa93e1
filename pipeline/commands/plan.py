"""`plan`: what a run would do with every file, why, and how long it would take."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from pipeline.commands.options import (
    MOST_ROWS,
    ArchiveArgument,
    BudgetOption,
    JsonOption,
    OutArgument,
    SetOption,
    SettingsOption,
    ShardOption,
    SinceOption,
    UntilOption,
    out_console,
    print_json,
    settings_for,
)
from pipeline.text import one_line
from pipeline.times import in_words, iso_utc

if TYPE_CHECKING:
    from pipeline.nights.forecast import Expected
    from pipeline.nights.night import Plan


def plan(
    archive: ArchiveArgument,
    out: OutArgument = Path("out"),
    settings: SettingsOption = None,
    assignments: SetOption = None,
    shard: ShardOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    budget: BudgetOption = None,
    map_file: Annotated[
        Path | None, typer.Option("--map", metavar="FILE", help="Write the scenes' outlines as GeoJSON.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what `run` would do with each file, why and how long.

    Nothing is written but digests and sizes that are remembered, and those only where OUT exists.
    """
    from pipeline.archive.discover import RESTING
    from pipeline.nights.forecast import at_a_time, fitting, look_ahead
    from pipeline.nights.night import cost_remark, plan_night

    tree = settings_for(
        archive, out, settings, assignments, budget=budget, shard=shard, since=since, until=until
    )
    night = plan_night(tree)
    ahead = look_ahead(night.todo, tree)
    expected, budget_s = ahead.expected, tree.run.budget_s
    at_once = at_a_time(tree) if expected else 1
    fit = fitting(list(expected.values()), budget_s, at_once) if budget_s else set(expected)
    rows = _rows(night, expected, fit)
    total = _total([expected[name] for name in expected if name in fit], at_once)
    total["ground"] = ahead.forecast.ground
    if map_file is not None:
        from pipeline.nights.plan_map import write_map

        write_map(map_file, night, rows, tree)
    if as_json:
        plain = {"recipe": tree.recipe.label, "found": night.found, "forecast": total, "files": rows}
        print_json(plain)
        return
    table = Table(
        "file", "what happens", "time", "GB", "why", title=f"{night.found} found, {len(night.todo)} to do"
    )
    for row in rows[:MOST_ROWS]:
        numbers = (in_words(row["seconds"]), f"{row['gigabytes']:.2f}") if "seconds" in row else ("", "")
        first, *others = (escape(one_line(row[name])) for name in ("file", "action", "reason"))
        table.add_row(first, others[0], *numbers, others[1])
    out_console.print(table)
    if len(rows) > MOST_ROWS:
        out_console.print(f"and {len(rows) - MOST_ROWS} more; --json lists them all", highlight=False)
    if young := sum(RESTING in reason for _, reason in night.waiting):
        out_console.print(
            f"{young} of {night.found} wait until they have rested for {tree.archive.settle_s:g} s: somebody "
            f"may still be writing them; --set {RESTING}=0 takes them now",
            highlight=False,
        )
    if night.todo:
        _say_total(total, len(fit), len(expected) - len(fit))
        if remark := cost_remark(tree.recipe):
            out_console.print(escape(remark))


def _say_total(total: dict[str, Any], scenes: int, waiting: int) -> None:
    gpu = f", {total['gpu_memory_gb']:.1f} GB of GPU memory" if total["gpu_memory_gb"] else ""
    out_console.print(
        f"{scenes} scenes: {in_words(total['seconds'])}, {total['gigabytes']:.2f} GB{gpu}; "
        f"begun now, done at {total['end']} ({total['ground']})",
        highlight=False,
    )
    out_console.print(
        "Only names and heads of files were looked at: `run` may refuse what they hold; `info FILE` says why."
    )
    if waiting:
        out_console.print(f"{waiting} scenes wait: the budget ends before them", highlight=False)


def _total(expected: list[Expected], at_once: int) -> dict[str, Any]:
    from pipeline.nights.forecast import night_s

    seconds = night_s(expected, at_once)
    return {
        "scenes": len(expected),
        "seconds": round(seconds, 1),
        "gigabytes": round(sum(each.size for each in expected) / 1e9, 4),
        "gpu_memory_gb": round(max((each.gpu_memory_mib for each in expected), default=0.0) / 1024, 2),
        "end": iso_utc(datetime.now(UTC) + timedelta(seconds=seconds)),
    }


def _rows(night: Plan, expected: Mapping[str, Expected], fit: set[str]) -> list[dict[str, Any]]:
    rows = []
    for ref in night.todo:
        reason = night.again.get(ref.scene_id, f"new to this recipe, {ref.reader}")
        action = "process" if ref.scene_id in fit else "wait"
        row = _row(ref.files[0], ref.scene_id, action, reason if action == "process" else "beyond the budget")
        each = expected[ref.scene_id]
        gpu_gb = each.gpu_memory_mib / 1024
        numbers = {"seconds": each.seconds, "gigabytes": each.size / 1e9, "gpu_memory_gb": gpu_gb}
        rows.append({**row, **{name: round(value, 4) for name, value in numbers.items()}})
    rows += [_row(ref.files[0], ref.scene_id, "leave", f"done: {product}") for ref, product in night.done]
    for record in night.ended:
        earlier = f"failed {record.failures} times, set aside until `redo`" if record.failures else ""
        reason = f"{earlier or f'{record.status} earlier'}: {record.reason}"
        rows.append(_row(record.ref.files[0], record.ref.scene_id, "leave", reason))
    rows += [_row(ref.files[0], ref.scene_id, "refuse", reason) for ref, reason in night.refused]
    rows += [_row(path, "", "wait", reason) for path, reason in night.waiting]
    rows += [
        _row(path, "", "leave", f"same content as {Path(other).name}") for path, other in night.duplicates
    ]
    rows += [_row(path, "", "leave", reason) for path, reason in night.left_out]
    return rows


def _row(path: str, scene_id: str, action: str, reason: str) -> dict[str, Any]:
    return {
        "file": Path(path).name,
        "path": path,
        "scene_id": scene_id,
        "action": action,
        "reason": reason,
    }

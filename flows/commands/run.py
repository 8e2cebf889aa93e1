"""`run`: a night over an archive, now."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.markup import escape
from rich.table import Table

from pipeline.commands.options import (
    EXIT_OK,
    EXIT_SOME_FAILED,
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
    err_console,
    out_console,
    print_json,
    settings_for,
)
from pipeline.text import one_line

if TYPE_CHECKING:
    from pipeline.settings import Settings


def run(
    archive: ArchiveArgument,
    out: OutArgument,
    settings: SettingsOption = None,
    assignments: SetOption = None,
    shard: ShardOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    budget: BudgetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sharpen every scene that has no outcome yet."""
    from flows.night import run_night
    from flows.stopping import exit_code

    tree = settings_for(
        archive, out, settings, assignments, budget=budget, shard=shard, since=since, until=until
    )
    report = run_night(tree, quiet=as_json)
    if as_json:
        print_json(report)
    else:
        if any(report[kind] for kind in ("scenes", "waiting", "duplicates", "left")):
            out_console.print(report_table(report))
        for fault in report["faults"]:
            err_console.print(escape(f"the night ended early: {fault}"), style="red", highlight=False)
        out_console.print(escape(summary_line(report)))
        _say_where(report, tree)
    failed = any(record["status"] in ("refused", "failed") for record in report["scenes"])
    if report["ended_by"]:
        raise typer.Exit(exit_code(report["ended_by"]))
    raise typer.Exit(EXIT_SOME_FAILED if failed or report["faults"] else EXIT_OK)


def report_table(report: dict[str, Any]) -> Table:
    """Scene, outcome, seconds, memory, why: one line each, what is not done first; at most `MOST_ROWS`."""
    table = Table("scene", "outcome", "seconds", "MiB", "why, or what was assumed")
    ended = sorted(report["scenes"], key=lambda record: record["status"] == "done")
    for record in ended[:MOST_ROWS]:
        seconds = sum(record["timings_s"].values())
        remark = record["reason"] or "; ".join(record["assumptions"])
        memory = f"{record['figures'].get('peak_memory_mib', '')}"
        shown = escape(record["ref"]["scene_id"]), record["status"], f"{seconds:.0f}", memory
        table.add_row(*shown, escape(remark))
    rows = [(row["file"], "waiting", row["reason"]) for row in report["waiting"]]
    rows += [
        (row["file"], "duplicate", f"same content as {one_line(Path(row['same_as']).name)}")
        for row in report["duplicates"]
    ]
    rows += [(ref["files"][0], "waits", "left for the next run") for ref in report["left"]]
    room = max(MOST_ROWS - len(ended), 0)
    for file, outcome, reason in rows[:room]:
        table.add_row(escape(one_line(Path(file).name)), outcome, "", "", escape(reason))
    if (more := len(ended) + len(rows) - table.row_count) > 0:
        table.add_row(f"and {more} more; --json lists them all")
    return table


def summary_line(report: dict[str, Any]) -> str:
    """The night in one line."""
    counts = [f"{number} {word}" for word, number in report["counts"].items() if number]
    if not report["scenes"] and not report["dispatched"] and not report["left"]:
        return f"nothing to do: {report['found']} found, {', '.join(counts) or 'the archive is empty'}"
    return f"{report['found']} found: {', '.join(counts)}"


def _say_where(report: dict[str, Any], settings: Settings) -> None:
    out_console.print(escape(f"products: {settings.output.root / report['recipe']}"))
    for record in report["scenes"]:
        if record["product"]:
            store = next((settings.output.root / record["product"]).glob("*.zarr"), None)
            out_console.print(escape(f"open one: xarray.open_zarr({str(store)!r})"), highlight=False)
            return

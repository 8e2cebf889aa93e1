"""The command `thermal-sr`: what `pipeline.cli` offers, and the verbs that run scenes.

Prefect takes seconds to import, so the verbs that need it import it themselves.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from pipeline.cli import (
    EXIT_INVALID_INPUT,
    EXIT_OK,
    EXIT_SOME_FAILED,
    EXIT_USAGE,
    WIDE,
    ArchiveArgument,
    JsonOption,
    OutArgument,
    SetOption,
    SettingsOption,
    app,
    err_console,
    out_console,
    print_json,
    settings_for,
)
from pipeline.errors import DamagedProductError, SettingsError, UnreadableInputError, UnusableInputError
from pipeline.night import make_report, new_run_id, plan_night, write_report
from pipeline.products.layout import record_path
from pipeline.products.publish import read_records
from pipeline.settings import Settings
from pipeline.settings_sources import load_settings
from pipeline.text import shortened as clean


def main() -> None:
    """Run the command; known errors become one line and a stable exit code."""
    signal.signal(signal.SIGTERM, _leave)
    try:
        app()
    except SettingsError as error:
        _complain(error, EXIT_USAGE)
    except (UnusableInputError, UnreadableInputError, DamagedProductError, OSError) as error:
        _complain(error, EXIT_INVALID_INPUT)


def _leave(_signal: int, _frame: object) -> None:
    """End by the front door: Prefect's embedded server is stopped on the way out, and not when killed."""
    sys.exit(128 + signal.SIGTERM)


@app.command()
def run(
    archive: ArchiveArgument,
    out: OutArgument,
    settings: SettingsOption = None,
    assignments: SetOption = None,
    shard: Annotated[
        str | None, typer.Option("--shard", metavar="K/N", help="The K-th of N equal shares of the archive.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="DATE", help="Scenes acquired on or after YYYY-MM-DD.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="DATE", help="Scenes acquired on or before YYYY-MM-DD.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Sharpen every scene that has no outcome yet."""
    options = {"run.shard": shard, "archive.since": since, "archive.until": until}
    given = [f"{name}={json.dumps(value)}" for name, value in options.items() if value is not None]
    tree = settings_for(archive, out, settings, [*(assignments or ()), *given])
    _refuse_read_only(tree.output.root)
    report = run_night(tree, quiet=as_json)
    if as_json:
        print_json(report)
    else:
        if report["scenes"] or report["waiting"] or report["duplicates"]:
            out_console.print(report_table(report))
        out_console.print(escape(summary_line(report)))
        _say_where(report, tree)
    raise typer.Exit(EXIT_SOME_FAILED if _failures(report) else EXIT_OK)


@app.command()
def serve(
    archive: ArchiveArgument,
    out: OutArgument,
    cron: Annotated[str, typer.Option("--cron", help="When, in UTC.")] = "15 2 * * *",
    settings: SettingsOption = None,
    assignments: SetOption = None,
) -> None:
    """Run every night: stay in the foreground and sharpen on a schedule."""
    tree = settings_for(archive, out, settings, assignments)
    from flows.ingest import ingest

    err_console.print(f"every night at cron {cron!r} (UTC); stop with Ctrl-C")
    ingest.serve(name="nightly", cron=cron, parameters={"settings": tree.model_dump(mode="json")}, limit=1)


@app.command()
def redo(
    out: OutArgument,
    error: Annotated[
        str,
        typer.Option(
            "--error", metavar="TEXT", help="Scenes whose reason contains this; not case-sensitive."
        ),
    ],
    settings: SettingsOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Forget why scenes have no product, so that the next run takes them again."""
    tree = settings_for(None, out, settings, assignments)
    forgotten = [
        record
        for record in read_records(tree.output.root, tree.recipe.label)
        if error.lower() in record.reason.lower()
    ]
    for record in forgotten:
        record_path(tree.output.root, tree.recipe.label, record.ref.scene_id).unlink(missing_ok=True)
    if as_json:
        print_json({"recipe": tree.recipe.label, "forgotten": [record.to_json() for record in forgotten]})
        return
    for record in forgotten:
        out_console.print(escape(f"{record.ref.scene_id}: was {record.status}, {record.reason}"))
    out_console.print(f"{len(forgotten)} scenes will be taken by the next run")


@app.command()
def doctor(
    settings: SettingsOption = None, assignments: SetOption = None, as_json: JsonOption = False
) -> None:
    """Look for what is wrong with this installation, and say how to mend each fault."""
    from flows.doctor import examine

    file = settings or (Path(named) if (named := os.environ.get("THERMAL_SR_SETTINGS")) else None)
    findings = examine(load_settings(file, assignments or ()))
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        table = Table("", "what", "found", "how to mend it")
        for finding in findings:
            words = (finding.what, finding.found, finding.mend)
            table.add_row(finding.health, *(escape(text) for text in words))
        out_console.print(table)
    if any(finding.health == "fault" for finding in findings):
        raise typer.Exit(EXIT_INVALID_INPUT)


def run_night(settings: Settings, *, quiet: bool = False) -> dict[str, Any]:
    """One night in this process; an orchestrator is started only when there is something to do."""
    started = datetime.now(UTC)
    plan = plan_night(settings)
    if not plan.todo and not plan.refused:
        report = make_report(new_run_id(), started, settings, plan=plan)
        write_report(report, settings)
        return report.to_json()
    show_bar = err_console.is_terminal and not quiet
    if show_bar or quiet:
        os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING")
        for name in ("pipeline", "flows"):
            logging.getLogger(name).setLevel(logging.WARNING)
    else:
        logging.getLogger("httpx").setLevel(logging.WARNING)
    if not quiet:
        err_console.print(
            escape(f"{plan.found} found, {len(plan.todo)} to do, recipe {settings.recipe.label}")
        )
    from flows.ingest import ingest
    from flows.progress import LISTENER

    with _bar(len(plan.todo)) if show_bar else _no_bar() as listener:
        token = LISTENER.set(listener)
        try:
            return ingest(settings.model_dump(mode="json"))
        finally:
            LISTENER.reset(token)


@contextmanager
def _no_bar() -> Iterator[None]:
    yield None


@contextmanager
def _bar(scenes: int) -> Iterator[Callable[[str, str, float], None]]:
    from flows.progress import percent_done

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(*columns, TimeElapsedColumn(), console=err_console) as progress:
        night = progress.add_task("night", total=scenes)
        tasks: dict[str, TaskID] = {}

        def hear(scene_id: str, stage: str, fraction: float) -> None:
            task = tasks.setdefault(
                scene_id, progress.add_task(scene_id, total=100) if scene_id not in tasks else TaskID(0)
            )
            percent = percent_done(stage, fraction)
            progress.update(task, completed=percent, description=f"{scene_id} {stage}")
            if percent >= 100:
                progress.update(task, visible=False)
                progress.advance(night)

        yield hear


def report_table(report: dict[str, Any]) -> Table:
    """Scene, outcome, seconds, memory, why: one line each."""
    table = Table("scene", "outcome", "seconds", "MiB", "why, or what was assumed")
    for record in report["scenes"]:
        seconds = sum(record["timings_s"].values())
        remark = record["reason"] or "; ".join(record["assumptions"])
        memory = f"{record['figures'].get('peak_memory_mib', '')}"
        shown = escape(record["ref"]["scene_id"]), record["status"], f"{seconds:.0f}", memory
        table.add_row(*shown, escape(remark))
    for row in report["waiting"]:
        table.add_row(escape(clean(Path(row["file"]).name, WIDE)), "waiting", "", "", escape(row["reason"]))
    for row in report["duplicates"]:
        same = clean(Path(row["same_as"]).name, WIDE)
        table.add_row(
            escape(clean(Path(row["file"]).name, WIDE)),
            "duplicate",
            "",
            "",
            escape(f"same content as {same}"),
        )
    return table


def summary_line(report: dict[str, Any]) -> str:
    """The night in one line."""
    counts = [f"{number} {word}" for word, number in report["counts"].items() if number]
    if not report["scenes"] and not report["dispatched"]:
        return f"nothing to do: {report['found']} found, {', '.join(counts) or 'the archive is empty'}"
    return f"{report['found']} found: {', '.join(counts)}"


def _refuse_read_only(out: Path) -> None:
    """Say once, before the night, what every scene would end with."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise SettingsError(
            f"OUT {out} cannot be written: {error.strerror}; name a folder that can, or mend its rights"
        ) from error


def _failures(report: dict[str, Any]) -> bool:
    return any(record["status"] in ("refused", "failed") for record in report["scenes"])


def _say_where(report: dict[str, Any], settings: Settings) -> None:
    out_console.print(escape(f"products: {settings.output.root / report['recipe']}"))
    for record in report["scenes"]:
        if record["product"]:
            store = next((settings.output.root / record["product"]).glob("*.zarr"), None)
            out_console.print(escape(f"open one: xarray.open_zarr({str(store)!r})"), highlight=False)
            return


def _complain(error: Exception, code: int) -> None:
    err_console.print(escape(f"thermal-sr: {error}"), highlight=False)
    sys.exit(code)


from flows import demo as _demo  # noqa: E402, F401 - registers its command on `app`

if __name__ == "__main__":
    main()

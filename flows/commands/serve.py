"""`serve`: a night on a schedule."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.commands.options import (
    ArchiveArgument,
    OutArgument,
    SetOption,
    SettingsOption,
    err_console,
    settings_for,
)


def serve(
    archive: ArchiveArgument,
    out: OutArgument,
    cron: Annotated[str, typer.Option("--cron", help="When, in UTC.")] = "15 2 * * *",
    settings: SettingsOption = None,
    assignments: SetOption = None,
) -> None:
    """Stay in the foreground and run on a schedule."""
    tree = settings_for(archive, out, settings, assignments)
    from flows.ingest import ingest

    err_console.print(f"every night at cron {cron!r} (UTC); stop with Ctrl-C")
    ingest.serve(name="nightly", cron=cron, parameters={"settings": tree.model_dump(mode="json")}, limit=1)

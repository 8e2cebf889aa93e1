"""`doctor`: what is wrong with this installation."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import typer
from rich.markup import escape
from rich.table import Table

from pipeline.commands.options import (
    EXIT_INVALID_INPUT,
    JsonOption,
    SetOption,
    SettingsOption,
    out_console,
    print_json,
)


def doctor(
    settings: SettingsOption = None, assignments: SetOption = None, as_json: JsonOption = False
) -> None:
    """Say what is wrong with this installation, and the mend."""
    from flows.which_server import import_prefect

    import_prefect()
    from flows.doctor import examine
    from pipeline.settings_sources import load_settings

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

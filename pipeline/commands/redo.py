"""`redo`: scenes that ended without a product are taken again."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from pipeline.commands.options import (
    JsonOption,
    OutArgument,
    SetOption,
    SettingsOption,
    out_console,
    print_json,
    settings_for,
)


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
    """Forget why scenes have no product: they are taken again."""
    from pipeline.products.layout import record_path
    from pipeline.products.publish import read_records

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

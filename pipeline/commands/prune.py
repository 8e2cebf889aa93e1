"""`prune`: old products, listed, and deleted where `--yes` says so."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from pipeline.commands.options import (
    JsonOption,
    OutArgument,
    SetOption,
    SettingsOption,
    err_console,
    out_console,
    print_json,
    settings_for,
)
from pipeline.errors import SettingsError

if TYPE_CHECKING:
    from pipeline.nights.upkeep import Spare
    from pipeline.settings import Settings


def prune(
    out: OutArgument,
    replaced: Annotated[
        bool, typer.Option("--replaced", help="Damaged or old ones whose successor is there.")
    ] = False,
    superseded: Annotated[
        bool,
        typer.Option("--superseded", help="Of other recipes at this scale, where this recipe has a product."),
    ] = False,
    older_than: Annotated[
        float | None,
        typer.Option("--older-than", metavar="DAYS", min=0, help="Of scenes acquired longer ago."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Delete what the list names.")] = False,
    settings: SettingsOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """List products that may go; delete them with --yes.

    A scene whose product went because of its age is not made again until `redo` names it.
    """
    from pipeline.nights.upkeep import delete

    tree = settings_for(None, out, settings, assignments)
    if not (replaced or superseded or older_than is not None):
        raise SettingsError("prune: say which: --replaced, --superseded or --older-than DAYS")
    spares = _spares(tree, replaced=replaced, superseded=superseded, older_than=older_than)
    rows = [{"product": str(spare.folder), "bytes": spare.size, "reason": spare.reason} for spare in spares]
    if as_json:
        print_json({"deleted": yes, "products": rows})
    for spare in spares:
        if not as_json:
            out_console.print(
                escape(f"{spare.folder}\t{spare.size / 1e6:.1f} MB\t{spare.reason}"), highlight=False
            )
        if yes:
            delete(tree.output.root, spare)
    if not as_json:
        what = "deleted" if yes else "would go; nothing is deleted without --yes"
        gigabytes = sum(spare.size for spare in spares) / 1e9
        err_console.print(f"{len(spares)} products, {gigabytes:.2f} GB {what}")


def _spares(settings: Settings, *, replaced: bool, superseded: bool, older_than: float | None) -> list[Spare]:
    """What may go, each folder once."""
    from pipeline.nights.upkeep import old_products, replaced_products, superseded_products

    out = settings.output.root
    found = list(replaced_products(out)) if replaced else []
    if older_than is not None:  # first: its record keeps the scene from being made again
        found += old_products(out, older_than, datetime.now(UTC))
    if superseded:
        found += superseded_products(out, settings.recipe)
    once = {spare.folder: spare for spare in reversed(found)}
    return [once[folder] for folder in sorted(once)]

"""`verify`: whether products are whole."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from pipeline.commands.options import EXIT_INVALID_INPUT, JsonOption, err_console, out_console, print_json
from pipeline.errors import SettingsError, UnusableInputError


def verify(
    product: Annotated[Path, typer.Argument(metavar="PRODUCT", help="Folder of one product, or of many.")],
    share: Annotated[
        str, typer.Option("--share", metavar="K/N", help="Only a share, another one each day: 1/30.")
    ] = "",
    quick: Annotated[
        bool, typer.Option("--quick", help="Names and sizes of files only, not their bytes.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check products against their manifests: every file and byte."""
    from pipeline.nights.upkeep import damage, products_below, todays_share
    from pipeline.settings import RunSettings

    try:
        RunSettings(verify_share=share)
    except ValueError as error:
        raise SettingsError(f"--share {share!r}: a share is wanted, as 1/30") from error
    folders = list(products_below(product))
    if not folders:
        raise UnusableInputError(f"{product}: no MANIFEST.json here or below; is it the folder of a product?")
    rows = []
    for folder in todays_share(iter(folders), share, datetime.now(UTC).date()):
        reason = damage(folder, quick=quick)
        rows.append({"product": str(folder), "state": "damaged" if reason else "whole", "reason": reason})
    damaged = [row for row in rows if row["reason"]]
    if as_json:
        print_json({"found": len(folders), "checked": len(rows), "damaged": len(damaged), "products": rows})
    else:
        for row in damaged:
            err_console.print(escape(f"damaged: {row['product']}: {row['reason']}"), style="red")
        of_all = f" of {len(folders)}" if share else ""
        out_console.print(f"{len(rows)}{of_all} checked, {len(damaged)} damaged")
    if damaged:
        raise typer.Exit(EXIT_INVALID_INPUT)

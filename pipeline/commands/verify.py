"""`verify`: whether products are whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from pipeline.commands.options import EXIT_INVALID_INPUT, JsonOption, err_console, out_console, print_json
from pipeline.errors import DamagedProductError, UnusableInputError


def verify(
    product: Annotated[Path, typer.Argument(metavar="PRODUCT", help="Folder of one product, or of many.")],
    as_json: JsonOption = False,
) -> None:
    """Check products against their manifests: every file and byte."""
    from pipeline.products.layout import MANIFEST
    from pipeline.products.publish import verify as verify_product

    folders = sorted(
        manifest.parent
        for manifest in product.rglob(MANIFEST)
        # hidden: in the making, or damaged and moved aside when it was made anew
        if not any(part.startswith(".") for part in manifest.relative_to(product).parts)
    )
    if not folders:
        raise UnusableInputError(f"{product}: no MANIFEST.json here or below; is it the folder of a product?")
    rows = []
    for folder in folders:
        try:
            verify_product(folder)
            rows.append({"product": str(folder), "state": "whole", "reason": ""})
        except DamagedProductError as error:
            rows.append({"product": str(folder), "state": "damaged", "reason": str(error)})
    damaged = [row for row in rows if row["state"] == "damaged"]
    if as_json:
        print_json({"checked": len(rows), "damaged": len(damaged), "products": rows})
    else:
        for row in damaged:
            err_console.print(escape(f"damaged: {row['product']}: {row['reason']}"), style="red")
        out_console.print(f"{len(rows)} checked, {len(damaged)} damaged")
    if damaged:
        raise typer.Exit(EXIT_INVALID_INPUT)

"""`catalog`: the table of all products and outcomes, made again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands.options import JsonOption, out_console, print_json
from pipeline.errors import UnusableInputError


def catalog(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder of products that `run` wrote.")],
    as_json: JsonOption = False,
) -> None:
    """Rebuild the catalog of all products: STAC and a table."""
    from pipeline.products.catalog import write_catalog

    if not out.is_dir():
        raise UnusableInputError(f"{out} is no folder of products")
    path = write_catalog(out)
    if as_json:
        print_json({"catalog": str(path)})
    else:
        out_console.print(str(path))

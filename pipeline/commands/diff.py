"""`diff`: how two recipes' or versions' products differ, and why."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from pipeline.commands.options import JsonOption, err_console, out_console, print_json


def diff(
    first: Annotated[Path, typer.Argument(metavar="A", help="One product, or a recipe's folder of them.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="What it is compared with.")],
    maps: Annotated[
        Path | None, typer.Option("--maps", metavar="FOLDER", help="Write B - A as GeoTIFF and picture.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare products of two recipes or versions: kelvin, and why.

    Products of the same scene belong together. A finer one is averaged to the grid of the other.
    """
    from pipeline.desk.difference import difference, pairs

    found, alone = pairs(first, second)
    rows = [difference(*pair, maps=maps) for pair in found]
    if as_json:
        plain = [{**asdict(row), "first": str(row.first), "second": str(row.second)} for row in rows]
        print_json({"without_partner": alone, "products": plain})
        return
    shared = [reason for reason in rows[0].reasons if all(reason in row.reasons for row in rows)]
    table = Table("scene", "mean K", "RMS K", "largest K", "beyond errors", "why", title="B minus A")
    for row in rows:
        sizes = (f"{value:.4f}" for value in (row.rms_k, row.largest_k))
        why = escape("\n".join(reason for reason in row.reasons if reason not in shared))
        share = f"{row.beyond_fraction:.1%}"
        table.add_row(escape(row.scene_id), f"{row.mean_k:+.4f}", *sizes, share, why)
    out_console.print(table)
    out_console.print("why, for all of them:" if shared else "no cause that all of them share")
    for reason in shared:
        out_console.print(escape(f"  {reason}"), highlight=False)
    if alone:
        err_console.print(f"{alone} products without a partner")
    if maps is not None:
        out_console.print(escape(f"maps: {maps}"))

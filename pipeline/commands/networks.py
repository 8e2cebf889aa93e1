"""`networks`: the networks one can choose from, and what each costs."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from pipeline.commands.options import JsonOption, out_console, print_json


def networks(
    scale: Annotated[int, typer.Option("--scale", help="Linear enlargement: 2, 3, 4, 8 or 16.")] = 4,
    as_json: JsonOption = False,
) -> None:
    """Show the networks there are, and what each costs.

    Operations are counted for one pixel of the product; memory for one step of a training on the scene.
    """
    from pipeline.trials.network_costs import network_costs

    rows = network_costs(scale)
    if as_json:
        print_json(rows)
        return
    table = Table("network", "size", "parameters", "reach px", "operations a pixel", "training MiB")
    for row in rows:
        reach = "all" if row["reach_px"] is None else str(row["reach_px"])
        table.add_row(
            str(row["name"]),
            str(row["size"]),
            f"{row['parameters']:,}",
            reach,
            f"{row['operations_a_pixel']:,.0f}",
            f"{row['training_mib']:,.0f}",
        )
    out_console.print(table)
    out_console.print(
        f"x{scale}; choose with recipe.network.name and recipe.network.size (recipe.prior=none)"
    )

"""`evaluate`: Wald's protocol on one scene."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from pipeline.commands.options import (
    DegradationOption,
    JsonOption,
    NoiseOption,
    SetOption,
    SettingsOption,
    SizeOption,
    out_console,
    print_json,
    settings_for,
)

COLUMNS = {
    "rmse_k": "RMSE K",
    "mae_k": "MAE K",
    "bias_k": "bias K",
    "psnr_db": "PSNR dB",
    "ssim": "SSIM",
    "consistency_k": "consistency K",
    "detail_gain": "detail gain",
    "detail_correlation": "correlation",
    "improvement_fraction": "improved",
    "omission_fraction": "omitted",
    "hallucination_fraction": "invented",
    "seam_index": "seam",
    "shift_lr_px": "shift px",
    "process_s": "process s",
}


def evaluate(
    reference: Annotated[Path, typer.Argument(metavar="REFERENCE", help="One scene, taken for the truth.")],
    scale: Annotated[
        int | None, typer.Option("--scale", help="Linear enlargement; the recipe's by default.")
    ] = None,
    degradation: DegradationOption = "mtf",
    noise: NoiseOption = 0.0,
    size: SizeOption = 512,
    classes: Annotated[
        Path | None,
        typer.Option("--classes", metavar="FILE", help="GeoTIFF or NPY of land classes on the scene's grid."),
    ] = None,
    settings: SettingsOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Degrade a scene, sharpen it, and compare with what it was.

    Beside the product stand methods that learn nothing.
    """
    from pipeline.commands.one_scene import read_only_scene
    from pipeline.trials.evaluate import degradation as degradation_named
    from pipeline.trials.evaluate import evaluate as evaluate_scene

    factor = [] if scale is None else [f"recipe.scale={scale}"]
    tree = settings_for(reference, None, settings, [*(assignments or []), *factor])
    degraded = degradation_named(degradation, tree.recipe.scale)
    result = evaluate_scene(
        read_only_scene(tree), tree, degraded=degraded, noise_k=noise, size_px=size, classes=classes
    )
    if as_json:
        print_json({**result, "degradation": degradation})
        return
    table = Table("method", *COLUMNS.values(), title=f"x{tree.recipe.scale}, {degradation}")
    for method, figures in result["methods"].items():
        shown = (figures[name] for name in COLUMNS)
        table.add_row(method, *("-" if math.isnan(value) else f"{value:.4f}" for value in shown))
    out_console.print(table)
    for by, words in (("gradient", "third of the gradients"), ("class", "land class")):
        groups = result["methods"]["product"][f"rmse_k_by_{by}"]
        if groups:
            _print_groups(result["methods"], f"rmse_k_by_{by}", list(groups), f"RMSE K by {words}")
    out_console.print(f"recipe {result['recipe']}, gain {result['gain']:.2f} {escape(result['fallback'])}")


def _print_groups(methods: Mapping[str, Any], name: str, groups: list[str], title: str) -> None:
    table = Table("method", *groups, title=title)
    for method, figures in methods.items():
        table.add_row(method, *(f"{figures[name][group]:.4f}" for group in groups))
    out_console.print(table)

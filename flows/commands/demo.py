"""`demo`: a first look without any data of your own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer
from rich.markup import escape

from pipeline.commands.options import (
    EXIT_OK,
    EXIT_SOME_FAILED,
    JsonOption,
    SetOption,
    SettingsOption,
    out_console,
    print_json,
)

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float32
    from numpy.typing import NDArray

    from pipeline.settings import Settings

    Truth: TypeAlias = Float32[NDArray[np.float32], "y x"]


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for the demo's archive and products.")] = Path(
        ".demo"
    ),
    settings: SettingsOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sharpen three made scenes whose truth is known, and compare."""
    from flows.night import run_night
    from pipeline.settings_sources import load_settings
    from pipeline.trials.simulate import FORMATS, write_demo_archive

    tree = demo_settings(out.resolve(), load_settings(settings, _demo_assignments(assignments or [])))
    truths = write_demo_archive(tree.archive.root)
    report = run_night(tree, quiet=as_json)
    rows = demo_rows(report, tree, truths)
    if as_json:
        print_json(rows)
    else:
        _print_rows(rows, tree)
    expected = sum(row["outcome"] in ("done", "fell back") for row in rows) == len(FORMATS)
    raise typer.Exit(EXIT_OK if expected else EXIT_SOME_FAILED)


def _demo_assignments(assignments: list[str]) -> list[str]:
    from pipeline.optics import TYPICAL_PSF_SIGMA_PX
    from pipeline.trials.simulate import NEDT_K, SCALE

    figures = [f"recipe.degrade.psf_sigma_px={TYPICAL_PSF_SIGMA_PX}", f"recipe.degrade.nedt_k={NEDT_K}"]
    return [*figures, f"recipe.scale={SCALE}", *assignments]


def demo_settings(folder: Path, settings: Settings) -> Settings:
    """The settings with the demo's folders; its files are taken at once, young as they are."""
    archive = settings.archive.model_copy(update={"root": folder / "archive", "settle_s": 0.0})
    output = settings.output.model_copy(update={"root": folder / "products"})
    return settings.model_copy(update={"archive": archive, "output": output})


def demo_rows(report: dict[str, Any], settings: Settings, truths: dict[str, Truth]) -> list[dict[str, Any]]:
    """Scene, outcome, seconds, errors in kelvin against the truth and where the product is."""
    rows = []
    products = [settings.output.root / row["product"] for row in report["already_done"]]
    records = report["scenes"] + [json.loads((product / "record.json").read_text()) for product in products]
    for record in sorted([*records, *report["ended_earlier"]], key=lambda record: record["ref"]["scene_id"]):
        name = Path(record["ref"]["files"][0]).name
        row = {
            "scene": name,
            "outcome": record["status"],
            "seconds": round(sum(record["timings_s"].values()), 1),
            "reason": record["reason"],
        }
        if record["product"] and name in truths:
            store = next((settings.output.root / record["product"]).glob("*.zarr"))
            row |= {"store": str(store), **_errors_k(store, settings.archive.root / name, truths[name])}
        rows.append(row)
    return rows


def _errors_k(store: Path, file: Path, truth: Truth) -> dict[str, float]:
    import numpy as np
    import xarray as xr

    from pipeline.raster import fill_nearest
    from pipeline.superres.bases.base import bicubic
    from pipeline.trials.simulate import read_demo_scene

    with xr.open_zarr(store) as product:
        sharp = product["surface_temperature"].values
    lr = read_demo_scene(file)
    smooth = bicubic(fill_nearest(lr), truth.shape[0] // lr.shape[0])
    if sharp.shape != truth.shape:
        return {}
    valid = np.isfinite(sharp)
    return {
        "rmse_k": float(np.sqrt(np.mean((sharp - truth)[valid].astype(np.float64) ** 2))),
        "bicubic_rmse_k": float(np.sqrt(np.mean((smooth - truth)[valid].astype(np.float64) ** 2))),
    }


def _print_rows(rows: list[dict[str, Any]], settings: Settings) -> None:
    from rich.table import Table

    table = Table(
        "scene", "outcome", "seconds", "RMSE K", "bicubic K", "reason", title="demo: the truth is known"
    )
    for row in rows:
        errors = [f"{row[name]:.3f}" if name in row else "" for name in ("rmse_k", "bicubic_rmse_k")]
        table.add_row(row["scene"], row["outcome"], f"{row['seconds']:.0f}", *errors, escape(row["reason"]))
    out_console.print(table)
    out_console.print(escape(f"products: {settings.output.root / settings.recipe.label}"))
    store = next((row["store"] for row in rows if "store" in row), None)
    if store:
        out_console.print(escape(f"open one: xarray.open_zarr({store!r})"), highlight=False)

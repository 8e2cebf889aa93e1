"""`compare`: networks beside one another on scenes taken for the truth."""

from __future__ import annotations

import shlex
import sys
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from pipeline.commands.options import (
    DegradationOption,
    JsonOption,
    NoiseOption,
    SetOption,
    SettingsOption,
    SizeOption,
    err_console,
    out_console,
    print_json,
    settings_for,
)

if TYPE_CHECKING:
    from pipeline.trials.compare import Comparison

UNGATED = "recipe.gate.enabled=false"
TRIED = "attention,zssr,srcnn,swinir,hat,hspan,prior"


def compare(
    scenes: Annotated[
        list[Path], typer.Argument(metavar="SCENE...", help="Scenes, each taken for the truth.")
    ],
    networks: Annotated[
        str,
        typer.Option(
            "--networks",
            help="Names with commas; NAME:SIZE or attention:KIND too, prior for the prior alone, "
            "pretrained:FILE for weights of others.",
        ),
    ] = TRIED,
    scales: Annotated[str, typer.Option("--scales", help="Linear enlargements, with commas.")] = "2,4",
    degradation: DegradationOption = "mtf",
    noise: NoiseOption = 0.0,
    size: SizeOption = 192,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for comparison.csv, .json and .png.")
    ] = None,
    settings: SettingsOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare networks on scenes, in one table.

    The gate is off, so that a network that loses is seen to lose; --set recipe.gate.enabled=true asks for it.
    """
    from pipeline.commands.one_scene import read_only_scene
    from pipeline.errors import SettingsError
    from pipeline.trials import compare as comparing
    from pipeline.trials.evaluate import degradation as degradation_named

    names = [name.strip() for name in networks.split(",") if name.strip()]
    if not all(word.strip().isdigit() for word in scales.split(",")):
        raise SettingsError(f"--scales: whole numbers with commas are wanted, found {scales!r}")
    if not names:
        raise SettingsError("--networks: at least one is wanted; `thermal-sr networks` shows them")
    comparisons = []
    command = shlex.join(["thermal-sr", *sys.argv[1:]])
    for scale, scene in product((int(word) for word in scales.split(",")), scenes):
        told = [f"recipe.scale={scale}", UNGATED, *(assignments or [])]
        words = {name: comparing.network_words(name, told) for name in names}
        trees = {name: settings_for(scene, None, settings, said) for name, said in words.items()}
        comparisons.append(
            comparing.compare(
                read_only_scene(trees[names[0]]),
                trees,
                degraded=degradation_named(degradation, scale),
                noise_k=noise,
                size_px=size,
                told=partial(_tell, f"{scene.name} x{scale}"),
            )
        )
        if out is not None:  # after every scene, so that a run that is ended early has told something
            comparing.write_comparison(comparisons, out, command)
    _show(comparisons, command, as_json=as_json)


def _show(comparisons: list[Comparison], command: str, *, as_json: bool) -> None:
    """JSON or tables."""
    from pipeline.trials import compare as comparing

    rows = [row.figures for comparison in comparisons for row in comparison.rows]
    if as_json:
        print_json({"command": command, "rows": rows, "means": comparing.mean_rows(comparisons)})
        return
    _print(rows, comparing.COLUMNS)
    _print(comparing.mean_rows(comparisons), ())


def _tell(about: str, method: str) -> None:
    err_console.print(f"{about} {method}", highlight=False)


def _print(rows: list[Any], columns: tuple[str, ...]) -> None:
    """Rows of plain figures as a table."""
    names = columns or tuple(rows[0])
    table = Table(*names)
    for row in rows:
        table.add_row(*(_cell(row[name]) for name in names))
    out_console.print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return (
        f"{value:.4f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
    )

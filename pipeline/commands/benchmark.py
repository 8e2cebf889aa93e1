"""`benchmark` and `picture`: ordinary pictures, which hold no kelvin."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from pipeline.commands.compare import UNGATED
from pipeline.commands.options import (
    JsonOption,
    SetOption,
    SettingsOption,
    err_console,
    out_console,
    print_json,
    settings_for,
)

NOTICE = "gray levels, no kelvin: for a look at a network, nothing to measure on"


def benchmark(
    root: Annotated[Path, typer.Argument(metavar="FOLDER", help="Pictures, or sets of them by their names.")],
    sets: Annotated[
        str, typer.Option("--sets", help="Names of sets below FOLDER, with commas; those that are there.")
    ] = "Set5,Set14,B100,Urban100,Manga109,DIV2K",
    networks: Annotated[
        str, typer.Option("--networks", help="As `compare` takes them, with commas.")
    ] = "srcnn,prior",
    scales: Annotated[str, typer.Option("--scales", help="Linear enlargements, with commas.")] = "2,4",
    out: Annotated[Path | None, typer.Option("--out", help="File for all rows as JSON.")] = None,
    settings: SettingsOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Repeat papers' tables: PSNR and SSIM on local sets of pictures.

    Of the luminance, as papers count them. Nothing is downloaded. The gate is off, as in `compare`.
    """
    from pipeline.errors import SettingsError
    from pipeline.files import write_json
    from pipeline.trials import pictures
    from pipeline.trials.compare import network_words

    if not all(word.strip().isdigit() for word in scales.split(",")):
        raise SettingsError(f"--scales: whole numbers with commas are wanted, found {scales!r}")
    found = pictures.find_sets(root, [name.strip() for name in sets.split(",")])
    rows = []
    for scale in map(int, scales.split(",")):
        told = [f"recipe.scale={scale}", UNGATED, *(assignments or [])]
        trees = {
            name: settings_for(root, None, settings, network_words(name, told))
            for name in (word.strip() for word in networks.split(","))
        }
        rows += pictures.benchmark(found, trees, scale, partial(err_console.print, highlight=False))
    means = pictures.set_means(rows)
    if out is not None:
        write_json(out, {"rows": rows, "means": means})
    if as_json:
        print_json({"rows": rows, "means": means})
        return
    table = Table(*means[0])
    for row in means:
        table.add_row(*(f"{value:.4f}" if isinstance(value, float) else str(value) for value in row.values()))
    out_console.print(table)


def picture(
    path: Annotated[Path, typer.Argument(metavar="PICTURE", help="PNG, JPEG or BMP.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="PNG to write.")] = Path("finer.png"),
    settings: SettingsOption = None,
    assignments: SetOption = None,
) -> None:
    """Enlarge an ordinary picture, which has no kelvin."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    from pipeline.trials.pictures import enlarge_picture

    tree = settings_for(path, None, settings, assignments)
    words = PngInfo()
    words.add_text("Comment", NOTICE)
    Image.fromarray(enlarge_picture(path, tree)).save(out, format="PNG", pnginfo=words)
    err_console.print(f"wrote {out}: {NOTICE}", highlight=False)

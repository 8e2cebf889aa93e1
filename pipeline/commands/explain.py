"""`explain`: what a place of a product rests on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands.options import (
    JsonOption,
    SetOption,
    SettingsOption,
    err_console,
    out_console,
    print_json,
    settings_for,
)


def explain(
    product: Annotated[Path, typer.Argument(metavar="PRODUCT", help="A published product's folder.")],
    scene: Annotated[Path, typer.Option("--scene", help="The file that the product was made of.")],
    box: Annotated[
        tuple[int, int, int, int],
        typer.Option("--box", help="x0 y0 x1 y1 in product pixels, x1 y1 outside."),
    ],
    pixel: Annotated[
        tuple[int, int] | None, typer.Option("--pixel", help="x y of one pixel: explain its temperature.")
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", help="Folder for explanation.json and explanation.png.")
    ] = Path("explanation"),
    settings: SettingsOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell what a place of a product rests on.

    What was measured and what was learned there, in kelvin; a picture shows the scene pixels that it leans
    on. A network that the scene taught is read from the product, or taught again where it kept none.
    """
    from pipeline.commands.one_scene import read_only_scene
    from pipeline.desk import explain as explaining
    from pipeline.grid import Window

    tree = settings_for(scene, None, settings, assignments)
    place = Window(box[1], box[0], box[3] - box[1], box[2] - box[0])
    found = explaining.explain(
        product,
        read_only_scene(tree),
        place,
        pixel=None if pixel is None else (pixel[1], pixel[0]),
        device=tree.run.device,
    )
    for path in explaining.write_explanation(found, out):
        err_console.print(f"wrote {path}", highlight=False)
    if as_json:
        print_json(dict(found.facts))
        return
    for name, value in found.facts.items():
        shown = f"{value:.4f}" if isinstance(value, float) else str(value)
        out_console.print(f"{name:32} {shown}", markup=False, highlight=False)

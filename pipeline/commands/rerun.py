"""`rerun`: a product made again from its record, and compared."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from pipeline.commands.options import (
    EXIT_INVALID_INPUT,
    JsonOption,
    SetOption,
    SettingsOption,
    out_console,
    print_json,
)


def rerun(
    product: Annotated[Path, typer.Argument(metavar="PRODUCT", help="Folder of one product.")],
    archive: Annotated[
        Path | None, typer.Argument(metavar="ARCHIVE", help="Where its scene lies, if it was moved.")
    ] = None,
    settings: SettingsOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a product again from its record, and compare every pixel.

    The product itself is left alone. Settings say only where it runs (run.*); all else is in the record.
    """
    from pipeline.desk.rerun import rerun as make_again
    from pipeline.settings_sources import load_settings

    run = load_settings(settings, assignments or ()).run
    with tempfile.TemporaryDirectory(prefix="thermal-sr-rerun-") as folder:
        answer = make_again(product, archive, Path(folder), run)
    if as_json:
        print_json({**asdict(answer), "product": product.name})
    else:
        for name, change in answer.changes.items():
            numbers = f"{change.differing} of {change.pixels} pixels differ, by {change.largest:.3g} at most"
            out_console.print(f"{name}: {numbers}", highlight=False)
        for name, (then, now) in answer.stack.items():
            out_console.print(escape(f"{name}: {then} then, {now} now"), highlight=False)
        if answer.files:
            out_console.print(escape(f"files with other bytes: {', '.join(answer.files)}"), highlight=False)
        out_console.print(escape(f"{product.name}: {answer.verdict}"), highlight=False)
    if not answer.good:
        raise typer.Exit(EXIT_INVALID_INPUT)

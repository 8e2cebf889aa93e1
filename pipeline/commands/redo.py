"""`redo`: scenes without a product are taken again, and products made again."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from pipeline.commands.options import (
    JsonOption,
    OutArgument,
    SetOption,
    SettingsOption,
    out_console,
    print_json,
    settings_for,
)
from pipeline.errors import SettingsError, UnusableInputError


def redo(
    out: OutArgument,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME...", help="Scenes by name or path, as `ls` prints; - reads a list."),
    ] = None,
    error: Annotated[
        str,
        typer.Option(
            "--error", metavar="TEXT", help="Scenes whose reason contains this; not case-sensitive."
        ),
    ] = "",
    damaged: Annotated[bool, typer.Option("--damaged", help="Products that `verify` calls damaged.")] = False,
    older_than_version: Annotated[
        str, typer.Option("--older-than-version", metavar="V", help="Products of older code: 0.2.0.")
    ] = "",
    settings: SettingsOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let the next run take scenes again, or make products again.

    A product stays readable until its successor takes its place. The next run of its recipe makes it
    again if its scene still lies in the archive.
    """
    tree = settings_for(None, out, settings, assignments)
    if not (names or error or damaged or older_than_version):
        options = "--error TEXT, --damaged or --older-than-version V"
        raise SettingsError(f"redo: say which: names, - for a list, {options}")
    root, label = tree.output.root, tree.recipe.label
    rows = list(_asked_for(root, _lines(names or ())))
    if error:
        rows += _forgotten(root, label, error)
    if damaged:
        rows += _damaged(root)
    if older_than_version:
        rows += _older(root, older_than_version)
    if as_json:
        print_json({"recipe": label, "taken_again": rows})
        return
    for row in rows:
        out_console.print(escape(f"{row['scene']}: was {row['state']}, {row['reason']}"))
    out_console.print(f"{len(rows)} scenes will be taken by the next run")


def _lines(names: Sequence[str]) -> Iterator[str]:
    """The names, and in place of a dash the first word of each line of standard input."""
    for name in names:
        found = [name] if name != "-" else [line.split("\t")[0].strip() for line in sys.stdin]
        yield from (each for each in found if each)


def _asked_for(out: Path, names: Iterator[str]) -> Iterator[dict[str, str]]:
    """Mark every product, and forget every record, of these names or paths."""
    from pipeline.nights.upkeep import products_below
    from pipeline.products.layout import recipe_folders, record_path
    from pipeline.products.publish import ASKED_FOR, mark_for_redo
    from pipeline.products.records import read_records

    wanted = {Path(name).name.removesuffix(".json"): name for name in names}
    found = set()
    for product in products_below(out) if wanted else ():
        if product.name in wanted:
            found.add(product.name)
            mark_for_redo(product, ASKED_FOR)
            yield {"scene": product.name, "state": "published", "reason": "is made again"}
    for recipe in recipe_folders(out) if wanted else ():
        for record in read_records(out, recipe.name):
            if (scene := record.ref.scene_id) in wanted:
                found.add(scene)
                record_path(out, recipe.name, scene).unlink(missing_ok=True)
                yield {"scene": scene, "state": record.status, "reason": record.reason}
    if unknown := wanted.keys() - found:
        raise UnusableInputError(f"{wanted[min(unknown)]}: no product and no record of this name in {out}")


def _forgotten(out: Path, label: str, error: str) -> Iterator[dict[str, str]]:
    from pipeline.products.layout import record_path
    from pipeline.products.records import read_records

    for record in read_records(out, label):
        if error.lower() in record.reason.lower():
            record_path(out, label, record.ref.scene_id).unlink(missing_ok=True)
            yield {"scene": record.ref.scene_id, "state": record.status, "reason": record.reason}


def _damaged(out: Path) -> Iterator[dict[str, str]]:
    from pipeline.nights.upkeep import mark_damaged

    for product, reason in mark_damaged(out, "", datetime.now(UTC).date()):
        yield {"scene": product.name, "state": "damaged", "reason": reason}


def _older(out: Path, version: str) -> Iterator[dict[str, str]]:
    from packaging.version import InvalidVersion, Version

    from pipeline.errors import DamagedProductError
    from pipeline.nights.upkeep import products_below
    from pipeline.products.publish import mark_for_redo, read_manifest

    try:
        least = Version(version)
    except InvalidVersion as error:
        raise SettingsError(f"--older-than-version {version!r}: a version is wanted, as 0.2.0") from error
    for product in products_below(out):
        try:
            made_by = str(read_manifest(product).get("code_version", "0"))
            old = Version(made_by) < least
        except (DamagedProductError, InvalidVersion):
            made_by, old = "an unknown version", True
        if old:
            mark_for_redo(product, f"made by {made_by}, older than {version}")
            yield {"scene": product.name, "state": "published", "reason": f"made by {made_by}"}

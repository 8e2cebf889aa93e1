"""`ls`: scenes by how they ended, one a line, for people and for `redo -`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

from pipeline.commands.options import JsonOption, OutArgument, print_json
from pipeline.errors import SettingsError, UnusableInputError
from pipeline.text import one_line
from pipeline.times import duration_s, from_iso

if TYPE_CHECKING:
    from pipeline.scene import Record

Listed = Literal["done", "fell back", "skipped", "refused", "failed", "redo", "damaged"]


def ls(
    out: OutArgument,
    state: Annotated[
        list[str] | None,
        typer.Option("--state", help=f"{', '.join(get_args(Listed))}; repeatable; without: all."),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Ended within: 10h, 2d; or since a date.")
    ] = None,
    error: Annotated[
        str, typer.Option("--error", metavar="TEXT", help="Whose reason contains this; not case-sensitive.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """List scenes by how they ended: name, state, when, why.

    The columns are separated by tabs; `redo OUT -` takes the list. "redo" are products that are to be made
    again; "damaged" reads no file, it lists what `verify_share` or `redo --damaged` found.
    """
    wanted = set(state or ())
    if unknown := wanted - set(get_args(Listed)):
        raise SettingsError(f"--state {min(unknown)!r}: wanted is one of {', '.join(get_args(Listed))}")
    if not out.is_dir():
        raise UnusableInputError(f"{out} is no folder of products")
    begin = _begin(since)
    rows = [
        row
        for row in rows_of(out)
        if (not wanted or wanted & set(row["states"]))
        and error.lower() in row["reason"].lower()
        and (begin is None or (row["finished"] and from_iso(row["finished"]) >= begin))
    ]
    rows.sort(key=lambda row: row["finished"], reverse=True)
    if as_json:
        print_json(rows)
        return
    for row in rows:
        cells = (row["path"], row["states"][-1], row["finished"], row["reason"])
        typer.echo("\t".join(one_line(cell) for cell in cells))


def _begin(since: str | None) -> datetime | None:
    """The moment that `--since` names."""
    if since is None:
        return None
    try:
        return datetime.now(UTC) - timedelta(seconds=duration_s(since))
    except ValueError:
        try:
            return from_iso(since)
        except ValueError as error:
            raise SettingsError(f"--since {since!r}: 10h, 2d or a date as 2026-11-20 is wanted") from error


def rows_of(out: Path) -> Iterator[dict[str, Any]]:
    """Every product and every record of a scene without one, of all recipes."""
    from pipeline.errors import DamagedProductError
    from pipeline.nights.upkeep import products_below
    from pipeline.products.layout import recipe_folders, record_path
    from pipeline.products.publish import redo_reason
    from pipeline.products.records import read_record, read_records

    for product in products_below(out):
        again = redo_reason(product)
        try:
            row = _row(product, read_record(product))
        except DamagedProductError as error:
            row = {"scene": product.name, "path": str(product), "recipe": "", "finished": ""}
            yield {**row, "states": ["damaged"], "reason": str(error)}
            continue
        if again:
            row["states"] += ["redo", *(["damaged"] if again.startswith("damaged") else [])]
            row["reason"] = again
        yield row
    for recipe in recipe_folders(out):
        for record in read_records(out, recipe.name):
            yield _row(record_path(out, recipe.name, record.ref.scene_id), record)


def _row(path: Path, record: Record) -> dict[str, Any]:
    return {
        "scene": record.ref.scene_id,
        "path": str(path),
        "recipe": record.recipe,
        "states": [str(record.status)],
        "finished": record.finished,
        "reason": record.reason,
    }

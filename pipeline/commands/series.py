"""`series`: temperatures along time at a point or over a polygon, as a table or a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands.options import (
    MaskFlagsOption,
    MaskSigmaOption,
    SinceOption,
    UntilOption,
    err_console,
    numbers_of,
    out_console,
)
from pipeline.errors import SettingsError

if TYPE_CHECKING:
    import xarray as xr

_AROUND_DEGREES = 0.02  # around a point, to be looked into


def series(
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder of products, of a recipe, or a product.")
    ],
    at: Annotated[
        str | None, typer.Option("--at", metavar="LON,LAT", help="The pixel at this point, in degrees.")
    ] = None,
    polygon: Annotated[
        Path | None, typer.Option("--polygon", metavar="FILE", help="The mean over this GeoJSON, in degrees.")
    ] = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Table to write; shown if not given.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Page to write, with a chart.")
    ] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    recipe: Annotated[
        str, typer.Option("--recipe", metavar="NAME", help="Beginning of the recipe folder's name.")
    ] = "",
    quantity: Annotated[
        str, typer.Option("--quantity", metavar="NAME", help="Of the temperature, where there are several.")
    ] = "",
    mask_sigma: MaskSigmaOption = None,
    mask_flags: MaskFlagsOption = None,
) -> None:
    """Tell temperatures along time at a point or over a polygon."""
    if (at is None) == (polygon is None):
        raise SettingsError("one of --at LON,LAT and --polygon FILE is wanted")
    for option, file in (("--csv", csv), ("--html", html)):
        if file is not None and file.exists():
            raise SettingsError(f"{file} exists already; name another file with {option}")
    from pipeline.desk.cube import open_products
    from pipeline.desk.series import mean_over, read_polygon, values_at

    point = None if at is None else _point(at)
    area = None if polygon is None else read_polygon(polygon)
    cube = open_products(
        out,
        recipe=recipe,
        quantity=quantity,
        box=_around(point) if area is None else area.bounds,
        since=since,
        until=until,
        flags=None if mask_flags is None else numbers_of("--flags", mask_flags),
        most_sigma_k=mask_sigma,
    )
    found = values_at(cube, *point) if point is not None else mean_over(cube, area)
    if csv is None and html is None:
        typer.echo(_table(found), nl=False)
        for name, column in found.data_vars.items():
            err_console.print(f"{name}: {column.long_name}", highlight=False)
    if csv is not None:
        csv.write_text(_table(found), encoding="utf-8")
        out_console.print(str(csv), highlight=False)
    if html is not None:
        from pipeline.desk.series_page import series_page

        title = f"Temperature at {at}" if polygon is None else f"Mean temperature over {polygon.name}"
        told = {"standard error at most, K": mask_sigma, "flags": mask_flags, "since": since, "until": until}
        masks = [f"{words} {value}" for words, value in told.items() if value is not None]
        about = "; ".join([f"Products in {out.resolve().name}", *masks])
        html.write_text(series_page(found, title=title, about=about), encoding="utf-8")
        out_console.print(str(html), highlight=False)


def _table(found: xr.Dataset) -> str:
    """A line for every date, as comma-separated values."""
    first = ["time", "scene_id"]
    frame = found.to_dataframe().reset_index()
    order = [*first, *(name for name in found.data_vars), "day_or_night", "resampled", "product"]
    text: str = frame[order].to_csv(index=False, float_format="%.4f", date_format="%Y-%m-%dT%H:%M:%SZ")
    return text


def _point(words: str) -> tuple[float, float]:
    numbers = numbers_of("--at", words)
    if len(numbers) != 2 or not (-180 <= numbers[0] <= 180 and -90 <= numbers[1] <= 90):
        raise SettingsError(f"--at {words}: longitude,latitude in degrees is wanted, east and north positive")
    return numbers[0], numbers[1]


def _around(point: tuple[float, float] | None) -> tuple[float, float, float, float]:
    longitude, latitude = point or (0.0, 0.0)
    half = _AROUND_DEGREES / 2
    return longitude - half, latitude - half, longitude + half, latitude + half

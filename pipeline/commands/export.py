"""`export`: a product, or a part of it, for those who do not write Python."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pipeline.commands.options import MaskFlagsOption, MaskSigmaOption, numbers_of, out_console
from pipeline.errors import SettingsError

if TYPE_CHECKING:
    import xarray as xr

Form = Literal["netcdf", "cog", "png", "pdf", "csv"]
_ENDINGS = {"netcdf": ".nc", "cog": ".tif", "png": ".png", "pdf": ".pdf", "csv": ".csv"}


def export(
    product: Annotated[Path, typer.Argument(metavar="PRODUCT", help="A product's folder or its .zarr.")],
    to: Annotated[Form, typer.Option("--to", help="Form of the file.")] = "netcdf",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="File to write; beside you by default.")
    ] = None,
    box: Annotated[
        str | None, typer.Option("--box", metavar="W,S,E,N", help="Only this part, in degrees.")
    ] = None,
    mask_sigma: MaskSigmaOption = None,
    mask_flags: MaskFlagsOption = None,
) -> None:
    """Write a product as NetCDF, GeoTIFF, map for a paper or table."""
    from pipeline.desk.cube import open_products
    from pipeline.desk.map_picture import write_map_picture
    from pipeline.products.export import write_cog, write_csv, write_netcdf

    cube = open_products(
        product,
        box=None if box is None else _four(box),
        flags=None if mask_flags is None else numbers_of("--flags", mask_flags),
        most_sigma_k=mask_sigma,
    )
    if cube.sizes["time"] != 1:
        raise SettingsError(f"{product}: one product is wanted, {cube.sizes['time']} were found")
    path = out or Path(f"{cube.scene_id.item()}{_ENDINGS[to]}")
    if path.exists():
        raise SettingsError(f"{path} exists already; name another file with --out")
    alone = _alone(cube)
    if to == "png" or to == "pdf":
        write_map_picture(alone, path, to)
    else:
        writers: dict[str, Any] = {"netcdf": write_netcdf, "cog": write_cog, "csv": write_csv}
        writers[to](alone, path)
    out_console.print(str(path), highlight=False, soft_wrap=True)


def _alone(cube: xr.Dataset) -> xr.Dataset:
    """The one product in a cube, without the dimension of time and what a cube alone says along it."""
    of_cubes = [name for name, told in cube.coords.items() if {"time", "area"} & {*told.dims}]
    return cube.isel(time=0).drop_vars([name for name in of_cubes if name != "time"])


def _four(words: str) -> tuple[float, float, float, float]:
    numbers = numbers_of("--box", words)
    if len(numbers) != 4 or numbers[0] >= numbers[2] or numbers[1] >= numbers[3]:
        raise SettingsError(
            f"--box {words}: west,south,east,north in degrees is wanted, west and south first"
        )
    west, south, east, north = numbers
    return west, south, east, north

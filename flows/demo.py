"""A first look without any data of your own: scenes whose truth is known, and what became of them.

The scenes are drawn, not measured: rolling terrain, fields with sharp borders, a
river, a coast of cloud and two fires, seen by a sensor whose blur and noise we set.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import netCDF4
import numpy as np
import rasterio
import typer
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from rich.markup import escape
from rich.table import Table
from scipy import ndimage

from pipeline.cli import (
    EXIT_OK,
    EXIT_SOME_FAILED,
    JsonOption,
    SetOption,
    SettingsOption,
    app,
    out_console,
    print_json,
)
from pipeline.optics import TYPICAL_PSF_SIGMA_PX
from pipeline.settings import Settings
from pipeline.settings_sources import load_settings
from pipeline.superres.bases.base import bicubic
from pipeline.superres.sensing.degrade import Degrade
from pipeline.superres.sensing.holes import fill_nearest

SCALE = 4
LR_PX = 160
NEDT_K = 0.05
GSD_M = 280.0
FORMATS = ("npz", "nc", "tif")


def synthetic_truth(side_px: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """A thermal scene, (side_px, side_px) float32 kelvin: terrain, fields, a river, two fires."""
    y, x = np.mgrid[:side_px, :side_px] / side_px
    terrain = _rough_surface(side_px, generator, slope=2.2) * 4.0
    corners = generator.uniform(0, 1, (60, 2))
    nearest = np.argmin((y[..., None] - corners[:, 0]) ** 2 + (x[..., None] - corners[:, 1]) ** 2, axis=-1)
    fields = generator.normal(0, 3.0, len(corners))[nearest]
    course = 0.5 + 0.12 * np.sin(7 * x + generator.uniform(0, 6)) + 0.05 * np.sin(19 * x)
    river = np.abs(y - course) < 0.012
    texture = _rough_surface(side_px, generator, slope=1.2) * 0.6
    kelvin = 301.0 + terrain + fields + texture
    kelvin[river] = 293.0 + 0.3 * terrain[river]
    for row, column in generator.integers(side_px // 8, side_px - side_px // 8, (2, 2)):
        kelvin[row : row + 6, column : column + 6] += 90.0
    return np.asarray(kelvin, dtype=np.float32)


def write_demo_archive(folder: Path, seed: int = 7) -> dict[str, NDArray[np.float32]]:
    """Three scenes and a broken file in `folder`; returns the truths by file name, kelvin."""
    folder.mkdir(parents=True, exist_ok=True)
    truths: dict[str, NDArray[np.float32]] = {}
    for number, kind in enumerate(FORMATS):
        generator = np.random.default_rng([seed, number])
        truth = synthetic_truth(LR_PX * SCALE, generator)
        lr = Degrade.gaussian(SCALE, TYPICAL_PSF_SIGMA_PX)(truth)
        lr = (lr + generator.normal(0, NEDT_K, lr.shape)).astype(np.float32)
        if kind == "nc":
            lr[ndimage.gaussian_filter(generator.normal(size=lr.shape), 9) > 0.045] = np.nan  # clouds
        path = folder / f"demo_{number + 1}_20260801T10{number}000.{kind}"
        truths[path.name] = truth
        if not path.exists():
            _WRITERS[kind](path, lr)
    broken = folder / "demo_4_broken.tif"
    if not broken.exists():
        broken.write_bytes((folder / f"demo_3_20260801T102000.{FORMATS[2]}").read_bytes()[:3000])
    return truths


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for the demo's archive and products.")] = Path(
        ".demo"
    ),
    settings: SettingsOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sharpen three made scenes with known truth, and say how well that went."""
    from flows.cli import run_night

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
    figures = [f"recipe.degrade.psf_sigma_px={TYPICAL_PSF_SIGMA_PX}", f"recipe.degrade.nedt_k={NEDT_K}"]
    return [*figures, f"recipe.scale={SCALE}", *assignments]


def demo_settings(folder: Path, settings: Settings) -> Settings:
    """The settings with the demo's folders; its files are taken at once, young as they are."""
    archive = settings.archive.model_copy(update={"root": folder / "archive", "settle_s": 0.0})
    output = settings.output.model_copy(update={"root": folder / "products"})
    return settings.model_copy(update={"archive": archive, "output": output})


def demo_rows(
    report: dict[str, Any], settings: Settings, truths: dict[str, NDArray[np.float32]]
) -> list[dict[str, Any]]:
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


def _errors_k(store: Path, file: Path, truth: NDArray[np.float32]) -> dict[str, float]:
    with xr.open_zarr(store) as product:
        sharp = product["surface_temperature"].values
    lr = _READERS[file.suffix](file)
    smooth = bicubic(fill_nearest(lr), truth.shape[0] // lr.shape[0])
    if sharp.shape != truth.shape:
        return {}
    valid = np.isfinite(sharp)
    return {
        "rmse_k": float(np.sqrt(np.mean((sharp - truth)[valid].astype(np.float64) ** 2))),
        "bicubic_rmse_k": float(np.sqrt(np.mean((smooth - truth)[valid].astype(np.float64) ** 2))),
    }


def _print_rows(rows: list[dict[str, Any]], settings: Settings) -> None:
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


def _rough_surface(side_px: int, generator: np.random.Generator, *, slope: float) -> NDArray[np.float64]:
    """Noise whose amplitude falls with frequency to the power of -slope/2 - 1/2; zero mean, unit variance."""
    frequency = np.hypot(np.fft.fftfreq(side_px)[:, None], np.fft.rfftfreq(side_px)[None])
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(generator.normal(size=(side_px, side_px))) / frequency ** ((slope + 1) / 2)
    surface = np.fft.irfft2(spectrum, (side_px, side_px))
    return np.asarray(surface / surface.std())


def _write_npz(path: Path, lr: NDArray[np.float32]) -> None:
    transform = np.array(tuple(_TRANSFORM)[:6])
    np.savez_compressed(path, temperature=lr, units="K", crs="EPSG:32633", transform=transform)


def _write_nc(path: Path, lr: NDArray[np.float32]) -> None:
    with netCDF4.Dataset(path, "w") as file:
        for name, size in (("latitude", lr.shape[0]), ("longitude", lr.shape[1])):
            file.createDimension(name, size)
        step = 0.0025
        latitude = file.createVariable("latitude", "f8", ("latitude",))
        latitude[:] = 45.0 - step * (np.arange(lr.shape[0]) + 0.5)
        latitude.setncatts({"standard_name": "latitude", "units": "degrees_north"})
        longitude = file.createVariable("longitude", "f8", ("longitude",))
        longitude[:] = 14.0 + step * (np.arange(lr.shape[1]) + 0.5)
        longitude.setncatts({"standard_name": "longitude", "units": "degrees_east"})
        variable = file.createVariable("lst", "f4", ("latitude", "longitude"), fill_value=np.float32(-9999))
        variable.setncatts({"standard_name": "surface_temperature", "units": "K"})
        variable[:] = np.where(np.isfinite(lr), lr, np.float32(-9999))


def _write_tif(path: Path, lr: NDArray[np.float32]) -> None:
    profile = {
        "driver": "GTiff",
        "count": 1,
        "dtype": "float32",
        "compress": "deflate",
        "nodata": float("nan"),
    }
    height, width = lr.shape
    with rasterio.open(
        path, "w", **profile, height=height, width=width, crs="EPSG:32633", transform=_TRANSFORM
    ) as raster:
        raster.write(lr, 1)
        raster.set_band_unit(1, "K")
        raster.set_band_description(1, "surface_temperature")


def _read_nc(path: Path) -> NDArray[np.float32]:
    with netCDF4.Dataset(path) as file:
        return np.ma.filled(file["lst"][:].astype(np.float32), np.nan)


def _read_tif(path: Path) -> NDArray[np.float32]:
    with rasterio.open(path) as raster:
        return np.asarray(raster.read(1))


def _read_npz(path: Path) -> NDArray[np.float32]:
    with np.load(path, allow_pickle=False) as arrays:
        return np.asarray(arrays["temperature"])


_TRANSFORM = Affine(GSD_M, 0, 500_000, 0, -GSD_M, 5_300_000)
_WRITERS = {"npz": _write_npz, "nc": _write_nc, "tif": _write_tif}
_READERS = {".npz": _read_npz, ".nc": _read_nc, ".tif": _read_tif}

"""Scenes whose truth is known, written as an archive.

The scenes are drawn, not measured: rolling terrain, fields with sharp borders, a river and
two fires, in one scene clouds, seen by a sensor whose blur and noise we set.
"""

from __future__ import annotations

from pathlib import Path

import netCDF4
import numpy as np
import rasterio
from affine import Affine
from jaxtyping import Float32, Float64
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.optics import TYPICAL_PSF_SIGMA_PX
from pipeline.superres.sensing.degrade import Degrade

SCALE = 4
LR_PX = 160
NEDT_K = 0.05
GSD_M = 280.0
FORMATS = ("npz", "nc", "tif")


def synthetic_truth(side_px: int, generator: np.random.Generator) -> Float32[NDArray[np.float32], "y x"]:
    """A thermal scene, `side_px` pixels a side, in kelvin: terrain, fields, a river, two fires."""
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


def write_demo_archive(folder: Path, seed: int = 7) -> dict[str, Float32[NDArray[np.float32], "y x"]]:
    """Three scenes and a broken file in `folder`; returns the truths by file name, in kelvin."""
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


def read_demo_scene(path: Path) -> Float32[NDArray[np.float32], "y x"]:
    """The pixels of a scene that `write_demo_archive` wrote, in kelvin, NaN for no data."""
    if path.suffix == ".nc":
        with netCDF4.Dataset(path) as file:
            return np.ma.filled(file["lst"][:].astype(np.float32), np.nan)
    if path.suffix == ".tif":
        with rasterio.open(path) as raster:
            return np.asarray(raster.read(1))
    with np.load(path, allow_pickle=False) as arrays:
        return np.asarray(arrays["temperature"])


def _rough_surface(
    side_px: int, generator: np.random.Generator, *, slope: float
) -> Float64[NDArray[np.float64], "y x"]:
    """Noise whose amplitude falls with frequency to the power of -slope/2 - 1/2; zero mean, unit variance."""
    frequency = np.hypot(np.fft.fftfreq(side_px)[:, None], np.fft.rfftfreq(side_px)[None])
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(generator.normal(size=(side_px, side_px))) / frequency ** ((slope + 1) / 2)
    surface = np.fft.irfft2(spectrum, (side_px, side_px))
    return np.asarray(surface / surface.std())


def _write_npz(path: Path, lr: Float32[NDArray[np.float32], "y x"]) -> None:
    transform = np.array(tuple(_TRANSFORM)[:6])
    np.savez_compressed(path, temperature=lr, units="K", crs="EPSG:32633", transform=transform)


def _write_nc(path: Path, lr: Float32[NDArray[np.float32], "y x"]) -> None:
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


def _write_tif(path: Path, lr: Float32[NDArray[np.float32], "y x"]) -> None:
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


_TRANSFORM = Affine(GSD_M, 0, 500_000, 0, -GSD_M, 5_300_000)
_WRITERS = {"npz": _write_npz, "nc": _write_nc, "tif": _write_tif}

"""Real scenes for benchmarks: the most textured square without missing pixels, in kelvin.

They lie beside the project, in ../shared/scenes, and are no part of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
import xarray

from pipeline import raster

SCENES = Path(__file__).parents[2] / ".." / "shared" / "scenes"
SIZES_PX = (512, 384, 256, 192, 128, 96, 64)
PLAUSIBLE_K = (150, 1500)


@dataclass(frozen=True)
class BenchmarkScene:
    """Where a scene is and how it is read; `native` tells whether its grid is as fine as its sensor."""

    name: str
    load: Callable[[], np.ndarray]
    native: bool = True


def band(path: str, scale: float | None = None) -> Callable[[], np.ndarray]:
    """Reads a raster's first band as kelvin, NaN for no data."""

    def load() -> np.ndarray:
        with rasterio.open(SCENES / path) as source:
            counts = source.read(1)
            factor = source.scales[0] if scale is None else scale
            missing = np.zeros(counts.shape, bool) if source.nodata is None else counts == source.nodata
        return _plausible(np.where(missing, np.nan, counts.astype(np.float32) * np.float32(factor)))

    return load


def variable(path: str, name: str) -> Callable[[], np.ndarray]:
    """Reads a NetCDF variable as kelvin, NaN for no data."""

    def load() -> np.ndarray:
        with xarray.open_dataset(SCENES / path) as source:
            return _plausible(np.asarray(source[name].squeeze(), dtype=np.float32))

    return load


def _plausible(kelvin: np.ndarray) -> np.ndarray:
    good = np.isfinite(kelvin) & (kelvin >= PLAUSIBLE_K[0]) & (kelvin <= PLAUSIBLE_K[1])
    return np.where(good, kelvin, np.nan).astype(np.float32)


ECOSTRESS = {
    "eco LA 183 night": "doy2023183080644",
    "eco LA 205": "doy2023205231732",
    "eco LA 209": "doy2023209214058",
    "eco LA 217": "doy2023217182715",
    "eco LA 219": "doy2023219014701",
}
SALTON_SEA = "ecostress/ECOv002_L2T_LSTE_34366_004_11SPS_20240728T204025_0712_01_LST.tif"
NW_MED, ALBORAN = (f"slstr/S3_SLSTR_WST_{name}_1km_multivar.nc" for name in ("NW_med", "Alboran"))
GOES = "goes/G16_ABI_C08_6.2um_BT_K_20170711T1817_crop1024_geos.nc"
MODIS = "modis/MOD11A1.A2019305.h14v09.006_LST_{}_1km_sinusoidal_uint16.tif"
LANDSAT = "landsat/LC80400282014193LGN00_B10_brightness_temp_K_float32.TIF"
SLSTR_VARIABLES = (
    "brightness_temperature_8",
    "brightness_temperature_11",
    "brightness_temperature_12",
    "sea_surface_temperature",
)


def benchmark_scenes() -> list[BenchmarkScene]:
    """Every real scene that a table is made of; empty where the folder is absent."""
    if not SCENES.is_dir():
        return []
    scenes = [
        BenchmarkScene(name, band(f"ecostress/ECO_L2_LSTE.002_LST_{day}_aid0001.tif"))
        for name, day in ECOSTRESS.items()
    ]
    scenes.append(BenchmarkScene("eco Salton Sea", band(SALTON_SEA)))
    for place, path in (("NW Med", NW_MED), ("Alboran", ALBORAN)):
        with xarray.open_dataset(SCENES / path) as source:
            names = [str(name) for name in source.data_vars if not str(name).startswith("crs")]
        scenes += [BenchmarkScene(f"slstr {place} {_short(name)}", variable(path, name)) for name in names]
    with xarray.open_dataset(SCENES / GOES) as source:
        largest = max(source.data_vars, key=lambda name: source[name].size)
    scenes.append(BenchmarkScene("goes C08", variable(GOES, str(largest))))
    scenes += [
        BenchmarkScene(f"modis {time}", band(MODIS.format(time), scale=0.02)) for time in ("Day", "Night")
    ]
    scenes.append(BenchmarkScene("landsat 8 B10", band(LANDSAT), native=False))
    return scenes


def _short(name: str) -> str:
    return name.replace("brightness_temperature", "bt").replace("sea_surface_temperature", "sst")


def most_textured_square(kelvin: np.ndarray, sizes: tuple[int, ...] = SIZES_PX) -> np.ndarray | None:
    """The square with the steepest gradients and nothing missing, of the largest size that fits."""
    square = raster.most_textured_square(kelvin, sizes)
    return None if square is None else square.astype(np.float32)

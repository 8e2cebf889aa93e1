"""How the products of two recipes or versions differ: kelvin, and the reasons that their records give.

Products belong together when their scenes have the same content. Where one has a finer grid, its pixels are
averaged to the other's, in kelvin.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from jaxtyping import Float32, Float64
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pydantic import ValidationError
from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError
from rasterio.windows import Window

from pipeline.errors import DamagedProductError, UnusableInputError
from pipeline.nights.upkeep import products_below
from pipeline.products.layout import MANIFEST, manifest_digest
from pipeline.products.product_files import store_in
from pipeline.products.publish import read_manifest
from pipeline.products.records import read_provenance
from pipeline.raster import block_means
from pipeline.recipe import Recipe
from pipeline.text import latin_line, one_line

ROWS = 512  # of the coarser product, held in memory at a time
PICTURE_PX = 1024
LEAST_RANGE_K = 0.01  # of a picture's colors, either way

Plane = Float32[NDArray[np.float32], "y x"]


@dataclass(frozen=True)
class Difference:
    """The second product minus the first.

    Attributes:
        scene_id: The scene, as the second product calls it.
        first: Folder of the first product.
        second: Folder of the second product.
        pixels: Pixels of the coarser grid that both know.
        only_one: Pixels that only one of them knows.
        mean_k: Mean difference; NaN without a pixel.
        rms_k: Root of its mean square.
        largest_k: Largest absolute difference.
        beyond_fraction: Share of pixels that differ by more than the standard errors of both together; NaN
            where a product has none.
        reasons: What the records say of the cause, a line each, most telling first.
    """

    scene_id: str
    first: Path
    second: Path
    pixels: int
    only_one: int
    mean_k: float
    rms_k: float
    largest_k: float
    beyond_fraction: float
    reasons: tuple[str, ...]


def pairs(first: Path, second: Path) -> tuple[list[tuple[Path, Path]], int]:
    """Products of the same scenes in two folders, and how many have no partner.

    Raises:
        UnusableInputError: A folder holds no product, or several of one scene; or none has a partner.
    """
    ours, theirs = _by_content(first), _by_content(second)
    common = sorted(ours.keys() & theirs.keys(), key=lambda digest: theirs[digest].name)
    if not common:
        raise UnusableInputError(f"{first} and {second} have no scene in common")
    return [(ours[digest], theirs[digest]) for digest in common], len(ours.keys() ^ theirs.keys())


def difference(first: Path, second: Path, maps: Path | None = None) -> Difference:
    """Compare two products of one scene.

    Args:
        first: Folder of a product.
        second: Folder of another one.
        maps: Folder for `<scene>_delta_k.tif` and `.png`; None for none.

    Raises:
        DamagedProductError: A product lacks a file, or its record does not say how it was made.
        UnusableInputError: The pictures cover different ground.
    """
    target = None if maps is None else maps / f"{second.name}_delta_k.tif"
    with warnings.catch_warnings(), rasterio.Env(GDAL_PAM_ENABLED="NO"):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with _Rasters.opened(first) as a, _Rasters.opened(second) as b:
            sums = _accumulate(a, b, target)
    reasons = tuple(why(first, second))
    if target is not None:
        _draw(target, f"{second.name}: second minus first", sums["rms_k"])
    return Difference(second.name, first, second, reasons=reasons, **sums)


def why(first: Path, second: Path) -> Iterator[str]:
    """What differs in how two products were made, from their records."""
    then, now = read_provenance(first), read_provenance(second)
    yield from _changes("recipe.", _acting(then["recipe"]), _acting(now["recipe"]))
    if then["recipe"].get("prior_sha256") != now["recipe"].get("prior_sha256"):
        digests = (str(each["recipe"].get("prior_sha256") or "none")[:8] for each in (then, now))
        yield f"prior: {' -> '.join(digests)}"
    versions = [read_manifest(product).get("code_version", "not said") for product in (first, second)]
    if versions[0] != versions[1]:
        yield f"code version: {versions[0]} -> {versions[1]}"
    for group in ("archive", "run"):
        yield from _changes(f"{group}.", *_both(_settings(then, group), _settings(now, group)))
    for group, prefix in (("software", ""), ("device", "device "), ("forward_model", "")):
        yield from _changes(prefix, *_both(then.get(group) or {}, now.get(group) or {}))
    if then.get("gain") != now.get("gain"):
        gains = (f"{made['gain']:.3f}" if made.get("gain") is not None else "none" for made in (then, now))
        yield f"gain, in consequence: {' -> '.join(gains)}"


def _settings(made: Mapping[str, Any], group: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (made.get("settings") or {}).get(group) or {}
    return found


def _both(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What both say, by dotted name; threads change no pixel, and the version of our code is said apart."""
    first, second = _flat(old), _flat(new)
    names = (first.keys() & second.keys()) - {"threads", "thermal-sr"}
    return {name: first[name] for name in names}, {name: second[name] for name in names}


def _acting(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What acts in a recipe; all of it where this version does not know it."""
    try:
        return Recipe.model_validate(recipe).acting()
    except ValidationError:
        return {name: value for name, value in _flat(recipe).items() if name != "prior_sha256"}


def _changes(prefix: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted(old.keys() | new.keys()):
        said = [json.dumps(each[name]) if name in each else "not there" for each in (old, new)]
        if said[0] != said[1]:
            yield one_line(f"{prefix}{name}: {said[0]} -> {said[1]}", 160)


def _flat(tree: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in tree.items():
        found |= _flat(value, f"{above}{name}.") if isinstance(value, Mapping) else {f"{above}{name}": value}
    return found


def _by_content(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for product in products_below(folder):
        digest = manifest_digest(product)
        if digest is None:
            raise DamagedProductError(f"{product}: {MANIFEST} names no content")
        if digest in found:
            raise UnusableInputError(
                f"{folder} holds two products of one scene, {found[digest]} and {product}; "
                "name a recipe's folder"
            )
        found[digest] = product
    if not found:
        raise UnusableInputError(f"{folder}: no product here or below")
    return found


@dataclass(frozen=True)
class _Rasters:
    """A product's temperature and standard error, opened.

    Attributes:
        temperature: Raster of kelvin.
        uncertainty: Raster of kelvin.
    """

    temperature: Any
    uncertainty: Any

    @classmethod
    def opened(cls, product: Path) -> _Rasters:
        """Both GeoTIFFs of a product.

        Raises:
            DamagedProductError: One of them is not there or does not open.
        """
        stem = store_in(product).stem
        try:
            kelvin = rasterio.open(product / f"{stem}.tif", driver="GTiff")
            return cls(kelvin, rasterio.open(product / f"{stem}_uncertainty.tif", driver="GTiff"))
        except RasterioIOError as error:
            raise DamagedProductError(f"{product.name}: {one_line(error)}") from error

    def __enter__(self) -> _Rasters:
        return self

    def __exit__(self, *_: object) -> None:
        self.temperature.close()
        self.uncertainty.close()

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return int(self.temperature.height), int(self.temperature.width)

    def rows(self, row: int, count: int, times: int) -> tuple[Plane, Plane]:
        """Rows of a grid that is `times` coarser: means of kelvin, and the standard errors' means."""
        window = Window(0, row * times, self.shape[1], count * times)
        return tuple(  # type: ignore[return-value]
            block_means(raster.read(1, window=window), times, least_valid=times**2).astype(np.float32)
            for raster in (self.temperature, self.uncertainty)
        )


def _accumulate(a: _Rasters, b: _Rasters, target: Path | None) -> dict[str, Any]:
    """The figures of a difference, and its GeoTIFF where one is wanted."""
    shape = min(a.shape, b.shape)
    times = [each.shape[0] // shape[0] for each in (a, b)]
    if any(each.shape != (shape[0] * k, shape[1] * k) for each, k in zip((a, b), times, strict=True)):
        raise UnusableInputError(f"products of {a.shape} and {b.shape} pixels do not cover the same ground")
    pixels = only_one = beyond = 0
    total = squares = largest = 0.0
    coarse = a if a.shape == shape else b
    with _written(target, coarse.temperature) as write:
        for row in range(0, shape[0], ROWS):
            count = min(ROWS, shape[0] - row)
            (first, first_error), (second, second_error) = (
                a.rows(row, count, times[0]),
                b.rows(row, count, times[1]),
            )
            delta = second - first
            known = np.isfinite(delta)
            values: Float64[NDArray[np.float64], " n"] = delta[known].astype(np.float64)
            pixels += values.size
            only_one += int((np.isfinite(first) ^ np.isfinite(second)).sum())
            total, squares = total + float(values.sum()), squares + float((values**2).sum())
            largest = max(largest, float(np.abs(values).max(initial=0.0)))
            beyond += int((np.abs(delta) > np.hypot(first_error, second_error))[known].sum())
            write(delta, row)
    nothing = float("nan")
    return {
        "pixels": pixels,
        "only_one": only_one,
        "mean_k": total / pixels if pixels else nothing,
        "rms_k": math.sqrt(squares / pixels) if pixels else nothing,
        "largest_k": largest if pixels else nothing,
        "beyond_fraction": beyond / pixels if pixels else nothing,
    }


@contextmanager
def _written(target: Path | None, like: Any) -> Iterator[Callable[[Plane, int], None]]:
    """A function that takes rows of the difference: it writes them into a GeoTIFF, or lets them go."""
    if target is None:
        yield lambda _delta, _row: None
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    profile = {name: like.profile[name] for name in ("width", "height", "crs", "transform")}
    floats = {
        "driver": "GTiff",
        "dtype": "float32",
        "count": 1,
        "nodata": float("nan"),
        "bigtiff": "IF_SAFER",
    }
    with rasterio.open(
        target, "w", **profile, **floats, tiled=True, compress="deflate", predictor=3
    ) as raster:
        raster.descriptions, raster.units = ("second product minus first",), ("K",)

        def write(delta: Plane, row: int) -> None:
            raster.write(delta, 1, window=Window(0, row, delta.shape[1], delta.shape[0]))

        yield write


def _draw(raster: Path, title: str, rms_k: float) -> Path:
    """The map as a picture beside it: red where the second product is warmer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(raster, driver="GTiff") as source:
            step = max(1, math.ceil(max(source.shape) / PICTURE_PX))
            shape = tuple(max(1, side // step) for side in source.shape)
            delta = source.read(1, out_shape=shape, resampling=Resampling.average, masked=True)
    known = np.abs(delta.compressed())
    range_k = max(float(np.percentile(known, 98)) if known.size else 0.0, LEAST_RANGE_K)
    width_in = 9.0
    figure = Figure(figsize=(width_in, width_in * min(shape[0] / shape[1], 2) * 0.8 + 0.8), dpi=110)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_facecolor("0.6")
    picture = axes.imshow(delta, cmap="RdBu_r", vmin=-range_k, vmax=range_k, interpolation="nearest")
    axes.set_title(f"{latin_line(title)}, RMS {rms_k:.3g} K", fontsize=9)
    axes.set_axis_off()
    figure.colorbar(picture, ax=axes, shrink=0.8, extend="both", label="K; red: the second is warmer")
    path = raster.with_suffix(".png")
    figure.savefig(path, bbox_inches="tight")
    return path

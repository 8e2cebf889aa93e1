"""Wald's protocol, end to end through the product's own code.

A real scene is taken for the truth, degraded, sharpened as any scene would be, written and read
back, and compared with the truth beside the methods that need no learning.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import rasterio
import rasterio.errors
from jaxtyping import Float32, Integer
from numpy.typing import NDArray

from pipeline.errors import SettingsError, UnusableInputError
from pipeline.grid import Window
from pipeline.optics import TYPICAL_PSF_SIGMA_PX
from pipeline.process import resolve_device
from pipeline.products.store.zarr_store import aligned_tile_px, open_store, temperature_name, write_store
from pipeline.raster import fill_nearest, most_textured_whole
from pipeline.recipe import Recipe
from pipeline.recipe_files import load_kernel, load_pretrained, load_prior
from pipeline.recipe_settings import DegradeSettings
from pipeline.scene import Enhancement, Scene
from pipeline.settings import Settings
from pipeline.superres.bases.base import back_project, bicubic, fit_base
from pipeline.superres.enhance import enhance
from pipeline.superres.networks.device import share_threads
from pipeline.superres.sensing.degrade import Degrade
from pipeline.superres.sensing.measured import Measured
from pipeline.superres.sensing.native_grid import native_grid
from pipeline.trials.metrics import accuracy, errors_by_class, errors_by_gradient, seam_index, shift_px

Plane: TypeAlias = Float32[NDArray[np.float32], "_ _"]
Classes: TypeAlias = Integer[NDArray[np.integer], "_ _"]
NOISE_SEED = 1234


@dataclasses.dataclass(frozen=True)
class Degradation:
    """How the scene is made of the reference.

    Attributes:
        degrade: The forward model.
        psf_sigma_px: Its Gaussian, as a recipe would be told; None where it is none.
    """

    degrade: Degrade
    psf_sigma_px: float | None


def degradation(text: str, scale: int) -> Degradation:
    """What a short text names: "mtf", "mtf:0.45", "area", "bicubic".

    Raises:
        SettingsError: If the text names none.
    """
    kind, _, figure = text.partition(":")
    if text == "bicubic":
        return Degradation(Degrade.cubic(scale), None)
    if text == "area" or kind == "mtf":
        try:
            sigma_px = 0.0 if text == "area" else float(figure or TYPICAL_PSF_SIGMA_PX)
            return Degradation(Degrade.gaussian(scale, sigma_px), sigma_px)
        except ValueError as error:
            raise SettingsError(f"--degradation {text!r}: {error}") from error
    raise SettingsError(f"--degradation: mtf, mtf:SIGMA, area or bicubic is wanted, found {text!r}")


def evaluate(
    reference: Scene,
    settings: Settings,
    *,
    degraded: Degradation,
    noise_k: float,
    size_px: int = 512,
    classes: Path | None = None,
) -> dict[str, Any]:
    """Degrade the reference, sharpen it, compare.

    Args:
        reference: The truth.
        settings: The recipe to judge; a blur or noise that it does not state is told to it as it is.
        degraded: What makes the scene of the reference.
        noise_k: Standard deviation of the noise added to the scene, in kelvin.
        size_px: Side of the part of the reference that is used, in its own pixels: the most textured square
            without holes, halved until there is one.
        classes: Map of land classes on the reference's grid, as `read_classes` takes it; None for none.

    Returns:
        Plain JSON: what was done, and figures by method, errors by gradient and by class
        among them. `process_s` are seconds of all processors: for
        the product what a run needs, from the scene to its store and with the tiles of a run; for the other
        methods what they compute.

    Raises:
        UnusableInputError: If no such square is left, or a setting does not fit the scene.
    """
    degrade = degraded.degrade
    reference, square, truth, scene = degraded_square(
        reference, settings.recipe.degrade, degraded, noise_k=noise_k, size_px=size_px
    )
    lr, recipe = scene.temperature, told_recipe(settings.recipe, degraded, noise_k)
    start = time.process_time()
    answer, enhancement = _product(scene, settings, recipe)
    seconds = time.process_time() - start
    tile_px = aligned_tile_px(settings.run.tile_px, settings.output.chunk_px, degrade.scale) * degrade.scale
    land = None if classes is None else read_classes(classes, reference.temperature.shape)[square.slices]
    rows = {"product": {**_figures(answer, truth, lr, degrade, tile_px, land), "process_s": seconds}}
    for name, method in methods_without_learning(degrade, noise_k, recipe.seed).items():
        start = time.process_time()
        hr = method(lr)
        seconds = time.process_time() - start
        rows[name] = {**_figures(hr, truth, lr, degrade, tile_px, land), "process_s": seconds}
    return {
        "reference": reference.ref.scene_id,
        "size_px": list(truth.shape),
        "scale": degrade.scale,
        "noise_k": noise_k,
        "recipe": recipe.label,
        "gain": enhancement.figures.get("gain"),
        "fallback": enhancement.fallback,
        "methods": rows,
    }


class DegradedSquare(NamedTuple):
    """A square of a reference, and the scene that a sensor would have of it.

    Attributes:
        reference: On its sensor's own grid where the settings ask for that.
        square: Where it lies on the reference.
        truth: Its kelvin.
        scene: Degraded, with noise.
    """

    reference: Scene
    square: Window
    truth: Plane
    scene: Scene


def degraded_square(
    reference: Scene, settings: DegradeSettings, degraded: Degradation, *, noise_k: float, size_px: int
) -> DegradedSquare:
    """The most textured square of a reference, degraded; the same noise every time.

    Raises:
        UnusableInputError: As `truth_square`.
    """
    reference = native_grid(Measured.of(reference, settings), settings).measured.scene
    scale = degraded.degrade.scale
    square = truth_square(reference.temperature, size_px, scale)
    truth = np.ascontiguousarray(reference.temperature[square.slices])
    shape = truth.shape[0] // scale, truth.shape[1] // scale
    noise = np.random.default_rng(NOISE_SEED).normal(0, noise_k, shape)
    lr = np.asarray(degraded.degrade(truth) + noise, dtype=np.float32)
    return DegradedSquare(reference, square, truth, coarse_scene(reference, square, lr, scale))


def enhanced(scene: Scene, settings: Settings, recipe: Recipe) -> Enhancement:
    """The scene by a recipe with the prior and kernel that it names, on the settings' device."""
    return enhance(
        scene,
        recipe,
        device=resolve_device(settings.run.device),
        prior=load_prior(recipe),
        pretrained=load_pretrained(recipe),
        kernel=load_kernel(recipe),
    )


def told_recipe(recipe: Recipe, degraded: Degradation, noise_k: float) -> Recipe:
    """The recipe, knowing the blur and noise of the test as it would know those of a sensor."""
    updates: dict[str, Any] = {}
    known = recipe.degrade
    if known.psf_sigma_px is None and known.mtf_nyquist is None and known.kernel is None:
        nyquist = min(float(degraded.degrade.mtf(0.5)), 0.6366)
        sigma_px = degraded.psf_sigma_px
        updates |= {"mtf_nyquist": nyquist} if sigma_px is None else {"psf_sigma_px": sigma_px}
    if known.nedt_k is None:
        updates["nedt_k"] = noise_k
    if known.domain == "auto":
        updates["domain"] = "kelvin"  # the test averages kelvin
    updates["native"] = "off"  # the reference was averaged already
    return recipe.model_copy(
        update={"degrade": known.model_copy(update=updates), "scale": degraded.degrade.scale}
    )


def truth_square(temperature: Plane, size_px: int, scale: int) -> Window:
    """Where the square without holes that has the largest gradients lies, its side a multiple of the scale.

    Raises:
        UnusableInputError: If no square of at least 16 coarse pixels is without holes.
    """
    side = min(size_px, *temperature.shape) // scale * scale
    sides = []
    while side >= 16 * scale:
        sides.append(side)
        side = side // 2 // scale * scale
    if (square := most_textured_whole(temperature, sides)) is not None:
        return square
    raise UnusableInputError(
        f"no square of {16 * scale} x {16 * scale} pixels without holes in {temperature.shape[0]} x "
        f"{temperature.shape[1]}: nothing to evaluate on at x{scale}; name a larger scene or a smaller scale"
    )


def coarse_scene(reference: Scene, square: Window, lr: Plane, scale: int) -> Scene:
    """The degraded square as a scene of its own: same sensor and quantity, a coarser grid at its place."""
    grid = reference.grid.crop(square.row, square.column, square.height, square.width).coarsen(scale)
    gsd_m = (reference.gsd_m[0] * scale, reference.gsd_m[1] * scale)
    return dataclasses.replace(reference, grid=grid, temperature=lr, gsd_m=gsd_m, quantization_k=0.0)


def _product(scene: Scene, settings: Settings, recipe: Recipe) -> tuple[Plane, Enhancement]:
    """What a product of this scene would hold, with the threads and tiles of a run, from its store."""
    share_threads(settings.run.workers, settings.run.threads)
    enhancement = enhanced(scene, settings, recipe)
    with tempfile.TemporaryDirectory(prefix="thermal-sr-") as folder:
        path = Path(folder) / "evaluated.zarr"
        write_store(
            enhancement,
            path,
            chunk_px=settings.output.chunk_px,
            compression=settings.output.compression,
            tile_px=settings.run.tile_px,
            workers=settings.run.tiles_at_a_time,
        )
        with open_store(path) as store:
            return np.asarray(store[temperature_name(store)].values, dtype=np.float32), enhancement


def methods_without_learning(
    degrade: Degrade, noise_k: float, seed: int
) -> Mapping[str, Callable[[Plane], Plane]]:
    """What a network must beat, by name; each takes (y, x) kelvin."""

    def tikhonov(lr: Plane) -> Plane:
        valid = np.isfinite(lr)
        base = fit_base("tikhonov", fill_nearest(lr), valid, degrade, noise_k, np.random.default_rng(seed))
        return np.asarray(base(lr))

    return {
        "bicubic": lambda lr: np.asarray(bicubic(lr, degrade.scale)),
        "back_projected": lambda lr: np.asarray(back_project(lr, degrade)),
        "tikhonov": tikhonov,
    }


def read_classes(path: Path, shape: tuple[int, ...]) -> Classes:
    """A map of land classes: whole numbers in an NPY file, or in the first band of a GeoTIFF.

    Raises:
        UnusableInputError: If it cannot be read, or is no map of this shape.
    """
    try:
        if path.suffix.lower() == ".npy":
            found = np.load(path, allow_pickle=False)
        else:
            with rasterio.open(path) as file:
                found = file.read(1)
    except (OSError, ValueError, rasterio.errors.RasterioError) as error:
        reason = " ".join(str(error).split())
        raise UnusableInputError(f"{path.name}: is no map of classes: {reason}") from error
    if found.shape != shape or found.dtype.kind not in "iu":
        raise UnusableInputError(
            f"{path.name}: a map of classes in whole numbers of {shape[0]} x {shape[1]} pixels is wanted, as "
            f"many as the scene has, found {found.dtype} of {' x '.join(map(str, found.shape))}"
        )
    return np.asarray(found)


def _figures(
    hr: Plane, truth: Plane, lr: Plane, degrade: Degrade, tile_px: int, land: Classes | None
) -> dict[str, Any]:
    """Accuracy, and what shows of tiles of `tile_px` product pixels; NaN where there is one tile only."""
    shift_y, shift_x = shift_px(hr, truth)
    return {
        **dataclasses.asdict(accuracy(hr, truth, lr, degrade)),
        "seam_index": seam_index(hr, tile_px, degrade.scale) if min(hr.shape) > tile_px else float("nan"),
        "shift_lr_px": float(np.hypot(shift_y, shift_x)) / degrade.scale,
        "rmse_k_by_gradient": errors_by_gradient(hr, truth, 2 * degrade.scale),
        "rmse_k_by_class": {} if land is None else errors_by_class(hr, truth, land, 2 * degrade.scale),
    }

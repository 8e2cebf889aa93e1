"""Ordinary pictures in place of scenes: to try a network, and to repeat the tables of papers.

A picture holds gray levels and no kelvin, so it is never a scene of an archive and never a product: its
levels are stretched over a range of temperatures for the way through the network, and come back as levels.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float32, Float64, UInt8
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from skimage.metrics import structural_similarity

from pipeline.errors import UnusableInputError
from pipeline.files import digest_of
from pipeline.grid import Grid, tile_windows
from pipeline.recipe import Recipe
from pipeline.scene import Scene, SceneRef, Sensor
from pipeline.settings import Settings
from pipeline.superres.bases.base import bicubic
from pipeline.superres.sensing.degrade import Degrade
from pipeline.trials.evaluate import Degradation, enhanced, told_recipe

Levels: TypeAlias = Float64[NDArray[np.float64], "_ _"]
SETS = ("Set5", "Set14", "B100", "Urban100", "Manga109", "DIV2K")
TRUTH_FOLDERS = ("GTmod12", "HR", "original", "DIV2K_valid_HR")  # where sets keep their full pictures
KINDS = (".png", ".jpg", ".jpeg", ".bmp")
MOST_PIXELS = 100_000_000
TILE_PX = 256
LOWEST_K, K_A_LEVEL = 200.0, 120 / 255
NO_SENSOR = Sensor("no sensor: a picture without kelvin", float("nan"), 0.0, 0.0, float("nan"), "none")


def read_picture(path: Path) -> UInt8[NDArray[np.uint8], "y x band"]:
    """The pixels of a PNG, JPEG or BMP, one band or three.

    Raises:
        UnusableInputError: If it is none, or damaged, or too large.
    """
    try:
        with Image.open(path, formats=("PNG", "JPEG", "BMP")) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                size = f"{picture.width} x {picture.height}"
                raise UnusableInputError(f"{path.name}: {size} pixels, at most {MOST_PIXELS:,} are read")
            gray = picture.mode in ("1", "L", "I;16", "I", "LA")
            return np.atleast_3d(np.asarray(picture.convert("L" if gray else "RGB")))
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        reason = " ".join(str(error).split())
        raise UnusableInputError(f"{path.name}: is no picture that can be read: {reason}") from error


def luminance(picture: UInt8[NDArray[np.uint8], "y x band"]) -> Levels:
    """(y, x) the Y of YCbCr, 16 to 235, by which papers count; a gray picture's three bands are alike.

    Source: ITU-R BT.601, as MATLAB's rgb2ycbcr.
    """
    red, green, blue = (picture[..., min(band, picture.shape[2] - 1)].astype(np.float64) for band in range(3))
    return 16 + (65.481 * red + 128.553 * green + 24.966 * blue) / 255


def reduced(
    picture: UInt8[NDArray[np.uint8], "y x band"], scale: int
) -> UInt8[NDArray[np.uint8], "_ _ band"]:
    """The picture made smaller by the anti-aliased bicubic of papers, in whole levels."""
    degrade = Degrade.cubic(scale)
    bands = [degrade(picture[..., band].astype(np.float64)) for band in range(picture.shape[2])]
    return np.clip(np.round(np.stack(bands, axis=-1)), 0, 255).astype(np.uint8)


def psnr_and_ssim(answer: Levels, truth: Levels, shave_px: int) -> tuple[float, float]:
    """PSNR in dB and SSIM of whole levels (peak 255), without the border; windows of 11 x 11 pixels."""
    inner = np.s_[shave_px : truth.shape[0] - shave_px, shave_px : truth.shape[1] - shave_px]
    one, other = np.round(answer[inner]), np.round(truth[inner])
    error = float(np.mean((one - other) ** 2))
    psnr_db = float("inf") if error == 0 else 10 * np.log10(255**2 / error)
    ssim = structural_similarity(  # type: ignore[no-untyped-call]
        one, other, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    return float(psnr_db), float(ssim)


def enlarge_levels(path: Path, levels: Levels, settings: Settings, recipe: Recipe) -> Levels:
    """(y, x) gray levels of a picture made finer by a recipe, clipped to 0 to 255."""
    kelvin = (LOWEST_K + K_A_LEVEL * levels).astype(np.float32)
    grid = Grid(None, None, *kelvin.shape)
    ref = SceneRef(path.stem, "picture", (str(path),), digest_of([path]))
    scene = Scene(ref, NO_SENSOR, "surface_temperature", grid, kelvin)
    made = enhanced(scene, settings, recipe)
    finer: Float32[NDArray[np.float32], "_ _"] = np.empty(made.grid.shape, np.float32)
    for window in tile_windows(grid.shape, TILE_PX):
        finer[window.refine(recipe.scale).slices] = made.compute(window).temperature
    return np.clip((finer.astype(np.float64) - LOWEST_K) / K_A_LEVEL, 0, 255)


def enlarge_picture(path: Path, settings: Settings) -> UInt8[NDArray[np.uint8], "_ _"]:
    """A picture's gray levels made finer: for a first look at a network, and nothing to measure on."""
    gray = read_picture(path)
    levels = gray[..., 0].astype(np.float64) if gray.shape[2] == 1 else luminance(gray)
    recipe = told_recipe(settings.recipe, Degradation(Degrade.cubic(settings.recipe.scale), None), 0.0)
    return np.round(enlarge_levels(path, levels, settings, recipe)).astype(np.uint8)


def find_sets(root: Path, names: Sequence[str] = SETS) -> dict[str, list[Path]]:
    """The pictures of every set in a local folder, which is one set itself where it holds none of them.

    Raises:
        UnusableInputError: If there is no picture.
    """
    folders = {name: root / name for name in names if (root / name).is_dir()} or {root.name: root}
    found = {}
    for name, folder in folders.items():
        within = next((folder / each for each in TRUTH_FOLDERS if (folder / each).is_dir()), folder)
        found[name] = sorted(file for file in within.iterdir() if file.suffix.lower() in KINDS)
    if not any(found.values()):
        raise UnusableInputError(f"{root}: no PNG, JPEG or BMP in it, nor in {', '.join(names)} below it")
    return found


def benchmark(
    sets: Mapping[str, Sequence[Path]],
    networks: Mapping[str, Settings],
    scale: int,
    told: Callable[[str], None] = lambda _: None,
) -> list[dict[str, Any]]:
    """PSNR and SSIM of every network on every picture, as papers on super-resolution count them.

    A picture is cut to whole coarse pixels, made smaller by the bicubic of papers and to whole levels, made
    finer again, and compared by its luminance without a border of `scale` pixels.
    """
    rows = []
    for name, path in ((name, path) for name, paths in sets.items() for path in paths):
        whole = read_picture(path)
        height, width = (size // scale * scale for size in whole.shape[:2])
        truth = luminance(whole[:height, :width])
        levels = luminance(reduced(whole[:height, :width], scale))
        about = {"set": name, "picture": path.name, "scale": scale}
        told(f"{name} {path.name} x{scale}")
        smooth = np.asarray(bicubic(levels, scale), dtype=np.float64)
        psnr_db, ssim = psnr_and_ssim(smooth, truth, scale)
        rows.append({**about, "method": "bicubic", "psnr_db": psnr_db, "ssim": ssim, "process_s": 0.0})
        for method, settings in networks.items():
            start = time.process_time()
            recipe = told_recipe(settings.recipe, Degradation(Degrade.cubic(scale), None), 0.0)
            answer = enlarge_levels(path, levels, settings, recipe)
            psnr_db, ssim = psnr_and_ssim(answer, truth, scale)
            seconds = time.process_time() - start
            rows.append({**about, "method": method, "psnr_db": psnr_db, "ssim": ssim, "process_s": seconds})
    return rows


def set_means(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row a set, enlargement and method: the means over its pictures, as papers print them."""
    groups: dict[tuple[str, int, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["set"], row["scale"], row["method"]), []).append(row)
    return [
        {
            "set": name,
            "scale": scale,
            "method": method,
            "pictures": len(found),
            "psnr_db": float(np.mean([row["psnr_db"] for row in found])),
            "ssim": float(np.mean([row["ssim"] for row in found])),
        }
        for (name, scale, method), found in groups.items()
    ]

"""What a product adds to real grids as they are delivered, where no truth is known.

    python -m tests.benchmarks.real_grids [--scale 2] [--set KEY=VALUE ...]

"Nyquist" is the amplitude at the frequencies of the scene's pixels (a checkerboard, rows, columns), of the
product and of what it adds to bicubic, in damaged places and elsewhere. "Beyond" is how far the 99.9th
percentile of the pixels leaves the range of the 5 x 5 scene pixels around it: ringing at edges. "Variation"
is the slope along edges, at the steepest tenth, over bicubic's: 1 for smooth edges, more for beads.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from scipy import ndimage

from pipeline.grid import Grid, Window
from pipeline.raster import split_pixels
from pipeline.recipe_files import load_prior
from pipeline.scene import FLAG_ARTIFACT, Scene, SceneRef, Sensor
from pipeline.settings_sources import load_settings
from pipeline.superres.bases.base import bicubic
from pipeline.superres.enhance import enhance
from pipeline.superres.prior.prior_pairs import PriorScene
from pipeline.superres.sensing.holes import fill_nearest
from tests.benchmarks.prior_scenes import real_scenes

SIDE_PX = 320
PLACES = ("Salton Sea", "Los Angeles", "Idaho lava", "Brazil", "western Mediterranean", "Texas sky")
AROUND_PX = 5
NOISE_K = {"ISS ECOSTRESS": 0.1}  # of the sensor table, for those whose noise the scene would not tell


def central(scene: PriorScene) -> np.ndarray:
    """Kelvin of the scene's middle."""
    rows, columns = (slice(max(size - SIDE_PX, 0) // 2, None) for size in scene.temperature.shape)
    return np.ascontiguousarray(scene.temperature[rows, columns][:SIDE_PX, :SIDE_PX])


def nyquist_k(picture: np.ndarray, scale: int, where: np.ndarray) -> float:
    """RMS amplitude over the three waves of two scene pixels: rows, columns, checkerboard."""
    row, column = np.indices(picture.shape)
    power = np.zeros(picture.shape)
    for y, x in ((1, 0), (0, 1), (1, 1)):
        wave = picture * np.exp(1j * np.pi * (y * row + x * column) / scale)
        power += sum(ndimage.uniform_filter(part, 4 * scale) ** 2 for part in (wave.real, wave.imag))
    return float(np.sqrt(power[where].mean())) if where.any() else float("nan")


def beyond_k(picture: np.ndarray, lr: np.ndarray, scale: int, where: np.ndarray) -> float:
    """How far the 99.9th percentile of the pixels is out of the range around them."""
    low, high = (
        split_pixels(extreme(lr, AROUND_PX), scale)
        for extreme in (ndimage.minimum_filter, ndimage.maximum_filter)
    )
    return float(np.quantile(np.maximum(picture - high, low - picture)[where].clip(0), 0.999))


def variation_along(picture: np.ndarray, smooth: np.ndarray, scale: int, where: np.ndarray) -> float:
    """Mean slope of a picture along the contours of a smooth one, at that one's steepest tenth."""
    across = [ndimage.gaussian_filter(smooth, scale, order=order) for order in ((1, 0), (0, 1))]
    slope = np.hypot(*across)
    along = np.gradient(picture)[0] * across[1] - np.gradient(picture)[1] * across[0]
    steep = where & (slope > np.quantile(slope[where], 0.9))
    return float(np.mean(np.abs(along[steep]) / slope[steep]))


def line(scene: PriorScene, scale: int, assignments: list[str]) -> str:
    """One row of the table."""
    kelvin = central(scene)
    recipe = load_settings(assignments=[f"recipe.scale={scale}", *assignments], environment={}).recipe
    noise_k = NOISE_K.get(scene.sensor, float("nan"))
    sensor = Sensor(scene.sensor, float("nan"), scene.psf_sigma_px, noise_k, float("nan"), "the archive")
    ref = SceneRef("real-00000000", "npz", ("real.npz",), scene.digest)
    made = Scene(ref, sensor, "surface_temperature", Grid(None, None, *kelvin.shape), kelvin)
    enhancement = enhance(made, recipe, device=torch.device("cpu"), prior=load_prior(recipe))
    pixels = enhancement.compute(Window(0, 0, *kelvin.shape))
    known = np.isfinite(pixels.temperature)
    lr = fill_nearest(kelvin)
    plain = bicubic(lr, scale)
    answer = np.where(known, pixels.temperature, plain)
    inside = ndimage.binary_erosion(known, iterations=4 * scale)
    damaged = inside & (pixels.flag == FLAG_ARTIFACT)
    added = answer - plain
    level = answer - np.float32(answer[inside].mean(dtype=np.float64))
    parts = damaged, inside & ~damaged
    nyquists = [nyquist_k(each, scale, part) for each in (level, added) for part in parts]
    variations = [variation_along(each, plain, scale, inside) for each in (answer, plain)]
    return (
        f"| {scene.site} | {scene.sensor} | {damaged.sum() / max(inside.sum(), 1):.1%} "
        f"| {' | '.join(f'{each:.3f}' for each in nyquists)} | {beyond_k(plain, lr, scale, inside):.2f} "
        f"| {beyond_k(answer, lr, scale, inside):.2f} | {variations[0] / variations[1]:.2f} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("| place | sensor | damaged | Nyquist K, damaged | elsewhere | added, damaged | elsewhere", end=" ")
    print("| beyond K, bicubic | product | variation |\n|" + "---|" * 10)
    scenes = real_scenes()
    for place in PLACES:
        scene = next(each for each in scenes if each.site == place)
        print(line(scene, arguments.scale, arguments.set), flush=True)


if __name__ == "__main__":
    main()

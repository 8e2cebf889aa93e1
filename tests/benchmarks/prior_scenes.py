"""The real scenes that teach the shipped prior, with the place of each, and a picture of them all.

    python -m tests.benchmarks.prior_scenes scenes.png

They are read as any archive is, by the rules of `archive.toml` beside this file.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np

from pipeline.settings_sources import load_settings
from pipeline.superres.prior.prior_pairs import PriorScene, octaves
from pipeline.train_prior import prior_scenes

SHARED = Path(__file__).parents[2] / ".." / "shared"
ARCHIVES = (SHARED / "scenes", SHARED / "scenes2")
RULES = Path(__file__).with_name("archive.toml")
# The same pixels in another container, a cloud top, a picture made of every second pixel.
LEFT_OUT = ("ECOSTRESS_", "133K_outliers", "decimated512", "brightness_temp_K_float32")
# Files that lie nowhere, or whose center says little; neighbors that overlap are one place.
PLACES = {
    "_DJI_": "Swiss wheat",
    "aster_modis": "western Europe",
    "Alboran": "western Mediterranean",
    "NW_med": "western Mediterranean",
    "Iberia": "western Mediterranean",
}
NAMES = {
    "+34 -118": "Los Angeles", "+32 -116": "Salton Sea", "+40 -74": "New York", "+48 -2": "Saint-Malo",
    "+30 -94": "Texas sky", "+46 -112": "Montana", "-4 -36": "Brazil", "+44 -112": "Idaho lava",
    "-28 +132": "Australia", "+12 +8": "Kano", "+52 +8": "Muenster", "+46 +22": "Timisoara",
    "+38 -78": "Washington", "+30 +114": "Wuhan", "+28 +84": "Nepal", "-34 -70": "Santiago",
    "+52 +14": "Berlin", "+22 +114": "Hong Kong", "+52 +6": "Venlo",
}  # fmt: skip
ASTER_PX = 176  # central part: the scenes are turned in their frame, and blend into its fill at their edges
MOST_PX = 768  # of a side; more of one scene would show little new


def real_scenes() -> list[PriorScene]:
    """Every real scene with enough of its pixels for a patch, in kelvin."""
    settings = load_settings(
        RULES, ("recipe.prior=none",), environment={}
    ).archive  # the prior is not made yet
    found = [_placed(scene) for scene in prior_scenes(settings, ARCHIVES, exclude=LEFT_OUT)]
    return [scene for scene in found if min(scene.temperature.shape) >> scene.first_octave > 64]


def _placed(scene: PriorScene) -> PriorScene:
    place = NAMES.get(scene.site, scene.site)
    for part, name in PLACES.items():
        if part in scene.name:
            place = name
    temperature, sensor = scene.temperature, scene.sensor
    if sensor == "Terra ASTER TIR":
        place, temperature = PLACES["aster_modis"], _center(temperature, ASTER_PX)
    if sensor == "unknown sensor":
        sensor = f"camera over {place}"
    cut = _center(temperature, MOST_PX)
    return dataclasses.replace(scene, site=place, sensor=sensor, temperature=np.ascontiguousarray(cut))


def _center(picture: np.ndarray, side_px: int) -> np.ndarray:
    first = [max((size - side_px) // 2, 0) for size in picture.shape]
    return picture[first[0] : first[0] + side_px, first[1] : first[1] + side_px]


def main() -> None:
    """Draw them all."""
    import matplotlib.pyplot as plt

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", type=Path)
    arguments = parser.parse_args()
    scenes = real_scenes()
    figure, axes = plt.subplots(-(-len(scenes) // 9), 9, figsize=(27, 3 * -(-len(scenes) // 9)))
    for axis in axes.ravel():
        axis.axis("off")
    for scene, axis in zip(scenes, axes.ravel(), strict=False):
        shown = next(
            octaves(scene.temperature, scene.psf_sigma_px, scene.first_octave, scene.first_octave + 1)
        )
        low, high = np.nanpercentile(shown, (1, 99))
        axis.imshow(shown, vmin=low, vmax=high, cmap="inferno")
        size = " x ".join(map(str, shown.shape))
        axis.set_title(f"{scene.site}\n{scene.sensor}, {size}, {low:.0f}-{high:.0f} K", fontsize=7)
    figure.savefig(arguments.picture, dpi=60, bbox_inches="tight")
    print(f"{len(scenes)} scenes of {len({scene.site for scene in scenes})} places")


if __name__ == "__main__":
    main()

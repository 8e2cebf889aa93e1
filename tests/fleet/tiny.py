"""Scenes of a few thousand pixels and the cheapest recipe, for tests of what surrounds the science."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.nights.night import plan_night
from pipeline.products.layout import product_folder
from pipeline.settings import Settings
from pipeline.settings_sources import load_settings

SIDE_PX = 48
TRANSFORM = (100.0, 0.0, 500_000.0, 0.0, -100.0, 5_000_000.0)
CHEAP = (
    "recipe.scale=2",
    "recipe.detail=none",
    "recipe.gate.project=false",
    "run.device=cpu",
    "run.threads=1",
    "archive.settle_s=0",
    "output.chunk_px=64",
)
# Added to the above: a network is trained on the scene, for as many steps as the test says.
TRAINED = (
    "recipe.preset=fast",
    "recipe.detail=trained",
    "recipe.prior=none",
    "recipe.network.channels=8",
    "recipe.network.blocks=1",
    "recipe.pairs.crop_px=16",
    "recipe.pairs.batch=1",
    "recipe.train.patience_fraction=1.0",
)


def write_scene(path: Path, seed: int) -> Path:
    """A scene of its own for every seed: waves and noise, (SIDE_PX, SIDE_PX) kelvin."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX] / SIDE_PX
    waves = 295 + 6 * np.sin(9 * x + seed) + 4 * np.cos(7 * y - seed)
    kelvin = (waves + generator.normal(0, 0.1, waves.shape)).astype(np.float32)
    np.savez(path, temperature=kelvin, crs="EPSG:32633", transform=TRANSFORM)
    return path


def write_empty_scene(path: Path) -> Path:
    """A scene without a valid pixel, which is skipped and leaves a record instead of a product."""
    nothing = np.full((SIDE_PX, SIDE_PX), np.nan, np.float32)
    np.savez(path, temperature=nothing, crs="EPSG:32633", transform=TRANSFORM)
    return path


def write_archive(folder: Path, scenes: int) -> Path:
    """A folder of different scenes."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(scenes):
        write_scene(folder / f"scene_{number:03d}.npz", number)
    return folder


def cheap_settings(archive: Path, out: Path, assignments: Sequence[str] = ()) -> Settings:
    """Settings under which a scene takes about a second."""
    places = (f"archive.root={str(archive)!r}", f"output.root={str(out)!r}")
    return load_settings(None, [*CHEAP, *places, *assignments], environment={})


def in_the_way(scene: Path, archive: Path, out: Path, assignments: Sequence[str] = ()) -> Path:
    """A file where the product of a scene is to be published, so that the scene fails."""
    settings = cheap_settings(archive, out, assignments)
    ref = next(ref for ref in plan_night(settings).todo if ref.files[0] == str(scene))
    obstacle = product_folder(out, settings.recipe.label, ref)
    obstacle.parent.mkdir(parents=True, exist_ok=True)
    obstacle.write_text("in the way")
    return obstacle

"""The scenes and recipes of the golden run, and how an answer is summed up."""

from __future__ import annotations

import dataclasses
import hashlib
import platform

import numpy as np
import torch

from pipeline.grid import Window, tile_windows
from pipeline.recipe_files import load_prior
from pipeline.scene import Sensor
from pipeline.settings_sources import load_settings
from pipeline.superres.enhance import enhance
from tests.archive.finding import read
from tests.scenes import scene_of, truth_and_lr

BLOCKS = 4  # block means a side
ALONE = ("recipe.prior=none", "recipe.train.steps=40", "recipe.train.validate_every=20")
KNOWN = ("recipe.degrade.psf_sigma_px=0.4",)
FROM_PRIOR = ("recipe.train.steps=20", "recipe.train.learning_rate=0.001", "recipe.train.validate_every=20")
PRIOR = (*KNOWN, "recipe.detail=prior")  # no step on the scene; two real scenes train, as a night does


def _made(side_px, scale, **how):
    return scene_of(truth_and_lr(side_px, scale, **how)[1])


def _with_holes():
    scene = _made(224, 4, nedt_k=0.05, seed=3)
    scene.temperature[10:16, 18:27] = np.nan
    scene.temperature[32:, :3] = np.nan
    return scene


def _with_fires():
    scene = _made(192, 4, seed=4)
    scene.temperature[20, 20] += 150
    scene.temperature[30:32, 40] += 80
    return scene


def _one_band():
    sensor = Sensor("one band", 70.0, 0.4, 0.05, 10.9, "made for tests")
    return scene_of(
        truth_and_lr(192, 4, nedt_k=0.05, seed=5)[1], sensor=sensor, quantity="brightness_temperature"
    )


def _crop(path, row, column, side_px):
    def cut(folder):
        scene = read(folder / path)
        window = Window(row, column, side_px, side_px)
        transform = scene.grid.transform
        grid = dataclasses.replace(scene.grid, height=side_px, width=side_px, transform=transform)
        pixels = np.ascontiguousarray(scene.temperature[window.slices])
        return dataclasses.replace(scene, grid=grid, temperature=pixels)

    return cut


# Name: (the scene, given the folder of real scenes; side of a tile, or 0 for the whole at once; settings).
CASES = {
    "x2 prior": (lambda _: _made(128, 2), 0, PRIOR),
    "x2 alone": (
        lambda _: _made(128, 2, nedt_k=0.1, seed=1),
        0,
        (*KNOWN, "recipe.degrade.nedt_k=0.1", *ALONE),
    ),
    "x4 prior noisy tiled": (
        lambda _: _made(256, 4, nedt_k=0.1, seed=2),
        23,
        (*PRIOR, "recipe.degrade.nedt_k=0.1"),
    ),
    "x4 alone holes": (lambda _: _with_holes(), 0, (*KNOWN, *ALONE)),
    "x4 prior holes": (lambda _: _with_holes(), 0, PRIOR),
    "x4 fires tiled": (lambda _: _with_fires(), 33, PRIOR),
    "x4 radiance": (lambda _: _one_band(), 0, PRIOR),
    "x4 shifts": (
        lambda _: _made(96, 4),
        0,
        (
            *PRIOR,
            "recipe.infer.mode=blend_shifts",
            "recipe.infer.patch_px=24",
            "recipe.infer.num_shift_passes=2",
            "recipe.infer.context_px=4",
        ),
    ),
    "x8 prior": (lambda _: _made(384, 8), 0, PRIOR),
    "x2 original": (
        lambda _: _made(64, 2, seed=6),
        0,
        (
            "recipe.preset=original",
            "recipe.train.steps=6",
            "recipe.network.blocks=1",
            "recipe.pairs.crop_px=16",
            "recipe.infer.num_shift_passes=2",
            "recipe.infer.patch_px=16",
        ),
    ),
    "x2 ECOSTRESS tiled": (
        _crop("ecostress/ECOv002_L2T_LSTE_34366_004_11SPS_20240728T204025_0712_01_LST.tif", 600, 600, 72),
        40,
        FROM_PRIOR,
    ),
    "x4 SLSTR": (_crop("slstr/S3_SLSTR_WST_NW_med_1km_multivar.nc", 144, 0, 96), 0, FROM_PRIOR),
    "x2 Landsat native": (
        _crop("landsat/LC80400282014193LGN00_B10_crop.TIF", 200, 200, 150),
        0,
        ("recipe.degrade.native=auto", "recipe.detail=prior"),
    ),
    "x4 GOES alone": (
        _crop("goes/G16_ABI_C08_6.2um_BT_K_20170711T1817_crop1024_geos.nc", 300, 300, 64),
        0,
        ALONE,
    ),
}
SCALES = {name: int(name[1]) for name in CASES}


def pixels_of(name, real_scenes):
    """(temperature, uncertainty, flag, gain) of a case, put together from its tiles; on one thread."""
    torch.set_num_threads(1)  # whoever ran before in this process may have set another number
    make, tile_px, assignments = CASES[name]
    scene = make(real_scenes)
    wanted = load_settings(assignments=[f"recipe.scale={SCALES[name]}", *assignments], environment={}).recipe
    enhancement = enhance(scene, wanted, device=torch.device("cpu"), prior=load_prior(wanted))
    shape, scale = enhancement.scene.grid.shape, enhancement.scale
    planes = [np.empty((shape[0] * scale, shape[1] * scale), kind) for kind in ("f4", "f4", "u1")]
    for window in tile_windows(shape, tile_px or max(shape)):
        pixels = enhancement.compute(window)
        parts = (pixels.temperature, pixels.uncertainty, pixels.flag)
        for plane, part in zip(planes, parts, strict=True):
            plane[window.refine(scale).slices] = part
    return (*planes, float(enhancement.figures["gain"]))


def summary_of(name, real_scenes):
    """Digests of a case's pixels, and numbers to compare with where bits differ; plain JSON."""
    *planes, gain = pixels_of(name, real_scenes)
    temperature, uncertainty, flag = planes
    values, counts = np.unique(flag, return_counts=True)
    return {
        **{
            key: hashlib.sha256(plane.tobytes()).hexdigest()[:16]
            for key, plane in zip(("temperature", "uncertainty", "flag"), planes, strict=True)
        },
        "gain": repr(gain),
        "temperature_means_k": _block_means(temperature),
        "uncertainty_means_k": _block_means(uncertainty),
        "flag_counts": {str(value): int(count) for value, count in zip(values, counts, strict=True)},
    }


def machine():
    """What decides the last bits of a result."""
    vectors = sorted(name for name, there in torch.cpu.get_capabilities().items() if there is True)
    return f"{platform.machine()} torch {torch.__version__} numpy {np.__version__} {' '.join(vectors)}"


def _block_means(plane):
    rows = np.array_split(plane.astype(np.float64), BLOCKS, axis=0)
    means = [
        [
            np.nanmean(part) if np.isfinite(part).any() else None
            for part in np.array_split(row, BLOCKS, axis=1)
        ]
        for row in rows
    ]
    return [None if mean is None else round(float(mean), 5) for row in means for mean in row]

"""Scenes with known truth, small enough for tests."""

from __future__ import annotations

import numpy as np
from affine import Affine

from pipeline.grid import Grid
from pipeline.scene import Scene, SceneRef, Sensor
from pipeline.superres.sensing.degrade import Degrade
from pipeline.trials.simulate import synthetic_truth

SENSOR = Sensor("test sensor", 70.0, 0.4, 0.0, float("nan"), "made for tests")
DIGEST = "ab" * 32


def scene_of(temperature, *, sensor=SENSOR, quantity="surface_temperature", crs="EPSG:32611"):
    """A scene around an array of kelvin."""
    height, width = temperature.shape
    from pyproj import CRS

    grid = Grid(CRS(crs).to_wkt(), Affine(70, 0, 600_000, 0, -70, 3_700_000), height, width)
    ref = SceneRef(f"made-{DIGEST[:8]}", "npz", ("made.npz",), DIGEST, "2026-08-01T10:00:00Z")
    return Scene(ref, sensor, quantity, grid, temperature.astype(np.float32), gsd_m=(70.0, 70.0))


def truth_and_lr(side_px=128, scale=4, *, sigma_px=0.4, nedt_k=0.0, seed=0):
    """A fine truth and what a sensor sees of it, both float32 kelvin."""
    generator = np.random.default_rng(seed)
    truth = synthetic_truth(side_px, generator)
    lr = Degrade.gaussian(scale, sigma_px)(truth)
    return truth, (lr + generator.normal(0, nedt_k, lr.shape)).astype(np.float32)

"""Grids finer than their sensor: recognized, averaged, and native ones left alone."""

import dataclasses

import numpy as np
import pytest
import torch
from affine import Affine

from pipeline.archive import read_scene
from pipeline.archive.discover import discover
from pipeline.errors import UnusableInputError
from pipeline.grid import Grid
from pipeline.radiometry import linearize
from pipeline.recipe_settings import DegradeSettings
from pipeline.scene import Sensor
from pipeline.settings_sources import load_settings
from pipeline.superres.bases.base import bicubic
from pipeline.superres.enhance import enhance
from pipeline.superres.sensing.degrade import Degrade
from pipeline.superres.sensing.measured import Measured
from pipeline.superres.sensing.native_grid import (
    average_blocks,
    finer_than_sensor,
    native_grid,
    sensor_of_blocks,
)
from tests.scenes import scene_of, truth_and_lr
from tests.superres.textures import rough

NAN = float("nan")
UNKNOWN = Sensor("unknown sensor", NAN, 0.35, NAN, NAN, "made for tests")
COARSE = Sensor("coarse sensor", 233.0, 0.35, 0.05, NAN, "made for tests")  # 70 m grid: 3.33 times finer
AUTO = DegradeSettings(native="auto")


def finer(scene):
    return finer_than_sensor(Measured.of(scene, AUTO))


def on_native_grid(scene, settings):
    return native_grid(Measured.of(scene, settings), settings)


def native_texture(side_px=256):
    return np.asarray(Degrade.gaussian(2, 0.4)(rough((2 * side_px, 2 * side_px), slope=1.3)))


def real(folder, name):
    settings = load_settings(
        assignments=[f"archive.root={folder}", "archive.settle_s=0"], environment={}
    ).archive
    (ref,) = (ref for ref in discover(settings).scenes if name in ref.scene_id)
    return read_scene(ref, settings)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_an_interpolated_scene_of_an_unknown_sensor_is_recognized_by_its_spectrum(factor):
    found = finer(scene_of(bicubic(native_texture(), factor), sensor=UNKNOWN))
    assert found.factor == factor
    assert "spectrum" in found.why


def test_a_native_scene_is_left_alone():
    scene = scene_of(native_texture(), sensor=UNKNOWN)
    native = on_native_grid(scene, AUTO)
    assert native.factor == 1
    assert native.measured.scene is scene
    assert str(native.facts["native_source"]).startswith("as delivered: the spectrum")


@pytest.mark.parametrize(
    ("native_m", "spacing_m", "factor"),
    [(100, 30, 3), (60, 30, 2), (120, 30, 4), (70, 70, 1), (1000, 926, 1), (115, 60, 1), (2000, 1001, 2)],
)
def test_the_table_rounds_down_to_whole_pixels(native_m, spacing_m, factor):
    scene = scene_of(np.full((20, 20), 300.0), sensor=dataclasses.replace(COARSE, native_gsd_m=native_m))
    assert finer(dataclasses.replace(scene, gsd_m=(spacing_m, spacing_m))).factor == factor


def test_the_table_decides_even_where_a_smooth_scene_looks_interpolated():
    scene = scene_of(bicubic(native_texture(), 4), sensor=dataclasses.replace(COARSE, native_gsd_m=70.0))
    assert finer(scene).factor == 1


def test_pixels_that_are_not_square_count_by_their_longer_side():
    scene = dataclasses.replace(scene_of(np.full((20, 20), 300.0), sensor=COARSE), gsd_m=(70.0, 40.0))
    assert finer(scene).factor == 3


def test_blocks_know_what_half_of_their_pixels_know():
    values = np.arange(16, dtype=np.float32).reshape(4, 4)
    values[0, :2] = np.nan
    values[2:, 2:] = np.nan
    values[2, 2] = 7
    np.testing.assert_array_equal(average_blocks(values, 2), [[4.5, 4.5], [10.5, np.nan]])


def test_energy_is_averaged_where_the_wavelength_is_known():
    checks = 290 + 60.0 * (np.indices((12, 12)).sum(0) % 2)
    sensor = dataclasses.replace(COARSE, wavelength_um=10.9)
    scene = on_native_grid(
        scene_of(checks, sensor=sensor, quantity="brightness_temperature"), AUTO
    ).measured.scene
    ends = linearize(np.array([290.0, 350.0]), 10.9, 300.0)
    # Blocks of nine hold five of one and four of the other.
    wanted = sorted({float(ends @ (5 / 9, 4 / 9)), float(ends @ (4 / 9, 5 / 9))})
    found = linearize(scene.temperature.astype(np.float64), 10.9, 300.0)
    np.testing.assert_allclose(np.unique(np.round(found, 2)), np.round(wanted, 2), atol=0.011)


def test_the_upper_left_corner_stays_and_ragged_ends_are_left_out():
    transform = Affine(30, 2, 500_000, 3, -30, 4_000_000)
    grid = Grid("EPSG:32611", transform, 727, 400)
    coarse = grid.coarsen(3)
    assert coarse.shape == (242, 133)
    assert coarse.transform @ (0, 0) == transform @ (0, 0)
    np.testing.assert_allclose(coarse.transform @ (133, 242), transform @ (399, 726))


@pytest.mark.parametrize("scale", [2, 4])
def test_the_products_grid_is_the_averaged_scenes_refined(scale):
    scene = scene_of(bicubic(native_texture(40), 3)[:-1], sensor=COARSE)
    settings = load_settings(
        assignments=[
            "recipe.detail=none",
            "recipe.degrade.native=auto",
            f"recipe.scale={scale}",
        ],
        environment={},
    )
    enhancement = enhance(scene, settings.recipe, device=torch.device("cpu"))
    assert enhancement.grid.shape == (39 * scale, 40 * scale)
    assert enhancement.grid.transform.almost_equals(scene.grid.transform @ Affine.scale(3 / scale))
    assert enhancement.provenance["forward_model"]["native_factor"] == 3
    assert "averaged 3 x 3: coarse sensor samples every 233 m" in enhancement.figures["native_source"]


def test_by_default_the_product_lies_on_the_scenes_grid_and_the_record_says_what_it_is():
    scene = scene_of(bicubic(native_texture(40), 3), sensor=COARSE)
    settings = load_settings(assignments=["recipe.detail=none"], environment={})
    enhancement = enhance(scene, settings.recipe, device=torch.device("cpu"))
    assert enhancement.grid == scene.grid.refine(4)
    assert "3.3 times too narrow" in enhancement.figures["native_source"]


def test_a_number_averages_that_many_pixels():
    native = on_native_grid(scene_of(truth_and_lr(120, 2)[1], sensor=COARSE), DegradeSettings(native=5))
    assert native.measured.scene.temperature.shape == (12, 12)
    assert native.measured.scene.gsd_m == (350.0, 350.0)
    assert "by recipe.degrade.native" in str(native.facts["native_source"])


def test_a_scene_smaller_than_a_block_is_refused():
    with pytest.raises(UnusableInputError, match="20 x 20 pixels hold no block of 21 x 21"):
        on_native_grid(scene_of(np.full((20, 20), 300.0)), DegradeSettings(native=21))


def test_the_blur_of_a_block_is_the_sensors_and_both_squares():
    """Against a simulation: lines at many places, detector, linear interpolation, blocks; in samples."""
    fine = 120
    offset = np.arange(-6 * fine, 6 * fine + 1) / fine
    seen = np.convolve(np.exp(-0.5 * (offset / 0.35) ** 2), np.ones(fine), "same")
    samples, grid = np.arange(-8, 9), np.arange(-20, 21) * 0.3
    interpolate = np.clip(1 - np.abs(np.subtract.outer(grid, samples)), 0, None)
    moment = weight = 0.0
    for line in (np.arange(60) + 0.5) / 60:
        block = np.convolve(
            interpolate @ np.interp(samples - line, offset, seen, 0, 0), np.ones(3) / 3, "same"
        )
        weight += float(block.sum())
        moment += float(block @ ((grid - line) / 0.9) ** 2)
    # The block's square is in the forward model already; linear interpolation adds a sixth of a sample's.
    wanted = moment / weight - 1 / 12 - (1 / 0.9) ** 2 / 6
    assert sensor_of_blocks(COARSE, 1 / 0.3, 3).psf_sigma_px ** 2 == pytest.approx(wanted, abs=0.005)


def test_pixels_that_were_only_repeated_keep_the_sensors_blur():
    repeated = native_texture(64).repeat(3, 0).repeat(3, 1)
    scene = on_native_grid(scene_of(repeated, sensor=COARSE), AUTO).measured.scene
    assert scene.sensor.psf_sigma_px == COARSE.psf_sigma_px
    np.testing.assert_allclose(scene.temperature, native_texture(64), atol=1e-4)


def test_a_recovered_block_is_closer_to_the_ground_than_a_sharpened_interpolation():
    """Ground known: a sensor of 12 fine pixels, delivered every 4, asked for every 6."""
    ground = rough((960, 960), slope=1.3)
    delivered = bicubic(np.asarray(Degrade.gaussian(12, 0.35)(ground)), 3)
    sensor = dataclasses.replace(COARSE, native_gsd_m=210.0)
    truth = ground.reshape(160, 6, 160, 6).mean((1, 3))[6:-6, 6:-6]
    errors = {}
    for native in ("off", "auto"):
        assignments = [
            "recipe.detail=none",
            "recipe.scale=2",
            f"recipe.degrade.native={native}",
        ]
        recipe = load_settings(assignments=assignments, environment={}).recipe
        enhancement = enhance(scene_of(delivered, sensor=sensor), recipe, device=torch.device("cpu"))
        whole = enhancement.compute(tiles(enhancement))
        fine = whole.temperature
        side = fine.shape[0] // 160
        blocks = fine.reshape(160, side, 160, side).mean((1, 3))[6:-6, 6:-6]
        errors[native] = float(np.sqrt(np.mean((blocks - truth) ** 2)))
    assert errors["auto"] < 0.93 * errors["off"]


def tiles(enhancement):
    from pipeline.grid import Window

    return Window(0, 0, *enhancement.scene.grid.shape)


def test_landsats_thermal_grids_are_recognized_by_table_and_native_grids_are_not(real_scenes):
    landsat = on_native_grid(real(real_scenes / "landsat", "LC80400282014193LGN00_B10_brightness"), AUTO)
    assert landsat.factor == 3
    assert landsat.measured.scene.grid.shape == (242, 242)
    assert max(landsat.measured.scene.gsd_m) == pytest.approx(90)
    assert "samples every 100 m, this grid every 30 m (sensor table)" in str(landsat.facts["native_source"])
    for folder, name in (("ecostress", "doy2023209214058"), ("slstr", "NW_med"), ("goes", "C08")):
        assert on_native_grid(real(real_scenes / folder, name), AUTO).factor == 1

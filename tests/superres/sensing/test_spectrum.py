"""What a scene's spectrum tells: slope, noise, oversampling; with truth known or measured."""

import numpy as np
import pytest

from pipeline.superres.bases import base as bases
from pipeline.superres.sensing.degrade import Degrade
from pipeline.superres.sensing.spectrum import estimate_noise_k, fit_power_law, full_windows, oversampling
from tests.benchmarks.scenes import GOES, LANDSAT, NW_MED, SALTON_SEA, band, most_textured_square, variable
from tests.superres.textures import holes, leaning, rough


def law_of(lr, degrade, nedt_k=0.0, valid=None):
    valid = np.isfinite(lr) if valid is None else valid
    return fit_power_law(lr, valid, degrade, nedt_k, np.random.default_rng(0))


def noisy(kelvin, sigma_k, seed=1):
    return (kelvin + np.random.default_rng(seed).normal(0, sigma_k, kelvin.shape)).astype(np.float32)


@pytest.mark.parametrize("slope", [1.0, 1.5, 2.0])
@pytest.mark.parametrize("nedt_k", [0.0, 0.1])
def test_the_slope_is_found_through_blur_and_noise(slope, nedt_k):
    degrade = Degrade.gaussian(2, 0.4)
    lr = noisy(degrade(rough((512, 512), slope=slope)), nedt_k)
    assert law_of(lr, degrade, nedt_k).slope == pytest.approx(slope, abs=0.15)


def test_the_slope_is_found_through_optics_that_lean():
    degrade = Degrade.from_kernel(2, leaning(2, 0.9, 0.3))
    assert law_of(degrade(rough((512, 512), slope=1.5)), degrade).slope == pytest.approx(1.5, abs=0.1)


def test_the_slope_does_not_depend_on_the_scale_that_is_asked_for():
    hr = rough((512, 512), slope=1.4)
    slopes = [law_of(Degrade.gaussian(4, 0.4)(hr), Degrade.gaussian(scale, 0.4)).slope for scale in (2, 4, 8)]
    assert max(slopes) - min(slopes) < 0.4


def test_four_times_the_power_is_four_times_the_amplitude():
    degrade = Degrade.gaussian(2, 0.4)
    lr = degrade(rough((256, 256)))
    one, two = law_of(lr, degrade), law_of(300 + 2 * (lr - 300), degrade)
    assert two.amplitude_k2 == pytest.approx(4 * one.amplitude_k2, rel=0.05)


def test_holes_hardly_change_the_law():
    degrade = Degrade.gaussian(2, 0.4)
    lr = degrade(rough((512, 512)))
    valid = np.ones(lr.shape, bool)
    valid[60:90, 100:160] = False
    assert law_of(lr, degrade, valid=valid).slope == pytest.approx(law_of(lr, degrade).slope, abs=0.2)


def test_a_flat_scene_has_no_texture():
    assert law_of(np.full((40, 40), 300, np.float32), Degrade.gaussian(2, 0.4)).amplitude_k2 == 0


def test_windows_hold_no_hole():
    missing = holes((700, 600))
    windows = full_windows(~missing, np.random.default_rng(0))
    assert windows
    assert not any(missing[window.slices].any() for window in windows)


def test_a_window_is_found_however_small():
    valid = np.zeros((60, 60), bool)
    valid[20:26, 31:40] = True
    assert {(window.height, window.width) for window in full_windows(valid, np.random.default_rng(0))} == {
        (6, 6)
    }


@pytest.mark.parametrize("sigma_k", [0.03, 0.1, 0.5])
def test_pure_noise_is_measured(sigma_k):
    flat = noisy(np.full((300, 200), 290.0), sigma_k)
    assert estimate_noise_k(flat, np.isfinite(flat)) == pytest.approx(sigma_k, rel=0.1)


@pytest.mark.parametrize("sigma_k", [0.0, 0.05, 0.1])
def test_noise_is_found_where_a_part_of_the_scene_is_calm(sigma_k):
    scene = Degrade.gaussian(2, 0.4)(rough((512, 512), slope=1.3))
    scene[:, :64] = 300 + 0.02 * (scene[:, :64] - 300)
    scene = noisy(scene, sigma_k)
    assert estimate_noise_k(scene, np.isfinite(scene)) == pytest.approx(sigma_k, abs=0.03)


@pytest.mark.parametrize("slope", [1.2, 1.5, 2.0])
@pytest.mark.parametrize("sigma_k", [0.0, 0.1])
def test_texture_everywhere_is_hardly_taken_for_noise(slope, sigma_k):
    scene = noisy(Degrade.gaussian(2, 0.4)(rough((512, 512), slope=slope)), sigma_k)
    assert estimate_noise_k(scene, np.isfinite(scene)) < sigma_k + 0.03


def test_what_is_stored_under_the_mask_is_no_noise():
    scene = noisy(np.full((128, 128), 290.0), 0.1)
    missing = holes(scene.shape)
    found = {
        estimate_noise_k(np.where(missing, np.float32(fill), scene), ~missing) for fill in (np.nan, 0, 400)
    }
    assert len({round(each, 6) for each in found}) == 1
    assert found.pop() == pytest.approx(0.1, rel=0.25)


def test_nothing_valid_has_no_noise():
    assert estimate_noise_k(np.zeros((20, 20), np.float32), np.zeros((20, 20), bool)) == 0


@pytest.mark.parametrize("nedt_k", [0.0, 0.05, 0.1])
def test_the_noise_of_degraded_real_scenes_is_found_within_40_millikelvin(real_scenes, nedt_k):
    for load in (variable(NW_MED, "brightness_temperature_channel_2"), variable(GOES, "CMI")):
        scene = noisy(Degrade.gaussian(2, 0.4)(most_textured_square(load(), (384,))), nedt_k)
        assert estimate_noise_k(scene, np.isfinite(scene)) == pytest.approx(nedt_k, abs=0.04)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_interpolated_grids_are_recognized(scale):
    lr = Degrade.gaussian(2, 0.4)(rough((512, 512), slope=1.3))
    scene = lr if scale == 1 else bases.bicubic(lr, scale)
    assert oversampling(scene, np.isfinite(scene)) == pytest.approx(scale, rel=0.25)


def test_landsats_100_meters_on_a_30_meter_grid_are_recognized_and_native_grids_too(real_scenes):
    landsat = band(LANDSAT)()
    assert oversampling(landsat, np.isfinite(landsat)) == pytest.approx(100 / 30, rel=0.2)
    for load in (
        band(SALTON_SEA),
        variable(NW_MED, "brightness_temperature_channel_2"),
        variable(GOES, "CMI"),
    ):
        native = load()
        assert oversampling(native, np.isfinite(native)) < 1.3


def test_too_small_a_scene_does_not_tell():
    assert np.isnan(oversampling(rough((40, 40)), np.ones((40, 40), bool)))

"""The method, start to end: what is promised of every product."""

import numpy as np
import pytest
import torch

from pipeline import raster
from pipeline.errors import SettingsError, SkippedSceneError, UnusableInputError
from pipeline.grid import Window, tile_windows
from pipeline.radiometry import brightness_temperature, spectral_radiance
from pipeline.recipe_files import load_prior
from pipeline.scene import (
    FLAG_EDGE,
    FLAG_FALLBACK,
    FLAG_FILLED_NEIGHBOR,
    FLAG_NO_DATA,
    FLAG_OUT_OF_RANGE,
    Sensor,
)
from pipeline.settings_sources import load_settings
from pipeline.superres.bases.base import bicubic
from pipeline.superres.enhance import enhance
from pipeline.superres.pixels import EDGE_PX, UNSURE_TIMES
from pipeline.superres.prior.weights import Prior
from pipeline.superres.sensing.degrade import Degrade
from tests.scenes import DIGEST, scene_of, truth_and_lr

CPU = torch.device("cpu")
QUICK = (
    "recipe.train.steps=40",
    "recipe.train.validate_every=20",
    "recipe.prior=none",
    "recipe.network.blocks=1",
)
UNJUDGED = (*(word for word in QUICK if "validate_every" not in word), "recipe.gate.enabled=false")
FROM_PRIOR = ("recipe.train.steps=10", "recipe.train.validate_every=5")
BASE_ONLY = ("recipe.detail=none",)
SENSOR_FIGURES = ("recipe.degrade.psf_sigma_px=0.4", "recipe.degrade.nedt_k=0")


def recipe(*assignments):
    return load_settings(assignments=[*SENSOR_FIGURES, *assignments], environment={}).recipe


def enhanced(scene, told):
    """With the prior that the recipe names."""
    return enhance(scene, told, device=CPU, prior=load_prior(told))


def whole(enhancement):
    return enhancement.compute(Window(0, 0, *enhancement.scene.grid.shape))


def rmse_k(answer, truth, border_px=8):
    inner = np.s_[border_px:-border_px, border_px:-border_px]
    return float(np.sqrt(np.mean((answer - truth)[inner].astype(np.float64) ** 2)))


def assert_contract(pixels):
    missing = pixels.flag == FLAG_NO_DATA
    np.testing.assert_array_equal(np.isnan(pixels.temperature), missing)
    np.testing.assert_array_equal(np.isnan(pixels.uncertainty), missing)
    assert (pixels.uncertainty[~missing] >= 0).all()
    assert np.isfinite(pixels.temperature[~missing]).all()


@pytest.mark.parametrize(("scale", "share"), [(2, 0.99), (4, 0.95)])
def test_the_product_is_closer_to_the_truth_than_bicubic(scale, share):
    truth, lr = truth_and_lr(192, scale)
    pixels = whole(enhance(scene_of(lr), recipe(f"recipe.scale={scale}", *BASE_ONLY), device=CPU))
    assert rmse_k(pixels.temperature, truth) < share * rmse_k(bicubic(lr, scale), truth)
    assert_contract(pixels)


def test_a_recipe_without_network_or_projection_is_its_base():
    _, lr = truth_and_lr(128, 4)
    wanted = recipe("recipe.network.base=bicubic", "recipe.gate.project=false", *BASE_ONLY)
    pixels = whole(enhance(scene_of(lr), wanted, device=CPU))
    np.testing.assert_allclose(pixels.temperature, bicubic(lr, 4), atol=1e-4)  # one is separable, one is not


def test_pixels_outside_the_absolute_range_are_counted_and_kept():
    _, lr = truth_and_lr(64, 2)
    lr = np.clip(lr, 210, 315)
    lr[3, 4], lr[20, 20:22], lr[25, 25] = 199.9, 320.1, np.nan
    enhancement = enhance(scene_of(lr), recipe("recipe.scale=2", *BASE_ONLY), device=CPU)
    assert enhancement.figures["outside_range_pixels"] == 3
    assert np.nanmax(whole(enhancement).temperature) > 320


def test_the_degraded_product_is_the_scene():
    _, lr = truth_and_lr(192, 4)
    enhancement = enhance(scene_of(lr), recipe(*QUICK), device=CPU)
    pixels = whole(enhancement)
    figures = enhancement.check(lambda window: pixels.temperature[window.slices])
    assert figures["consistency_rmse_k"] <= 1e-3
    assert abs(figures["consistency_bias_k"]) <= 1e-3


def test_under_noise_the_product_is_consistent_within_the_noise():
    _, lr = truth_and_lr(192, 4, nedt_k=0.1)
    enhancement = enhance(scene_of(lr), recipe("recipe.degrade.nedt_k=0.1", *BASE_ONLY), device=CPU)
    pixels = whole(enhancement)
    figures = enhancement.check(lambda window: pixels.temperature[window.slices])
    assert figures["consistency_rmse_k"] <= 0.1
    assert abs(figures["consistency_bias_k"]) <= 1e-3


def test_energy_is_consistent_where_the_wavelength_is_known():
    truth, _ = truth_and_lr(128, 4)
    truth[40:60, 40:60] += 60
    degrade = Degrade.gaussian(4, 0.4)
    energy = degrade(spectral_radiance(truth.astype(np.float64), 10.9))
    lr = brightness_temperature(np.asarray(energy), 10.9).astype(np.float32)
    sensor = Sensor("one band", 70.0, 0.4, 0.0, 10.9, "made for tests")
    scene = scene_of(lr, sensor=sensor, quantity="brightness_temperature")
    pixels = whole(enhance(scene, recipe(*BASE_ONLY), device=CPU))
    seen = np.asarray(degrade(spectral_radiance(pixels.temperature.astype(np.float64), 10.9)))
    np.testing.assert_allclose(brightness_temperature(seen, 10.9), lr, atol=0.02)


def test_tiles_of_any_size_give_the_same_pixels():
    _, lr = truth_and_lr(256, 4, nedt_k=0.05)
    lr[20:24, 30:34] = np.nan
    enhancement = enhance(scene_of(lr), recipe("recipe.degrade.nedt_k=0.05", *QUICK), device=CPU)
    once = whole(enhancement)
    for window in (window for tile_px in (16, 23, 40) for window in tile_windows(lr.shape, tile_px)):
        part, fine = enhancement.compute(window), window.refine(4).slices
        np.testing.assert_allclose(part.temperature, once.temperature[fine], atol=2e-3)
        np.testing.assert_allclose(part.uncertainty, once.uncertainty[fine], atol=2e-3)
        np.testing.assert_array_equal(part.flag, once.flag[fine])


def test_the_same_seed_gives_the_same_pixels():
    _, lr = truth_and_lr(128, 4)
    first, again, other = (
        whole(enhance(scene_of(lr), recipe(*UNJUDGED, f"recipe.seed={seed}"), device=CPU))
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.temperature, again.temperature)
    assert (first.temperature != other.temperature).any()


def test_what_lies_under_the_mask_never_matters():
    _, lr = truth_and_lr(192, 4)
    lr[10:20, 10:20] = np.nan
    wild = lr.copy()
    wild[10:20, 10:20] = np.inf
    tame, same = (whole(enhance(scene_of(each), recipe(*BASE_ONLY), device=CPU)) for each in (lr, wild))
    np.testing.assert_array_equal(tame.temperature, same.temperature)
    assert_contract(tame)
    assert (tame.flag[80:84, 36:40] == FLAG_FILLED_NEIGHBOR).all()


def test_an_offset_in_kelvin_passes_through():
    _, lr = truth_and_lr(128, 4)
    plain, warmer = (whole(enhance(scene_of(each), recipe(*BASE_ONLY), device=CPU)) for each in (lr, lr + 10))
    np.testing.assert_allclose(warmer.temperature, plain.temperature + 10, atol=5e-3)


CORNERS = {
    "constant": lambda: np.full((40, 40), 290.0),
    "one row": lambda: 290 + np.arange(40.0)[None],
    "one pixel": lambda: np.full((1, 1), 290.0),
    "one valid pixel": lambda: np.where(np.arange(400).reshape(20, 20) == 210, 290.0, np.nan),
    "checkerboard": lambda: 290.0 + 5 * (np.indices((40, 40)).sum(0) % 2),
    "striping": lambda: 290.0 + np.tile([[0.0], [0.6]], (20, 40)),
    "missing columns": lambda: np.where(
        np.arange(40)[None] % 10 == 3, np.nan, 290.0 + np.arange(40)[:, None] / 9
    ),
    "eight bits": lambda: np.round(truth_and_lr(160, 4)[1] * 2) / 2,
    "smaller than a patch": lambda: truth_and_lr(48, 4)[1],
    "a fire": lambda: np.where(np.arange(1600).reshape(40, 40) == 820, 1100.0, 290.0),
}


@pytest.mark.parametrize("start", [QUICK, FROM_PRIOR], ids=["from nothing", "from the prior"])
@pytest.mark.parametrize("name", CORNERS)
def test_odd_scenes_end_as_a_product_that_keeps_the_contract(name, start):
    lr = CORNERS[name]().astype(np.float32)
    enhancement = enhanced(scene_of(lr), recipe(*start))
    pixels = whole(enhancement)
    assert_contract(pixels)
    np.testing.assert_array_equal(np.isfinite(pixels.temperature[::4, ::4]), np.isfinite(lr))
    figures = enhancement.check(lambda window: pixels.temperature[window.slices])
    # A lone pixel's sensor looks mostly at what is missing: nobody can tell how consistent it is.
    assert figures.get("consistency_rmse_k", 0.0) <= 2e-3


def test_a_scene_too_small_to_learn_from_falls_back_with_a_reason():
    enhancement = enhance(scene_of(truth_and_lr(48, 4)[1]), recipe(*QUICK), device=CPU)
    assert "too few for x4" in enhancement.fallback
    edge = 4 * EDGE_PX
    flag = whole(enhancement).flag
    assert (flag[edge:-edge, edge:-edge] == FLAG_FALLBACK).all()
    assert (flag[:edge] == FLAG_EDGE).all()


def test_a_fire_is_flagged_as_outside_training_and_its_surroundings_as_fallback():
    _, lr = truth_and_lr(192, 2)
    lr[40, 30] = 450
    flag = whole(enhance(scene_of(lr), recipe(*QUICK, "recipe.scale=2"), device=CPU)).flag[::2, ::2]
    assert flag[40, 30] == FLAG_OUT_OF_RANGE
    assert (flag == FLAG_OUT_OF_RANGE).sum() < 30  # the landscape has two furnaces of its own
    assert flag[43, 30] in (FLAG_FALLBACK, FLAG_OUT_OF_RANGE)


def test_a_pixel_whose_error_may_be_many_times_the_scenes_contrast_is_not_good():
    scene = scene_of(290 + 0.1 * (truth_and_lr(256, 4, seed=4)[1] - 290))
    scene.temperature[40:44, 40:44] += 60
    enhancement = enhance(scene, recipe(*BASE_ONLY), device=CPU)
    low, high = np.quantile(scene.temperature, (0.16, 0.84))
    pixels = whole(enhancement)
    unsure = pixels.uncertainty > UNSURE_TIMES * float(high - low) / 2
    assert unsure.sum() > 100
    assert (pixels.flag[unsure] == FLAG_OUT_OF_RANGE).mean() > 0.99
    assert (pixels.flag == FLAG_OUT_OF_RANGE).mean() < 0.1


def test_a_training_that_explodes_ends_as_the_base():
    _, lr = truth_and_lr(192, 4)
    wild = recipe("recipe.train.learning_rate=1", "recipe.train.explosion_loss=0.01", *QUICK)
    exploded = enhance(scene_of(lr), wild, device=CPU)
    base = enhance(scene_of(lr), recipe(*BASE_ONLY), device=CPU)
    assert "training" in exploded.fallback
    np.testing.assert_array_equal(whole(exploded).temperature, whole(base).temperature)


def test_a_training_that_explodes_leaves_the_prior_as_it_was():
    _, lr = truth_and_lr(192, 4)
    wild = recipe("recipe.train.learning_rate=1", "recipe.train.explosion_loss=0.0001", *FROM_PRIOR)
    exploded = enhanced(scene_of(lr), wild)
    assert "exploded" in exploded.provenance["network"]["training"]
    plain = enhanced(scene_of(lr), recipe("recipe.detail=prior"))
    np.testing.assert_array_equal(whole(exploded).temperature, whole(plain).temperature)


@pytest.mark.parametrize(("scale", "kelvin"), [(2, 450), (2, 700), (4, 450), (4, 700)])
def test_a_flat_hot_spot_that_overshoots_is_flagged_and_as_unsure_as_it_is_wrong(scale, kelvin):
    truth = np.minimum(truth_and_lr(64 * scale, scale)[0], 310).astype(np.float32)
    corner = 31 * scale
    truth[corner : corner + 4, corner : corner + 4] = kelvin
    lr = Degrade.gaussian(scale, 0.4)(truth).astype(np.float32)
    pixels = whole(enhanced(scene_of(lr), recipe(f"recipe.scale={scale}", "recipe.preset=fast")))
    error = np.abs(pixels.temperature - truth)
    wrong = error > 20
    assert wrong.sum() > 4  # no smooth answer is flat inside
    assert np.isin(pixels.flag[wrong], (FLAG_OUT_OF_RANGE, FLAG_FALLBACK)).all()
    assert pixels.flag[np.unravel_index(error.argmax(), error.shape)] == FLAG_OUT_OF_RANGE
    assert (error[wrong] / pixels.uncertainty[wrong]).max() < 3.5
    assert (error[wrong] < pixels.uncertainty[wrong]).mean() > 0.3


def test_a_prior_that_this_scene_taught_is_judged_by_its_record_alone():
    _, lr = truth_and_lr(192, 2)
    told = recipe("recipe.scale=2", "recipe.detail=prior")
    prior = load_prior(told)
    fed = Prior(prior.weights, {**prior.card, "scenes": [{"digest": DIGEST}]})
    record = prior.facts(2)["gain"]
    gains = [enhance(scene_of(lr), told, device=CPU, prior=each).provenance["gain"] for each in (prior, fed)]
    assert gains[1] == pytest.approx(record)  # its own pixels could only have forbidden it
    assert abs(gains[0] - record) > 0.01


def test_a_scene_without_a_valid_pixel_is_skipped():
    with pytest.raises(SkippedSceneError, match="none of the 100 pixels is valid"):
        enhance(scene_of(np.full((10, 10), np.nan)), recipe(*QUICK), device=CPU)


def test_radiance_without_a_wavelength_is_refused():
    with pytest.raises(UnusableInputError, match="wavelength of test sensor is unknown"):
        enhance(scene_of(truth_and_lr(64, 4)[1]), recipe("recipe.degrade.domain=radiance"), device=CPU)


def test_a_hole_changes_no_pixel_far_from_it():
    _, lr = truth_and_lr(320, 4)
    torn = lr.copy()
    torn[40, 40] = np.nan
    settings = recipe("recipe.network.base=back_projected", *BASE_ONLY)
    full, part = (whole(enhance(scene_of(each), settings, device=CPU)) for each in (lr, torn))
    far = np.ones_like(full.temperature, dtype=bool)
    far[100:224, 100:224] = False
    np.testing.assert_allclose(part.temperature[far], full.temperature[far], atol=1e-3)


def test_a_window_without_a_measured_pixel_is_not_computed():
    _, lr = truth_and_lr(256, 4)
    lr[:32] = np.nan
    enhancement = enhance(scene_of(lr), recipe(*BASE_ONLY), device=CPU)
    empty = enhancement.compute(Window(0, 0, 16, 64))
    assert np.isnan(empty.temperature).all()
    assert np.isnan(empty.uncertainty).all()
    assert (empty.flag == FLAG_NO_DATA).all()
    once = whole(enhancement)
    np.testing.assert_array_equal(empty.temperature, once.temperature[:64])
    np.testing.assert_array_equal(empty.flag, once.flag[:64])


def test_what_the_network_added_is_the_product_minus_the_same_without_it():
    _, lr = truth_and_lr(96, 2)
    lr[20, 30] = np.nan
    wanted = recipe("recipe.scale=2", *UNJUDGED)
    pixels = whole(enhance(scene_of(lr), wanted, device=CPU, tells_learned=True))
    base = whole(enhance(scene_of(lr), recipe("recipe.scale=2", *BASE_ONLY), device=CPU))
    missing = pixels.flag == FLAG_NO_DATA
    np.testing.assert_array_equal(np.isnan(pixels.learned), missing)
    assert np.nanstd(pixels.learned) > 0.01
    without = (pixels.temperature - pixels.learned)[~missing]
    np.testing.assert_allclose(without, base.temperature[~missing], atol=1e-3)
    assert base.learned is None


@pytest.mark.parametrize("name", ["zssr", "srcnn"])
def test_three_times_finer_by_a_network_that_takes_the_enlarged_scene(name):
    truth, lr = truth_and_lr(192, 3, seed=3)
    told = ("recipe.scale=3", "recipe.prior=none", f"recipe.network.name={name}", "recipe.train.steps=30")
    quick = ("recipe.gate.enabled=false", "recipe.infer.self_ensemble=false", "recipe.pairs.crop_px=8")
    enhancement = enhance(scene_of(lr), recipe(*told, *quick), device=CPU)
    pixels = whole(enhancement)
    assert rmse_k(pixels.temperature, truth) < 0.9 * rmse_k(bicubic(lr, 3), truth)
    tile = enhancement.compute(Window(20, 30, 17, 19)).temperature
    np.testing.assert_allclose(tile, pixels.temperature[60:111, 90:147], atol=1e-4)
    figures = enhancement.check(lambda window: pixels.temperature[window.slices])
    assert figures["consistency_rmse_k"] <= 1e-3
    assert 0 < enhancement.figures["patch_coverage_fraction"] <= 1


def test_no_other_network_makes_a_scene_three_times_finer():
    for told in ((), ("recipe.prior=none",), ("recipe.prior=none", "recipe.network.name=swinir")):
        with pytest.raises(SettingsError, match="scale 3 is for networks that take the enlarged scene"):
            recipe("recipe.scale=3", *told)
    assert recipe("recipe.scale=3", *BASE_ONLY).scale == 3


def test_a_scene_worked_on_in_bands_has_the_pixels_of_one_worked_on_whole(monkeypatch):
    _, lr = truth_and_lr(240, 2, nedt_k=0.1)
    lr[30:38, 20:30], lr[80, 60] = np.nan, 420.0
    told = recipe("recipe.scale=2", "recipe.preset=fast", "recipe.degrade.nedt_k=0.1")
    before = whole(enhanced(scene_of(lr), told))
    monkeypatch.setattr(raster, "BAND_PIXELS", 25 * lr.shape[1])
    after = whole(enhanced(scene_of(lr), told))
    np.testing.assert_allclose(after.temperature, before.temperature, atol=1e-3)
    np.testing.assert_allclose(after.uncertainty, before.uncertainty, rtol=1e-2)
    np.testing.assert_array_equal(after.flag, before.flag)

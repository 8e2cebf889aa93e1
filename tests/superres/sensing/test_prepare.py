"""Blur and noise of a scene: what is known, what is estimated, what must not be undone."""

import numpy as np
import pytest

from pipeline.archive.sensors import SENSORS
from pipeline.optics import sigma_from_mtf
from pipeline.recipe_settings import DegradeSettings
from pipeline.scene import Sensor
from pipeline.settings_sources import load_settings
from pipeline.superres.sensing.degrade import Degrade
from pipeline.superres.sensing.measured import resampled_by_nearest
from pipeline.superres.sensing.prepare import choose_blur, prepare
from tests.scenes import SENSOR, scene_of, truth_and_lr


def prepared(scene, *assignments):
    return prepare(scene, load_settings(assignments=assignments, environment={}).recipe.resolved())


def test_a_grid_filled_by_repeating_pixels_is_recognized():
    _, lr = truth_and_lr(256, 4)
    columns = np.round(np.linspace(0, 63, 75)).astype(int)
    assert not resampled_by_nearest(lr, 0.0)
    assert resampled_by_nearest(lr[:, columns], 0.0)


def test_coarse_counts_are_no_repeated_pixels():
    _, lr = truth_and_lr(256, 4)
    assert not resampled_by_nearest((np.round(lr / 0.5) * 0.5).astype(np.float32), 0.5)


def test_the_optics_are_not_undone_on_a_grid_that_repeats_pixels():
    _, lr = truth_and_lr(256, 4)
    columns = np.round(np.linspace(0, 63, 75)).astype(int)
    facts = prepared(scene_of(lr[:, columns])).facts
    assert facts["psf_sigma_px"] == 0.0
    assert "nearest neighbor" in facts["psf_source"]
    assert prepared(scene_of(lr)).facts["psf_sigma_px"] == SENSOR.psf_sigma_px


def test_a_setting_beats_what_was_found():
    blur = choose_blur(SENSOR, DegradeSettings(psf_sigma_px=0.25), unknowable=True)
    assert blur.facts == {"psf_sigma_px": 0.25, "psf_source": "recipe.degrade.psf_sigma_px"}
    assert blur.at(4) == Degrade.gaussian(4, 0.25)


def test_contrast_at_nyquist_is_another_word_for_the_same_blur():
    assert choose_blur(SENSOR, DegradeSettings(mtf_nyquist=0.3)).at(2) == Degrade.gaussian(
        2, sigma_from_mtf(0.3)
    )


def test_another_scale_shares_what_was_prepared():
    at_x4 = prepared(scene_of(truth_and_lr(256, 4)[1]))
    at_x2 = at_x4.at_scale(2)
    assert at_x2.measured is at_x4.measured
    assert at_x2.degrade == Degrade.gaussian(2, SENSOR.psf_sigma_px)


def test_noise_is_what_the_table_says_and_an_estimate_three_times_off_is_a_warning():
    generator = np.random.default_rng(0)
    lr = (290 + generator.normal(0, 0.4, (96, 96))).astype(np.float32)
    warned = {}
    for nedt_k in (0.05, 0.3, 2.0):
        found = prepared(scene_of(lr, sensor=Sensor("made", 70.0, 0.4, nedt_k, float("nan"), "for tests")))
        assert found.noise == nedt_k
        assert found.facts["nedt_estimate_k"] == pytest.approx(0.4, rel=0.2)
        warned[nedt_k] = found.facts.get("noise_warning", "")
    assert warned[0.05].startswith("noise 0.05 K assumed, 0.")
    assert warned[2.0].startswith("noise 2 K assumed, 0.")
    assert not warned[0.3]


def test_the_noise_of_an_unknown_sensor_is_estimated_and_its_optics_are_left_alone():
    generator = np.random.default_rng(0)
    lr = (290 + generator.normal(0, 0.4, (96, 96))).astype(np.float32)
    found = prepared(scene_of(lr, sensor=SENSORS["unknown"]))
    assert found.noise == pytest.approx(0.4, rel=0.2)
    assert found.degrade == Degrade.gaussian(4, 0.0)

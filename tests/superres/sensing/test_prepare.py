"""Blur and noise of a scene: what is known, what is estimated, what must not be undone."""

import numpy as np
import pytest

from pipeline.recipe_settings import DegradeSettings
from pipeline.scene import Sensor
from pipeline.superres.sensing.degrade import Degrade
from pipeline.superres.sensing.prepare import forward_model, resampled_by_nearest, working_scene
from tests.scenes import SENSOR, scene_of, truth_and_lr


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
    facts = working_scene(scene_of(lr[:, columns]), DegradeSettings(), 4).facts
    assert facts["psf_sigma_px"] == 0.0
    assert "nearest neighbor" in facts["psf_source"]
    assert working_scene(scene_of(lr), DegradeSettings(), 4).facts["psf_sigma_px"] == SENSOR.psf_sigma_px


def test_a_setting_beats_what_was_found():
    degrade, facts = forward_model(SENSOR, DegradeSettings(psf_sigma_px=0.25), 4, None, blind=True)
    assert facts == {"psf_sigma_px": 0.25, "psf_source": "recipe.degrade.psf_sigma_px"}
    assert degrade == Degrade.gaussian(4, 0.25)


def test_noise_is_the_larger_of_table_and_estimate():
    generator = np.random.default_rng(0)
    lr = (290 + generator.normal(0, 0.4, (96, 96))).astype(np.float32)
    quiet = Sensor("quiet", 70.0, 0.4, 0.05, float("nan"), "made for tests")
    loud = Sensor("loud", 70.0, 0.4, 2.0, float("nan"), "made for tests")
    assert working_scene(scene_of(lr, sensor=quiet), DegradeSettings(), 4).noise == pytest.approx(
        0.4, rel=0.2
    )
    assert working_scene(scene_of(lr, sensor=loud), DegradeSettings(), 4).noise == 2.0

"""A blur found in the pixels alone."""

from functools import cache

import numpy as np
import pytest
from scipy.fft import idctn

from pipeline.recipe import Recipe
from pipeline.recipe_settings import DegradeSettings
from pipeline.superres.sensing.degrade import Degrade
from pipeline.superres.sensing.estimated_blur import estimate_blur
from pipeline.superres.sensing.prepare import prepare
from tests.scenes import scene_of


@cache
def seen(sigma_px, *, noise=0.0, side_px=192, slope=1.3):
    """A rough ground, alike at every scale, as a sensor with this blur sees it."""
    generator = np.random.default_rng(5)
    y, x = np.meshgrid(*[np.arange(8 * side_px)] * 2, indexing="ij")
    amplitude = np.hypot(y, x).clip(1) ** -slope
    ground = idctn(amplitude * generator.normal(size=amplitude.shape), norm="ortho")
    lr = Degrade.gaussian(8, sigma_px)((290 + 1600 * ground).astype(np.float32))
    return (lr + generator.normal(0, noise, lr.shape)).astype(np.float32)


def estimated(lr, valid=None, noise=0.0):
    valid = np.ones(lr.shape, bool) if valid is None else valid
    return estimate_blur(lr, valid, noise, np.random.default_rng(1))


@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("sigma_px", [0.2, 0.35, 0.5, 0.65])
def test_the_blur_of_a_ground_that_is_alike_at_every_scale_is_found(sigma_px, noise):
    assert estimated(seen(sigma_px, noise=noise), noise=noise) == pytest.approx(sigma_px, abs=0.06)


def test_what_stands_in_holes_does_not_matter():
    lr, valid = seen(0.4), np.ones((192, 192), bool)
    valid[100:130, 40:90] = False
    filled = np.where(valid, lr, np.float32(400))
    assert estimated(filled, valid) == estimated(lr, valid)
    assert estimated(filled, valid) == pytest.approx(0.4, abs=0.08)


@pytest.mark.parametrize("lr", [seen(0.4)[:24, :24], np.full((96, 96), 300, np.float32)])
def test_nothing_is_found_where_nothing_can_be(lr):
    assert estimated(lr) is None


def test_nothing_is_found_in_noise():
    noise = np.random.default_rng(2).normal(0, 0.5, (96, 96)).astype(np.float32)
    assert estimated(300 + noise, noise=0.5) is None


def prepared(lr):
    return prepare(scene_of(lr), Recipe(degrade=DegradeSettings(blur="estimate")))


def test_a_recipe_that_asks_takes_it_and_says_so():
    facts = prepared(seen(0.55)).facts
    assert facts["psf_sigma_px"] == pytest.approx(0.55, abs=0.06)
    assert "estimated from the scene's spectrum" in facts["psf_source"]


def test_where_there_is_no_estimate_the_table_stays_and_the_record_says_why():
    facts = prepared(seen(0.55)[:24, :24]).facts
    assert facts["psf_sigma_px"] == 0.4
    assert facts["psf_source"].endswith("too small or too noisy for an estimate")

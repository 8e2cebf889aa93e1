"""The scene as its own judge: gains and uncertainties that can be checked."""

import math
from dataclasses import replace

import numpy as np
import pytest

from pipeline.grid import Window
from pipeline.settings_sources import load_settings
from pipeline.superres.applying.enlarge import base_upscaler
from pipeline.superres.applying.method import Method, Picture
from pipeline.superres.bases.base import bicubic_base
from pipeline.superres.bases.projection import Projection
from pipeline.superres.judging.error_model import fit_errors
from pipeline.superres.judging.gain import expected_gain, gain_of_prior, gain_of_trained
from pipeline.superres.judging.selftest import FittedGain, SelfTest, enlarge_smoothly, fit_gain, self_test
from pipeline.superres.sensing.degrade import Degrade
from pipeline.superres.sensing.prepare import prepare
from tests.scenes import scene_of, truth_and_lr
from tests.superres.upscalers import smooth_upscaler

UNTESTED = FittedGain(0.0, math.inf, 0)


def made_test(gain=0.7, error_k=0.5, side_px=128, seed=0):
    """Truth = base + gain * detail + errors that grow with a known activity."""
    generator = np.random.default_rng(seed)
    shape = (side_px, side_px)
    activity = (0.2 + generator.uniform(0, 1, (side_px // 8, side_px // 8))).repeat(8, 0).repeat(8, 1)
    base = np.full(shape, 300.0)
    detail = generator.normal(0, 1, shape)
    truth = base + gain * detail + error_k * activity * generator.normal(0, 1, shape)
    truth, base, detail, activity = (part.astype(np.float32) for part in (truth, base, detail, activity))
    return SelfTest(
        truth=truth,
        bicubic=base,
        recover=lambda gain: base + np.float32(gain) * detail,
        spread=np.zeros_like(base),
        activity=activity,
        compared=np.ones(shape, dtype=bool),
    )


def of_prior(fitted, expected, *, scale, error=0.0, alarmed=False, own_counts=True):
    """The published gain of a prior that is expected to have this one."""
    told = expected_gain("the record", expected, error)
    return gain_of_prior(fitted, told, scale=scale, alarmed=alarmed, own_counts=own_counts).value


@pytest.mark.parametrize("gain", [0.0, 0.4, 1.0])
def test_the_gain_that_was_built_in_is_found(gain):
    fitted = fit_gain(made_test(gain))
    assert abs(fitted.gain - gain) < 4 * fitted.error + 1e-6
    assert fitted.error < 0.05


def test_the_gain_is_fitted_to_what_is_published_where_the_last_step_is_not_linear():
    straight = made_test(0.3, error_k=0.01)
    detail = straight.recover(1.0) - straight.base
    bent = replace(straight, recover=lambda gain: straight.base + np.float32(gain - gain**2 / 2) * detail)
    assert fit_gain(bent).gain == pytest.approx(1 - 0.4**0.5, abs=0.03)  # where gain - gain^2 / 2 is 0.3


def test_under_noise_the_test_recovers_what_is_published_at_every_gain():
    degrade, lr = Degrade.gaussian(4, 0.4), truth_and_lr(512, 4, nedt_k=0.1)[1]
    assignments = ["recipe.degrade.psf_sigma_px=0.4", "recipe.degrade.nedt_k=0.1"]
    prepared = prepare(scene_of(lr), load_settings(assignments=assignments, environment={}).recipe)
    method = Method(
        base_upscaler(bicubic_base(4)), passes=(smooth_upscaler(4),), projection=Projection.of(degrade, 0.1)
    )
    whole = [Window(0, 0, *prepared.valid.shape)]
    test = self_test(method, prepared, whole, np.random.default_rng(0))
    seen = degrade(lr) + np.random.default_rng(0).normal(0, 0.1, (32, 32)).astype(np.float32)
    half = Picture.of(seen, np.ones(seen.shape, dtype=bool), 0.5)
    np.testing.assert_array_equal(test.at(0.5).product, method(half, half.window).hr)
    halfway = test.base + np.float32(0.5) * (test.at(1.0).product - test.base)
    assert np.abs(test.at(0.5).product - halfway).max() > 0.001  # the last step is not linear under noise


def test_a_few_tiles_switch_the_network_off():
    fitted = fit_gain(made_test(side_px=16))
    assert gain_of_trained(fitted, scale=4, alarmed=False).value == 0.0


def test_an_unsure_test_gives_less_than_it_found():
    assert gain_of_trained(FittedGain(0.8, 0.3, 20), scale=2, alarmed=False).value == pytest.approx(0.5)
    assert gain_of_trained(FittedGain(2.5, 0.1, 20), scale=2, alarmed=False).value == 1.5


def test_a_network_taught_by_the_scene_alone_is_believed_less_the_further_it_enlarges():
    gains = [gain_of_trained(FittedGain(0.9, 0.1, 20), scale=s, alarmed=False).value for s in (2, 4, 8)]
    assert gains == pytest.approx([0.8, 0.4, 0.2])


@pytest.mark.parametrize("own_counts", [True, False])
def test_no_prior_is_published_where_the_scene_itself_says_that_it_harms(own_counts):
    assert of_prior(FittedGain(-1.0, 0.05, 400), 0.9, scale=4, own_counts=own_counts) == 0.0


def test_a_gain_of_zero_says_what_was_known():
    told = expected_gain("the record", 0.9, 0.1)
    gain = gain_of_prior(FittedGain(-1.0, 0.05, 400), told, scale=2, alarmed=False, own_counts=True)
    assert "the record 0.90 +- 0.10" in gain.reason
    assert "the scene's own test -1.00" in gain.reason


def test_a_test_that_does_not_count_has_a_veto():
    doubtful, good = FittedGain(0.0, 0.05, 400), FittedGain(5.0, 0.05, 400)
    assert of_prior(doubtful, 0.9, scale=2, own_counts=False) == pytest.approx(0.316, abs=1e-3)
    assert of_prior(good, 0.6, scale=2, own_counts=False) == pytest.approx(0.6)


def test_a_prior_with_a_good_record_outweighs_a_small_test():
    assert of_prior(FittedGain(0.0, 1.0, 5), 1.0, scale=4, error=0.1) > 0.9
    assert of_prior(FittedGain(-1.0, 0.05, 400), 1.0, scale=2, error=0.3) < 0.3


def test_a_scene_too_small_for_a_test_believes_a_prior_by_half_at_x8():
    gains = [of_prior(UNTESTED, 0.9, scale=scale, own_counts=False) for scale in (2, 4, 8)]
    assert gains == [0.9, 0.9, 0.5]
    assert of_prior(UNTESTED, 0.9, scale=4, alarmed=True) == 0.25
    assert of_prior(UNTESTED, -0.2, scale=4) == 0.0
    assert gain_of_trained(UNTESTED, scale=2, alarmed=False).value == 0.0


@pytest.mark.parametrize("error_k", [0.1, 1.0])
def test_one_sigma_holds_68_percent_of_left_out_pixels(error_k):
    model = fit_errors(made_test(error_k=error_k).at(0.7), 0.0)
    assert model.coverage == pytest.approx(0.683, abs=0.04)


def test_sigma_follows_the_contrast_that_the_errors_follow():
    test = made_test(error_k=1.0)
    sigma = fit_errors(test.at(0.7), 0.0).sigma(test.activity, test.spread)
    np.testing.assert_allclose(sigma, test.activity, rtol=0.3)


def test_without_a_self_test_the_model_says_that_it_is_not_calibrated():
    model = fit_errors(None, 0.1)
    assert not model.calibrated
    assert np.isnan(model.coverage)


def test_smooth_enlargement_never_overshoots():
    values = np.random.default_rng(0).uniform(1, 2, (7, 9)).astype(np.float32)
    fine = enlarge_smoothly(values, 4)
    assert fine.shape == (28, 36)
    assert values.min() - 1e-6 <= fine.min() <= fine.max() <= values.max() + 1e-6


def test_where_the_network_is_off_the_contrast_alone_decides():
    test = made_test(error_k=1.0)
    spread = np.full_like(test.activity, 0.3)
    model = fit_errors(replace(test, spread=spread).at(0.7), 0.0)
    off = model.sigma(test.activity, np.zeros_like(spread))
    np.testing.assert_allclose(off, test.activity, rtol=0.5)
    assert (off > 0).all()

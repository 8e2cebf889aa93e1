"""The scene as its own judge: gains and uncertainties that can be checked."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.superres.judging.error_model import fit_errors
from pipeline.superres.judging.selftest import (
    UNHEARD,
    SelfTest,
    Verdict,
    enlarge_smoothly,
    judge,
    published_gain,
)


def made_test(gain=0.7, error_k=0.5, side_px=128, seed=0):
    """Truth = base + gain * detail + errors that grow with a known activity."""
    generator = np.random.default_rng(seed)
    shape = (side_px, side_px)
    activity = (0.2 + generator.uniform(0, 1, (side_px // 8, side_px // 8))).repeat(8, 0).repeat(8, 1)
    base = np.full(shape, 300.0)
    detail = generator.normal(0, 1, shape)
    truth = base + gain * detail + error_k * activity * generator.normal(0, 1, shape)
    parts = (truth, base, base, base + detail, np.zeros(shape), activity)
    return SelfTest(*(part.astype(np.float32) for part in parts), jury=np.ones(shape, dtype=bool))


@pytest.mark.parametrize("gain", [0.0, 0.4, 1.0])
def test_the_jury_finds_the_gain_that_was_built_in(gain):
    verdict = judge(made_test(gain))
    assert abs(verdict.gain - gain) < 4 * verdict.gain_error + 1e-6
    assert verdict.gain_error < 0.05


def test_a_jury_of_a_few_tiles_switches_the_network_off():
    test = made_test(side_px=16)
    assert published_gain(judge(test), scale=4) == 0.0


def test_an_unsure_jury_gives_less_than_it_found():
    assert published_gain(Verdict(0.8, 0.3, 20), scale=2) == pytest.approx(0.5)
    assert published_gain(Verdict(1.5, 0.1, 20), scale=2) == 1.0


def test_a_network_taught_by_the_scene_alone_is_believed_less_the_further_it_enlarges():
    gains = [published_gain(Verdict(0.9, 0.1, 20), scale=scale) for scale in (2, 4, 8)]
    assert gains == pytest.approx([0.8, 0.4, 0.2])


@pytest.mark.parametrize("voice", [True, False])
def test_no_prior_is_published_where_the_scene_itself_says_that_it_harms(voice):
    harmful = Verdict(-1.0, 0.05, 400)
    assert published_gain(harmful, scale=4, prior_gain=0.9, voice=voice) == 0.0


def test_a_jury_without_a_voice_has_a_veto_but_no_vote():
    doubtful, good = Verdict(0.0, 0.05, 400), Verdict(5.0, 0.05, 400)
    assert published_gain(doubtful, scale=2, prior_gain=0.9, voice=False) == pytest.approx(0.316, abs=1e-3)
    assert published_gain(good, scale=2, prior_gain=0.6, voice=False) == pytest.approx(0.6)


def test_a_prior_with_a_good_record_outweighs_a_small_jury():
    unsure = Verdict(0.0, 1.0, 5)
    assert published_gain(unsure, scale=4, prior_gain=1.0, prior_error=0.1) > 0.9
    sure = Verdict(-1.0, 0.05, 400)
    assert published_gain(sure, scale=2, prior_gain=1.0, prior_error=0.3) < 0.3


def test_a_scene_without_a_jury_believes_a_prior_by_half_at_x8():
    gains = [published_gain(UNHEARD, scale=scale, prior_gain=0.9, voice=False) for scale in (2, 4, 8)]
    assert gains == [0.9, 0.9, 0.5]
    assert published_gain(UNHEARD, scale=4, prior_gain=0.9, alarmed=True) == 0.25
    assert published_gain(UNHEARD, scale=4, prior_gain=-0.2) == 0.0
    assert published_gain(UNHEARD, scale=2) == 0.0


@pytest.mark.parametrize("error_k", [0.1, 1.0])
def test_one_sigma_holds_68_percent_of_left_out_pixels(error_k):
    model = fit_errors(made_test(error_k=error_k), 0.7, 0.0)
    assert model.coverage == pytest.approx(0.683, abs=0.04)


def test_sigma_follows_the_contrast_that_the_errors_follow():
    test = made_test(error_k=1.0)
    sigma = fit_errors(test, 0.7, 0.0).sigma(test.activity, test.spread)
    np.testing.assert_allclose(sigma, test.activity, rtol=0.3)


def test_without_a_self_test_the_model_says_that_it_is_not_calibrated():
    model = fit_errors(None, 0.0, 0.1)
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
    model = fit_errors(replace(test, spread=spread), 0.7, 0.0)
    off = model.sigma(test.activity, np.zeros_like(spread))
    np.testing.assert_allclose(off, test.activity, rtol=0.5)
    assert (off > 0).all()

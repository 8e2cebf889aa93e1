"""A large scene is judged by a sample of it, and says how sure that is."""

import numpy as np
import pytest

from pipeline.settings_sources import load_settings
from pipeline.superres.applying.enlarge import base_upscaler
from pipeline.superres.applying.method import Method
from pipeline.superres.bases.base import bicubic_base
from pipeline.superres.judging import sample
from pipeline.superres.judging.sample import sample_windows
from pipeline.superres.judging.selftest import fit_gain, self_test, skill_figures
from pipeline.superres.sensing.prepare import prepare
from tests.scenes import scene_of, truth_and_lr
from tests.superres.upscalers import smooth_upscaler


@pytest.fixture(scope="module")
def prepared():
    lr = truth_and_lr(768, 2, nedt_k=0.1)[1]
    lr[40:120, 30:200] = np.nan
    return prepare(scene_of(lr), load_settings(assignments=["recipe.scale=2"], environment={}).recipe)


@pytest.fixture
def small_sample(monkeypatch):
    for name, value in (("SIDE_PX", 96), ("WINDOWS", 6), ("MOST_PIXELS", 6 * 96**2)):
        monkeypatch.setattr(sample, name, value)


def judged(prepared, held_out=None):
    method = Method(base_upscaler(bicubic_base(2)), passes=(smooth_upscaler(2),))
    generator = np.random.default_rng(0)
    return self_test(method, prepared, sample_windows(prepared.valid, generator), generator, held_out)


def test_a_scene_that_is_not_large_is_tested_whole(prepared):
    test, generator = judged(prepared), np.random.default_rng(0)
    (window,) = sample_windows(prepared.valid, generator)
    assert window.slices == np.s_[0:384, 0:384]
    assert test.truth.shape == (384, 384)
    assert generator.random() == np.random.default_rng(0).random()
    assert "selftest_rmse_error_k" not in skill_figures(test)


def test_of_a_large_scene_no_more_than_the_sample_is_compared(prepared, small_sample):
    windows = sample_windows(prepared.valid, np.random.default_rng(0))
    assert len({(window.row, window.column) for window in windows}) == 6
    assert all(prepared.valid[window.slices].any() for window in windows)
    test = judged(prepared)
    assert test.truth.shape == (96, 6 * 96)
    np.testing.assert_array_equal(test.truth[:, :96], prepared.lr[windows[0].slices])
    assert 0 < skill_figures(test)["selftest_pixels"] < 6 * 96**2


def test_the_sample_tells_the_error_of_the_whole_within_its_own_error(prepared, monkeypatch):
    whole = judged(prepared).at(0.0)
    for name, value in (("SIDE_PX", 96), ("WINDOWS", 6), ("MOST_PIXELS", 6 * 96**2)):
        monkeypatch.setattr(sample, name, value)
    part = judged(prepared)
    wanted, found = skill_figures(whole), skill_figures(part.at(0.0))
    error = found["selftest_rmse_error_k"]
    assert 0 < error < wanted["selftest_rmse_k"]
    assert abs(found["selftest_rmse_k"] - wanted["selftest_rmse_k"]) < 3 * error
    assert fit_gain(part).tiles > 0


def test_pixels_that_a_training_saw_are_not_compared_in_a_sample_either(prepared, small_sample):
    held_out = np.zeros(prepared.valid.shape, bool)
    held_out[200:, :] = True
    test = judged(prepared, held_out)
    assert test.compared.any()
    assert test.inner.sum() > test.compared.sum()
    windows = sample_windows(prepared.valid, np.random.default_rng(0))
    seen = np.hstack([held_out[window.slices] for window in windows])
    assert not (test.compared & ~seen).any()

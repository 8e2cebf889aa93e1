"""The last projection: consistent within the noise, at borders, beside holes, on tiles."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.superres.bases import base as bases
from pipeline.superres.bases.projection import Projection
from pipeline.superres.sensing.degrade import Degrade
from pipeline.superres.sensing.holes import fill_nearest
from pipeline.trials.metrics import consistency_residual, consistency_rmse_k
from tests.superres.textures import holes, leaning, rough


def seen(hr, missing, scale):
    """The answer as it is published: NaN where the scene has no data."""
    return np.where(np.repeat(np.repeat(missing, scale, 0), scale, 1), np.nan, hr)


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("sigma", [0.0, 0.4, 0.5])
def test_whatever_comes_in_the_sensor_sees_the_scene(scale, sigma):
    degrade = Degrade.gaussian(scale, sigma)
    lr = degrade(rough((40 * scale, 40 * scale)))
    answer = Projection.of(degrade, 0.0)(bases.bicubic(lr, scale), lr, np.ones(lr.shape, bool))
    assert consistency_rmse_k(answer, lr, degrade) < 2e-4
    assert np.abs(consistency_residual(answer, lr, degrade)).max() < 1e-3


def test_it_also_does_under_a_kernel_that_no_column_and_row_make():
    degrade = Degrade.from_kernel(2, leaning(2, 0.5, 0.3))
    lr = degrade(rough((80, 80)))
    answer = Projection.of(degrade, 0.0)(bases.bicubic(lr, 2), lr, np.ones(lr.shape, bool))
    assert consistency_rmse_k(answer, lr, degrade) < 2e-4


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("sigma", [0.0, 0.3, 0.4])
def test_it_also_does_beside_holes(scale, sigma):
    degrade = Degrade.gaussian(scale, sigma)
    lr = degrade(rough((80 * scale, 80 * scale)))
    missing = holes(lr.shape)
    lr[missing] = np.nan
    filled = fill_nearest(lr)
    answer = Projection.of(degrade, 0.0)(bases.tikhonov_base(degrade, 1e-6, 1.5)(filled), filled, ~missing)
    assert consistency_rmse_k(seen(answer, missing, scale), lr, degrade) < 1e-3


def test_under_wide_blur_it_does_not_run_away_beside_holes():
    degrade = Degrade.gaussian(2, 0.6)
    lr = degrade(rough((160, 160)))
    missing = holes(lr.shape)
    lr[missing] = np.nan
    filled = fill_nearest(lr)
    before = bases.tikhonov_base(degrade, 1e-6, 1.5)(filled)
    after = Projection.of(degrade, 0.0)(before, filled, ~missing)
    rest = [consistency_rmse_k(seen(hr, missing, 2), lr, degrade) for hr in (before, after)]
    assert rest[1] < 0.5 * rest[0]


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_what_lies_under_the_mask_changes_no_valid_pixel(noise):
    degrade = Degrade.gaussian(2, 0.4)
    lr = degrade(rough((96, 96)))
    missing = holes(lr.shape)
    fine = np.repeat(np.repeat(missing, 2, 0), 2, 1)
    projection, hr = Projection.of(degrade, noise), bases.bicubic(lr, 2)
    one, other = (
        projection(np.where(fine, np.float32(fill), hr), np.where(missing, np.float32(fill), lr), ~missing)
        for fill in (0, 400)
    )
    np.testing.assert_array_equal(one[~fine], other[~fine])


@settings(max_examples=10, deadline=None)
@given(
    noise=st.sampled_from([0.05, 0.1, 0.5]),
    seed=st.integers(0, 99),
    start=st.sampled_from(["bicubic", "off"]),
)
def test_under_noise_the_rest_is_at_most_the_noise_and_has_no_bias(noise, seed, start):
    degrade = Degrade.gaussian(4, 0.4)
    clean = degrade(rough((256, 256), seed))
    lr = (clean + np.random.default_rng(seed).normal(0, noise, clean.shape)).astype(np.float32)
    hr = bases.bicubic(lr, 4) + np.float32(0.7 if start == "off" else 0)
    rest = consistency_residual(Projection.of(degrade, noise)(hr, lr, np.ones(lr.shape, bool)), lr, degrade)
    assert np.sqrt(np.mean(rest**2)) <= noise
    assert abs(rest.mean()) < 1e-3


def test_an_answer_as_close_as_the_noise_allows_is_left_alone():
    degrade, noise = Degrade.gaussian(2, 0.4), 0.2
    hr = rough((256, 256))
    lr = (degrade(hr) + np.random.default_rng(0).normal(0, 0.9 * noise, (128, 128))).astype(np.float32)
    after = Projection.of(degrade, noise)(hr, lr, np.ones(lr.shape, bool))
    exact = Projection.of(degrade, 0.0)(hr, lr, np.ones(lr.shape, bool))
    assert np.sqrt(np.mean((after - hr) ** 2)) < 0.3 * np.sqrt(np.mean((exact - hr) ** 2))


def test_it_brings_a_wrong_answer_closer_to_the_truth():
    degrade = Degrade.gaussian(4, 0.4)
    truth = rough((256, 256))
    lr = degrade(truth)
    wrong = bases.bicubic(lr, 4)
    right = Projection.of(degrade, 0.0)(wrong, lr, np.ones(lr.shape, bool))
    assert np.mean((right - truth) ** 2) < 0.9 * np.mean((wrong - truth) ** 2)


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_a_tile_with_its_halo_gets_the_pixels_of_the_whole(noise):
    degrade = Degrade.gaussian(2, 0.4)
    projection = Projection.of(degrade, noise)
    halo = projection.reach_px
    side = 2 * halo + 16 + 20
    lr = degrade(rough((2 * side, 2 * side)))
    valid, hr = ~holes(lr.shape, share=0.1), bases.bicubic(lr, 2)
    whole = projection(hr, lr, valid)
    cut, fine = np.s_[10:-10, 10:-10], np.s_[20:-20, 20:-20]
    tile = projection(hr[fine], lr[cut], valid[cut])
    inner = np.s_[2 * halo : -2 * halo, 2 * halo : -2 * halo]
    np.testing.assert_allclose(tile[inner], whole[fine][inner], atol=1e-4)


def test_nothing_valid_changes_nothing():
    degrade = Degrade.gaussian(2, 0.4)
    hr = rough((16, 16))
    answer = Projection.of(degrade, 0.1)(hr, np.zeros((8, 8), np.float32), np.zeros((8, 8), bool))
    np.testing.assert_array_equal(answer, hr)

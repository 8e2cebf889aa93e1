"""Figures in kelvin: the referee's own numbers, and truths that are known by construction."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from pipeline.superres.bases import base as bases
from pipeline.superres.sensing.degrade import Degrade
from pipeline.trials.metrics import (
    accuracy,
    consistency_rmse_k,
    detail_shares,
    errors_by_class,
    errors_by_gradient,
    seam_index,
    shift_px,
)
from tests.scenes import truth_and_lr
from tests.superres.textures import holes, rough

BENCH = Path(__file__).parents[2] / ".." / "shared" / "bench"


@pytest.fixture(scope="module")
def referee():
    if not (BENCH / "ops.py").is_file():
        pytest.skip("../shared/bench is not here")
    spec = importlib.util.spec_from_file_location("referee_quality_ops", BENCH / "ops.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["referee_quality_ops"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("scale", [2, 4])
def test_figures_are_the_referees(referee, scale):
    truth = rough((48 * scale, 48 * scale))
    theirs, ours = referee.Degradation("mtf", scale), Degrade.gaussian(scale, 0.4)
    lr = theirs(truth)
    answer = bases.bicubic(lr, scale) + np.float32(0.1)
    wanted = referee.metrics(answer, truth, lr, theirs)
    found = accuracy(answer, truth, lr, ours)
    for name in ("rmse_k", "bias_k", "consistency_k", "psnr_db", "ssim", "detail_gain", "peak_k"):
        assert getattr(found, name) == pytest.approx(wanted[name], rel=2e-3, abs=2e-4), name
    assert found.p99_error_k == pytest.approx(wanted["p99_abs_err_k"], abs=1e-4)
    assert found.detail_correlation == pytest.approx(wanted["detail_corr"], abs=2e-3)
    assert found.overshoot_k * 1e3 == pytest.approx(wanted["overshoot_mk"], abs=2e-3)


def test_the_truth_itself_is_perfect():
    degrade, truth = Degrade.gaussian(2, 0.4), rough((64, 64))
    figures = accuracy(truth, truth, degrade(truth), degrade)
    assert figures.rmse_k == figures.bias_k == figures.overshoot_k == 0
    assert figures.ssim == pytest.approx(1)
    assert figures.detail_gain == pytest.approx(1)
    assert figures.detail_correlation == pytest.approx(1)
    assert figures.consistency_k < 1e-4


def test_holes_do_not_count():
    degrade, truth = Degrade.gaussian(2, 0.4), rough((96, 96))
    answer = truth + np.float32(0.25)
    missing = np.repeat(np.repeat(holes((48, 48)), 2, 0), 2, 1)
    lr = degrade(truth)
    answer[missing] = np.nan
    figures = accuracy(answer, truth, lr, degrade)
    assert figures.bias_k == pytest.approx(0.25, abs=1e-4)
    assert figures.rmse_k == pytest.approx(0.25, abs=1e-4)


def test_shapes_that_do_not_belong_together_are_refused():
    degrade, truth = Degrade.gaussian(2, 0.4), rough((32, 32))
    with pytest.raises(ValueError, match=r"scene \(8, 8\) differ from x2"):
        accuracy(truth, truth, np.zeros((8, 8), np.float32), degrade)


def test_nothing_valid_is_refused():
    degrade, truth = Degrade.gaussian(2, 0.4), rough((32, 32))
    with pytest.raises(ValueError, match="no pixel is valid both in the answer and in the truth"):
        accuracy(np.full_like(truth, np.nan), truth, degrade(truth), degrade)


def test_consistency_of_nothing_is_unknown():
    assert np.isnan(
        consistency_rmse_k(
            np.full((8, 8), np.nan, np.float32), np.zeros((4, 4), np.float32), Degrade.gaussian(2, 0.4)
        )
    )


def test_a_seam_is_seen_and_texture_is_not():
    hr = rough((256, 256))
    assert seam_index(hr, 64) == pytest.approx(1, abs=0.15)
    hr[64:128] += 1
    assert seam_index(hr, 64) > 1.2


def test_an_enlarged_scene_shows_its_pixels_but_no_seams():
    degrade = Degrade.gaussian(4, 0.4)
    enlarged = bases.bicubic(degrade(rough((512, 512))), 4)
    assert seam_index(enlarged, 64, scale=4) == pytest.approx(1, abs=0.05)


def test_a_scene_of_one_tile_has_no_seam_to_look_at():
    with pytest.raises(ValueError, match="no line between tiles of 64 pixels"):
        seam_index(rough((32, 32)), 64)


@pytest.mark.parametrize("wanted", [(0.0, 0.0), (0.02, -0.03), (0.4, 0.25), (-1.2, 0.7)])
def test_a_known_shift_is_found_within_5_thousandths(wanted):
    fine = rough((512, 512)).astype(np.float64)
    moved = ndimage.shift(fine, [2 * part for part in wanted], order=5, mode="nearest")
    degrade = Degrade.gaussian(2, 0.4)
    found = shift_px(degrade(moved), degrade(fine))
    np.testing.assert_allclose(found, wanted, atol=0.005)


def test_sharper_is_not_shifted():
    degrade, hr = Degrade.gaussian(4, 0.4), rough((256, 256))
    np.testing.assert_allclose(shift_px(bases.bicubic(degrade(hr), 4), hr), 0, atol=0.02)


def test_a_shift_is_found_beside_holes_and_unknown_on_a_flat_field():
    fine = rough((256, 256))
    moved = ndimage.shift(fine, (0.5, 0), order=5, mode="nearest").astype(np.float32)
    moved[holes(moved.shape, share=0.1)] = np.nan
    np.testing.assert_allclose(shift_px(moved, fine), (0.5, 0), atol=0.02)
    assert np.isnan(shift_px(np.full((64, 64), 300.0), np.full((64, 64), 300.0))).all()


def test_the_mean_absolute_error_counts_every_pixel_alike():
    truth = rough((48, 48))
    rows, columns = np.indices(truth.shape)
    wrong = truth + np.where((rows + columns) % 2, 0.5, -0.25).astype(np.float32)
    found = accuracy(wrong, truth, Degrade.gaussian(2, 0.4)(truth), Degrade.gaussian(2, 0.4))
    assert found.mae_k == pytest.approx(0.375, abs=1e-4)
    assert found.bias_k == pytest.approx(0.125, abs=1e-4)


@pytest.mark.parametrize(
    ("answer", "shares"),
    [
        ([0, 0, 0], (0, 1, 0)),  # nothing is omission
        ([1, -2, 0], (1, 0, 0)),  # the truth
        ([0.5, -1, 0], (0.5, 0.5, 0)),
        ([-1, 2, 0], (0, 0.5, 0.5)),  # the wrong sign lacks all and invents as much
        ([1, -2, 3], (0.5, 0, 0.5)),
        ([2, -4, 0], (0.5, 0, 0.5)),  # too much of the right
    ],
)
def test_detail_is_right_lacking_or_invented(answer, shares):
    found = detail_shares(np.array(answer, dtype=np.float64), np.array([1.0, -2.0, 0.0]))
    assert found == pytest.approx(shares)


def test_the_shares_of_an_answer_sum_to_one():
    truth, lr = truth_and_lr(96, 2, seed=2)
    degrade = Degrade.gaussian(2, 0.4)
    noisy = truth + np.random.default_rng(0).normal(0, 1, truth.shape).astype(np.float32)
    smooth, wild = (accuracy(answer, truth, lr, degrade) for answer in (bases.bicubic(lr, 2), noisy))
    for found in (smooth, wild):
        total = found.improvement_fraction + found.omission_fraction + found.hallucination_fraction
        assert total == pytest.approx(1)
    assert smooth.omission_fraction > 0.7
    assert wild.hallucination_fraction > smooth.hallucination_fraction


def test_errors_are_told_by_gradient_and_by_class():
    truth = np.full((40, 60), 300.0)
    truth[:, 20:40] += np.arange(20)
    truth[:, 40:] += 19 + 3 * np.arange(20)
    classes = np.repeat([1, 2, 7], 20)[None].repeat(40, axis=0)
    answer = truth + np.array([0.0, 1.0, -2.0])[np.searchsorted([1, 2, 7], classes)]
    assert errors_by_class(answer, truth, classes, 4) == {"1": 0, "2": 1, "7": 2}
    by_gradient = errors_by_gradient(answer, truth, 0)
    assert by_gradient["calm"] == pytest.approx(0, abs=0.3)
    assert by_gradient["steep"] == pytest.approx(2, abs=0.3)
    assert list(by_gradient) == ["calm", "middle", "steep"]

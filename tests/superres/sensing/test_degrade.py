"""The forward model: identities, borders, holes, and the referee's own definition."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from pipeline.optics import sigma_from_mtf
from pipeline.superres.sensing.degrade import Degrade, dense_matrix
from tests.superres.textures import leaning

BENCH = Path(__file__).parents[3] / ".." / "shared" / "bench"
scales = st.sampled_from([2, 3, 4, 8])
sigmas = st.floats(0, 0.7)


def field(shape, seed=0):
    return np.random.default_rng(seed).normal(300, 5, shape).astype(np.float32)


@pytest.fixture(scope="module")
def referee():
    if not (BENCH / "ops.py").is_file():
        pytest.skip("../shared/bench is not here")
    spec = importlib.util.spec_from_file_location("referee_ops", BENCH / "ops.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["referee_ops"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize(("kind", "sigma"), [("mtf", 0.4), ("area", 0.0), ("mtf:0.45", 0.45)])
def test_it_is_the_referees_operator(referee, scale, kind, sigma):
    hr = field((12 * scale, 16 * scale))
    theirs, ours = referee.Degradation(kind, scale), Degrade.gaussian(scale, sigma)
    np.testing.assert_allclose(ours(hr), theirs(hr), atol=3e-4)
    lr = theirs(hr) - np.float32(300)
    np.testing.assert_allclose(ours.adjoint(lr), theirs.adjoint(lr), atol=1e-5)
    np.testing.assert_allclose(ours.pinv(lr), theirs.pinv(lr), atol=1e-3)


@settings(max_examples=20, deadline=None)
@given(
    scale=scales, sigma=sigmas, kelvin=st.floats(180, 1200), height=st.integers(1, 6), width=st.integers(1, 6)
)
def test_a_constant_scene_stays_constant(scale, sigma, kelvin, height, width):
    lr = Degrade.gaussian(scale, sigma)(np.full((height * scale, width * scale), kelvin, np.float32))
    np.testing.assert_allclose(lr, np.full((height, width), np.float32(kelvin)), atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(scale=scales, sigma=sigmas, height=st.integers(1, 6), width=st.integers(1, 6), seed=st.integers(0, 99))
def test_the_adjoint_is_the_transpose(scale, sigma, height, width, seed):
    degrade = Degrade.gaussian(scale, sigma)
    generator = np.random.default_rng(seed)
    hr, lr = generator.normal(size=(height * scale, width * scale)), generator.normal(size=(height, width))
    assert np.vdot(degrade(hr), lr) == pytest.approx(np.vdot(hr, degrade.adjoint(lr)), abs=1e-9)


@settings(max_examples=10, deadline=None)
@given(scale=scales, sigma=st.floats(0, 0.5), seed=st.integers(0, 99))
def test_the_pseudo_inverse_degrades_to_what_it_was_made_of(scale, sigma, seed):
    degrade = Degrade.gaussian(scale, sigma)
    lr = np.random.default_rng(seed).normal(size=(7, 9))
    np.testing.assert_allclose(degrade(degrade.pinv(lr)), lr, atol=1e-8)


def test_the_pseudo_inverse_holds_nothing_that_the_sensor_cannot_see():
    degrade = Degrade.gaussian(2, 0.4)
    answer = degrade.pinv(np.random.default_rng(1).normal(size=(6, 6)))
    matrix = dense_matrix(2, degrade.taps_y, degrade.first_y, 6)
    seen = np.linalg.pinv(matrix) @ matrix
    np.testing.assert_allclose(seen @ answer @ seen.T, answer, atol=1e-9)


def test_numpy_and_torch_see_the_same():
    degrade = Degrade.gaussian(4, 0.4)
    hr = field((64, 48))
    batch = torch.from_numpy(np.stack([hr, hr[::-1].copy()]))[:, None]
    answer = degrade(batch)
    assert answer.shape == (2, 1, 16, 12)
    np.testing.assert_allclose(answer[0, 0].numpy(), degrade(hr), atol=1e-4)
    np.testing.assert_allclose(answer[1, 0].numpy(), degrade(hr[::-1]), atol=1e-4)


def test_a_gradient_flows_through_it():
    hr = torch.full((1, 1, 8, 8), 300.0, requires_grad=True)
    Degrade.gaussian(2, 0.4)(hr).sum().backward()
    np.testing.assert_allclose(hr.grad.sum().item(), 16, rtol=1e-5)


def test_what_is_stored_under_the_mask_does_not_matter_and_half_the_weight_is_enough():
    degrade = Degrade.gaussian(4, 0.4)
    hr = field((32, 32))
    hr[8:14, 8:14] = np.nan
    lr = degrade(hr)
    assert np.isnan(lr[2, 2])
    assert np.isfinite(lr).sum() == lr.size - 1
    hole = np.isnan(hr)
    weighted = degrade(np.where(hole, 0, hr - 300).astype(np.float64)) / degrade((~hole).astype(np.float64))
    np.testing.assert_allclose(lr[np.isfinite(lr)], 300 + weighted[np.isfinite(lr)], atol=1e-4)


def test_a_constant_scene_with_holes_stays_constant_where_it_is_known():
    hr = np.full((24, 24), 291.7, np.float32)
    hr[5:12, 3:9] = np.nan
    lr = Degrade.gaussian(3, 0.4)(hr)
    np.testing.assert_allclose(lr[np.isfinite(lr)], 291.7, atol=1e-4)


def test_a_scene_without_data_stays_without():
    assert np.isnan(Degrade.gaussian(2, 0.4)(np.full((8, 8), np.nan, np.float32))).all()


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("sigma", [0.0, 0.4, 0.6])
def test_no_pixel_beyond_the_stated_reach_counts(scale, sigma):
    degrade = Degrade.gaussian(scale, sigma)
    reach = degrade.reach_px
    spot = np.zeros((1, scale * (2 * reach + 7)))
    middle = reach + 3
    spot[0, middle * scale : (middle + 1) * scale] = 1
    seen = np.flatnonzero(np.abs(degrade(np.repeat(spot, scale, 0))[0]) > 0)
    assert seen.min() >= middle - reach
    assert seen.max() <= middle + reach
    assert reach == 0 or seen.max() == middle + reach


def test_contrast_at_nyquist_is_what_was_asked_for():
    assert Degrade.gaussian(16, sigma_from_mtf(0.29)).mtf(0.5) == pytest.approx(0.29, abs=2e-3)


def test_a_gaussian_given_as_a_kernel_is_the_same_sensor():
    offset = np.arange(-7, 8)
    line = np.exp(-0.5 * (offset / 1.6) ** 2)
    by_kernel, by_name = Degrade.from_kernel(4, np.outer(line, line)), Degrade.gaussian(4, 0.4)
    np.testing.assert_allclose(by_kernel.taps_y, by_name.taps_y, atol=1e-12)


def test_light_goes_where_the_kernel_says():
    line = np.array([0.1, 0.5, 0.0, 0.3, 0.1])  # asymmetric, centered within the tolerance after balancing
    line[4] += (0.1 * 2 + 0.5 - 0.3 - 0.1 * 2) / 2
    degrade = Degrade.from_kernel(1, np.outer([1.0], line))
    spot = np.zeros((1, 9))
    spot[0, 4] = 1
    np.testing.assert_allclose(degrade(spot)[0, 2:7], line / line.sum(), atol=1e-12)


@pytest.mark.parametrize(
    ("kernel", "words"),
    [
        (np.ones((4, 4)), "odd sides, got shape"),
        (np.zeros((3, 3)), "positive sum, got sum 0"),
        (np.outer([0.2, 0.6, 0.3], [0.2, 0.6, 0.2]), r"centroid is \+0.091, \+0.000 HR pixels"),
    ],
)
def test_kernels_that_would_shift_are_refused(kernel, words):
    with pytest.raises(ValueError, match=words):
        Degrade.from_kernel(2, kernel)


@pytest.mark.parametrize("kernel", [leaning(3), np.array([[0.0, 1, 0], [1, 1, 1], [0, 1, 0]])])
def test_a_kernel_that_is_not_separable_is_what_it_says(kernel):
    """Against the light of every pixel laid down by itself, then averaged over the detector's square."""
    degrade, hr = Degrade.from_kernel(3, kernel), field((36, 45)).astype(np.float64)
    spread = ndimage.convolve(hr, kernel / kernel.sum(), mode="reflect")
    np.testing.assert_allclose(degrade(hr), spread.reshape(12, 3, 15, 3).mean((1, 3)), atol=1e-6)
    assert len(degrade.lines) > 1
    lr = np.random.default_rng(1).normal(size=(12, 15))
    assert np.vdot(degrade(hr - 300), lr) == pytest.approx(np.vdot(hr - 300, degrade.adjoint(lr)), abs=1e-8)
    assert len(Degrade.from_kernel(3, leaning(3, angle=0.0)).lines) == 1


def test_the_pseudo_inverse_of_a_kernel_that_is_not_separable():
    degrade = Degrade.from_kernel(2, leaning(2, 0.5, 0.3))
    lr = np.random.default_rng(2).normal(size=(7, 9))
    answer = degrade.pinv(lr)
    np.testing.assert_allclose(degrade(answer), lr, atol=1e-8)
    seen = np.stack([degrade.adjoint(one.reshape(7, 9)).ravel() for one in np.eye(63)])
    _, rest, *_ = np.linalg.lstsq(seen.T, answer.ravel(), rcond=None)  # of what the sensor sees, nothing else
    assert float(rest.sum()) < 1e-12


def test_a_leaning_kernel_is_not_symmetric_and_a_plus_is():
    assert not Degrade.from_kernel(3, leaning(3)).symmetric
    assert not Degrade.from_kernel(3, leaning(3, angle=np.pi / 4)).symmetric
    assert Degrade.from_kernel(3, np.array([[0.0, 1, 0], [1, 1, 1], [0, 1, 0]])).symmetric


def test_contrast_differs_by_direction_under_a_leaning_kernel():
    degrade = Degrade.from_kernel(1, leaning(1, 1.0, 0.4, np.pi / 4))
    (one, other) = (
        sum(rows * columns for rows, columns in degrade.responses(np.array([0.2]), np.array([x])))
        for x in (0.2, -0.2)
    )
    assert abs(one[0]) < 0.5 * abs(other[0])


def test_sides_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="10 x 8 pixels cannot be divided by 4"):
        Degrade.gaussian(4, 0.4)(np.zeros((10, 8), np.float32))

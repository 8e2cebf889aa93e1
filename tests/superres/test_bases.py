"""Bases: filters that equal the iterations they stand for."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.superres import bases
from pipeline.superres.degrade import Degrade


def rough(shape, seed=0, slope=1.5):
    """A random field in kelvin whose power falls as frequency^(-2 slope), cut from a larger one."""
    y, x = (np.fft.fftfreq(2 * side) for side in shape)
    radius = np.hypot(y[:, None], x)
    radius[0, 0] = np.inf
    noise = np.random.default_rng(seed).normal(size=radius.shape)
    plane = np.fft.ifft2(np.fft.fft2(noise) * radius**-slope).real[: shape[0], : shape[1]]
    return (300 + 4 * (plane - plane.mean()) / plane.std()).astype(np.float32)


def every_base(scale):
    degrade = Degrade.gaussian(scale, 0.4)
    return [
        bases.bicubic_base(scale),
        bases.back_projected_base(degrade),
        bases.tikhonov_base(degrade, 1e-3, 1.5),
    ]


@pytest.mark.parametrize("scale", [2, 3, 4, 8, 16])
def test_a_flat_field_stays_flat(scale):
    for base in every_base(scale):
        np.testing.assert_allclose(base(np.full((5, 7), 287.3, np.float32)), np.float32(287.3), atol=1e-4)


@settings(max_examples=10, deadline=None)
@given(scale=st.sampled_from([2, 3, 4, 8]), seed=st.integers(0, 99))
def test_turned_in_turned_out(scale, seed):
    lr = np.random.default_rng(seed).normal(300, 5, (9, 12)).astype(np.float32)
    for base in every_base(scale):
        np.testing.assert_allclose(base(np.rot90(lr)), np.rot90(base(lr)), atol=2e-4)
        np.testing.assert_allclose(base(lr[:, ::-1]), base(lr)[:, ::-1], atol=2e-4)


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_bicubic_as_a_base_is_bicubic(scale):
    lr = rough((20, 24))
    np.testing.assert_allclose(bases.bicubic_base(scale)(lr), bases.bicubic(lr, scale), atol=1e-4)


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_twenty_back_projections_are_one_filter(scale):
    degrade = Degrade.gaussian(scale, 0.4)
    lr = degrade(rough((32 * scale, 32 * scale)))
    iterated = bases.back_project(lr, degrade, iterations=20)
    np.testing.assert_allclose(bases.back_projected_base(degrade)(lr), iterated, atol=1.5e-3)


@pytest.mark.parametrize("scale", [2, 4])
def test_the_closed_form_is_the_minimum(scale):
    degrade, lam, p = Degrade.gaussian(scale, 0.4), 1e-2, 2.0
    lr = degrade(rough((24 * scale, 24 * scale))).astype(np.float64)
    answer = bases.tikhonov_base(degrade, lam, p, radius_px=20)(lr)

    def laplacian(plane):
        around = np.pad(plane, 1, mode="symmetric")
        return around[:-2, 1:-1] + around[2:, 1:-1] + around[1:-1, :-2] + around[1:-1, 2:] - 4 * plane

    gradient = degrade.adjoint(degrade(answer) - lr) + lam * laplacian(laplacian(answer))
    at_start = degrade.adjoint(lr - lr.mean())
    assert np.abs(gradient).max() < 1e-3 * np.abs(at_start).max()


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_a_pixel_changes_nothing_beyond_the_stated_reach(scale):
    for base in every_base(scale):
        side = 2 * base.reach_px + 5
        spot = np.zeros((side, side), np.float32)
        spot[side // 2, side // 2] = 1
        touched = np.argwhere(base(spot) - base(np.zeros_like(spot)) != 0)
        assert touched.min() // scale >= side // 2 - base.reach_px
        assert touched.max() // scale <= side // 2 + base.reach_px


def test_a_tile_with_its_halo_gets_the_pixels_of_the_whole():
    lr = rough((64, 64))
    for base in every_base(2):
        halo = base.reach_px
        tile = base(lr[24 - halo : 40 + halo, 24 - halo : 40 + halo])
        np.testing.assert_allclose(
            tile[2 * halo : -2 * halo, 2 * halo : -2 * halo], base(lr)[48:80, 48:80], atol=1e-4
        )


def test_tensors_get_the_pixels_of_arrays():
    lr = rough((16, 16))
    for base in every_base(4):
        answer = base(torch.from_numpy(lr)[None, None])
        assert answer.shape == (1, 1, 64, 64)
        np.testing.assert_allclose(answer[0, 0].numpy(), base(lr), atol=1e-4)


@pytest.mark.parametrize("scale", [2, 4])
def test_knowing_the_blur_beats_bicubic(scale):
    degrade = Degrade.gaussian(scale, 0.4)
    hr = rough((64 * scale, 64 * scale))
    lr = degrade(hr)
    fitted = bases.fit_base("tikhonov", lr, np.isfinite(lr), degrade, 0.0, np.random.default_rng(0))
    error = {
        name: np.sqrt(np.mean((answer - hr) ** 2))
        for name, answer in (("bicubic", bases.bicubic(lr, scale)), ("tikhonov", fitted(lr)))
    }
    assert error["tikhonov"] < 0.95 * error["bicubic"]


def test_noise_asks_for_more_smoothness():
    degrade = Degrade.gaussian(2, 0.4)
    lr = degrade(rough((256, 256)))
    valid = np.isfinite(lr)
    noisy = lr + np.random.default_rng(1).normal(0, 0.3, lr.shape).astype(np.float32)
    quiet = bases.fit_base("tikhonov", lr, valid, degrade, 0.0, np.random.default_rng(0))
    loud = bases.fit_base("tikhonov", noisy, valid, degrade, 0.3, np.random.default_rng(0))
    assert loud.regularization[0] > quiet.regularization[0]


def test_what_is_stored_under_the_mask_does_not_change_the_base():
    degrade = Degrade.gaussian(2, 0.4)
    lr = rough((48, 48))
    valid = np.ones(lr.shape, bool)
    valid[10:20, 10:22] = False
    one, other = (
        bases.fit_base("tikhonov", np.where(valid, lr, fill), valid, degrade, 0.0, np.random.default_rng(0))
        for fill in (0, 1000)
    )
    assert one.regularization == other.regularization


def test_a_base_of_another_name_is_refused():
    lr = rough((8, 8))
    with pytest.raises(ValueError, match="no base 'lanczos'; known: bicubic, back_projected, tikhonov"):
        bases.fit_base(
            "lanczos", lr, lr > 0, Degrade.gaussian(2, 0.4), nedt_k=0.0, generator=np.random.default_rng(0)
        )

"""Bases: filters that equal the iterations they stand for, and know their reach."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.superres.bases import base as bases
from pipeline.superres.bases.filters import tikhonov_filter
from pipeline.superres.sensing.degrade import Degrade
from tests.superres.textures import leaning, rough


def fit(lr, degrade, nedt_k=0.0, valid=None):
    valid = np.isfinite(lr) if valid is None else valid
    return bases.fit_base("tikhonov", lr, valid, degrade, nedt_k, np.random.default_rng(0))


def every_base(scale):
    degrade = Degrade.gaussian(scale, 0.4)
    noisy = degrade(rough((40 * scale, 40 * scale))) + np.random.default_rng(1).normal(0, 0.1, (40, 40))
    return [
        bases.bicubic_base(scale),
        bases.back_projected_base(degrade),
        bases.tikhonov_base(degrade, 1e-3, 1.5),
        fit(noisy.astype(np.float32), degrade, 0.1),
    ]


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_no_weight_is_so_small_that_its_products_slow_a_processor_down(scale):
    for base in every_base(scale):
        weights = np.abs(base.kernels[base.kernels != 0])
        assert weights.min() > 1e-12 * weights.max()


@pytest.mark.parametrize("scale", [2, 3, 4, 8, 16])
def test_a_flat_field_stays_flat(scale):
    for base in every_base(scale):
        np.testing.assert_allclose(base(np.full((5, 7), 287.3, np.float32)), np.float32(287.3), atol=1e-4)


@settings(max_examples=5, deadline=None)
@given(scale=st.sampled_from([2, 3, 4, 8]), seed=st.integers(0, 99))
def test_turned_in_turned_out(scale, seed):
    lr = np.random.default_rng(seed).normal(300, 5, (9, 12)).astype(np.float32)
    for base in every_base(scale):
        np.testing.assert_allclose(base(np.rot90(lr)), np.rot90(base(lr)), atol=5e-4)
        np.testing.assert_allclose(base(lr[:, ::-1]), base(lr)[:, ::-1], atol=5e-4)


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_bicubic_as_a_base_is_bicubic(scale):
    lr = rough((20, 24))
    np.testing.assert_allclose(bases.bicubic_base(scale)(lr), bases.bicubic(lr, scale), atol=1e-4)


def sensors(scale):
    """Round optics, and ones that no column and row make."""
    return Degrade.gaussian(scale, 0.4), Degrade.from_kernel(scale, leaning(scale, 0.5, 0.3))


def inside(plane, leans, scale):
    """All of it; under optics that lean, what no mirror image changes: there they lean the other way."""
    margin = 12 * scale if leans else 0
    return plane[margin : plane.shape[0] - margin, margin : plane.shape[1] - margin]


@pytest.mark.parametrize("leans", [False, True])
@pytest.mark.parametrize("scale", [2, 4, 8])
def test_twenty_back_projections_are_one_filter(scale, leans):
    degrade = sensors(scale)[leans]
    lr = degrade(rough((32 * scale, 32 * scale)))
    iterated = bases.back_project(lr, degrade, iterations=20)
    found = bases.back_projected_base(degrade)(lr)
    np.testing.assert_allclose(inside(found, leans, scale), inside(iterated, leans, scale), atol=3e-3)


@pytest.mark.parametrize("leans", [False, True])
@pytest.mark.parametrize("scale", [2, 4])
def test_the_closed_form_is_the_minimum(scale, leans):
    degrade, lam = sensors(scale)[leans], 1e-2
    lr = degrade(rough((24 * scale, 24 * scale))).astype(np.float64)
    answer = bases.tikhonov_base(degrade, lam, p=2.0)(lr)

    def laplacian(plane):
        around = np.pad(plane, 1, mode="symmetric")
        return around[:-2, 1:-1] + around[2:, 1:-1] + around[1:-1, :-2] + around[1:-1, 2:] - 4 * plane

    gradient = degrade.adjoint(degrade(answer) - lr) + lam * laplacian(laplacian(answer))
    at_start = degrade.adjoint(lr - lr.mean())
    assert np.abs(inside(gradient, leans, scale // 2)).max() < 2e-3 * np.abs(at_start).max()


def test_knowing_how_the_optics_lean_is_better_than_a_round_blur_of_that_size():
    hr, known = rough((192, 192)), Degrade.from_kernel(2, leaning(2, 0.9, 0.3))
    lr, round_one = known(hr), Degrade.gaussian(2, 0.67)  # as much light away from the center, all around
    errors = [np.sqrt(np.mean((fit(lr, each)(lr) - hr)[16:-16, 16:-16] ** 2)) for each in (known, round_one)]
    assert errors[0] < 0.8 * errors[1]


@pytest.mark.parametrize(("lam", "p"), [(1e-7, 0.8), (1e-7, 2.5), (1e-2, 1.5), (1.0, 1.0)])
def test_cutting_the_filter_costs_less_than_a_millikelvin(lam, p):
    degrade = Degrade.gaussian(2, 0.4)
    lr = degrade(rough((128, 128)))
    own, long = (bases.Base("", tikhonov_filter(degrade, lam, p, radius)[None]) for radius in (None, 30))
    assert own.reach_px < 30
    assert np.sqrt(np.mean((own(lr) - long(lr)) ** 2)) < 1e-3


@pytest.mark.parametrize("scale", [2, 4])
def test_a_pixel_changes_nothing_beyond_the_stated_reach(scale):
    for base in every_base(scale):
        side = 2 * base.reach_px + 5
        calm = rough((side, side))
        spot = calm.copy()
        spot[side // 2, side // 2] += 1
        touched = np.argwhere(np.abs(base(spot) - base(calm)) > 1e-4)
        assert touched.min() // scale >= side // 2 - base.reach_px
        assert touched.max() // scale <= side // 2 + base.reach_px


def test_a_tile_with_its_halo_gets_the_pixels_of_the_whole():
    lr = rough((96, 96))
    for base in every_base(2):
        halo = base.reach_px
        tile = base(lr[40 - halo : 56 + halo, 40 - halo : 56 + halo])
        inner = slice(2 * halo, -2 * halo)
        np.testing.assert_allclose(tile[inner, inner], base(lr)[80:112, 80:112], atol=1e-4)


def test_tensors_get_the_pixels_of_arrays():
    lr = rough((16, 16))
    for base in every_base(4):
        answer = base(torch.from_numpy(np.stack([lr, lr.T.copy()]))[:, None])
        assert answer.shape == (2, 1, 64, 64)
        np.testing.assert_allclose(answer[0, 0].numpy(), base(lr), atol=2e-4)
        np.testing.assert_allclose(answer[1, 0].numpy(), base(lr.T), atol=2e-4)


def test_other_units_get_the_same_answer():
    lr = rough((48, 48))
    base = every_base(2)[-1]
    assert base.activity is not None
    in_units = base.in_units(20.0)((lr - 280) / np.float32(20))
    np.testing.assert_allclose(in_units * 20 + 280, base(lr), atol=1e-3)


@pytest.mark.parametrize("scale", [2, 4])
def test_knowing_the_blur_beats_bicubic(scale):
    degrade = Degrade.gaussian(scale, 0.4)
    hr = rough((64 * scale, 64 * scale))
    lr = degrade(hr)
    tuned, smooth = (
        np.sqrt(np.mean((answer - hr) ** 2)) for answer in (fit(lr, degrade)(lr), bases.bicubic(lr, scale))
    )
    assert tuned < 0.95 * smooth


@pytest.mark.parametrize("nedt_k", [0.0, 0.3])
def test_no_other_strength_or_slope_is_much_better_than_the_tuned_one(nedt_k):
    degrade = Degrade.gaussian(2, 0.4)
    hr = rough((256, 256))
    lr = (degrade(hr) + np.random.default_rng(1).normal(0, nedt_k, (128, 128))).astype(np.float32)

    def rmse(base):
        return np.sqrt(np.mean((base(lr) - hr) ** 2))

    others = [
        rmse(bases.tikhonov_base(degrade, lam, p))
        for lam in np.geomspace(1e-8, 1, 9)
        for p in (0.7, 1.0, 1.5, 2.0, 2.5)
    ]
    assert rmse(fit(lr, degrade, nedt_k)) < 1.005 * min(others)


def test_under_noise_calm_places_are_smoothed_more_than_rough_ones():
    degrade = Degrade.gaussian(2, 0.4)
    hr = rough((256, 256), contrast_k=8.0)
    hr[:, :128] = 300 + 0.02 * (hr[:, :128] - 300)
    lr = (degrade(hr) + np.random.default_rng(1).normal(0, 0.2, (128, 128))).astype(np.float32)
    base = fit(lr, degrade, 0.2)
    everywhere = bases.Base("tikhonov", base.kernels[1:2])
    calm, rough_side = np.s_[20:-20, 20:100], np.s_[20:-20, 150:-20]
    error, plain = ((each(lr) - hr) ** 2 for each in (base, everywhere))
    assert error[calm].mean() < 0.8 * plain[calm].mean()
    assert error[rough_side].mean() < 1.02 * plain[rough_side].mean()


def test_what_is_stored_under_the_mask_does_not_change_the_base():
    degrade = Degrade.gaussian(2, 0.4)
    lr = rough((48, 48))
    valid = np.ones(lr.shape, bool)
    valid[10:20, 10:22] = False
    one, other = (fit(np.where(valid, lr, np.float32(fill)), degrade, 0.1, valid) for fill in (0, 1000))
    assert one.regularization == other.regularization
    assert one.activity == other.activity
    assert one.spots is None
    assert other.spots is None


@pytest.mark.parametrize("nedt_k", [0.0, 0.1])
@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (3, 5), (9, 9)])
def test_small_flat_and_empty_scenes_get_a_base(shape, nedt_k):
    degrade = Degrade.gaussian(4, 0.4)
    for lr in (rough((40, 40))[: shape[0], : shape[1]], np.full(shape, 300, np.float32)):
        for valid in (np.ones(shape, bool), np.zeros(shape, bool)):
            assert np.isfinite(fit(lr, degrade, nedt_k, valid)(lr)).all()


def test_a_base_of_another_name_is_refused():
    lr = rough((8, 8))
    with pytest.raises(ValueError, match="no base 'lanczos'; known: bicubic, back_projected, tikhonov"):
        bases.fit_base("lanczos", lr, lr > 0, Degrade.gaussian(2, 0.4), 0.0, np.random.default_rng(0))

"""Hot spots: energy kept, no ringing beyond the blur, ordinary scenes untouched."""

import numpy as np
import pytest
import torch
from scipy.ndimage import maximum_filter

from pipeline.superres.bases import base as bases
from pipeline.superres.bases.hot_spots import compact_inverse, compact_inverse_plane, find_spots
from pipeline.superres.bases.projection import Projection
from pipeline.superres.sensing.degrade import Degrade
from pipeline.superres.sensing.nested_grids import interpolate, interpolate_plane
from tests.superres.textures import leaning, rough

HERE = 30


def product(lr, degrade, nedt_k=0.0):
    valid = np.isfinite(lr)
    base = bases.fit_base("tikhonov", lr, valid, degrade, nedt_k, np.random.default_rng(0))
    return Projection.of(degrade, nedt_k)(base(lr), lr, valid)


def fire(scale, kelvin, around=None):
    """(60*scale, 60*scale) truth with one hot LR pixel, and where that is."""
    truth = np.full((60 * scale, 60 * scale), 300, np.float32) if around is None else around.copy()
    spot = np.zeros(truth.shape, bool)
    spot[HERE * scale : (HERE + 1) * scale, HERE * scale : (HERE + 1) * scale] = True
    truth[spot] = kelvin
    return truth, spot


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("sigma", [0.0, 0.3, 0.4, 0.5])
def test_the_compact_inverse_is_one(scale, sigma):
    degrade = Degrade.gaussian(scale, sigma)
    rows, columns = compact_inverse(degrade)
    scene = torch.zeros(21, 21)
    scene[10, 10] = 1
    fine = interpolate(interpolate(scene, rows, axis=-2), columns, axis=-1)
    np.testing.assert_allclose(degrade(fine), scene, atol=1e-4)


@pytest.mark.parametrize("scale", [2, 4])
def test_the_compact_inverse_of_a_kernel_that_is_not_separable_is_one(scale):
    degrade = Degrade.from_kernel(scale, leaning(scale, 0.45, 0.25))
    scene = torch.zeros(21, 21)
    scene[10, 10] = 1
    fine = interpolate_plane(scene, compact_inverse_plane(degrade)[None])[0]
    np.testing.assert_allclose(degrade(fine), scene, atol=1e-4)
    truth, spot = fire(scale, 1200)
    answer = product(degrade(truth), degrade)
    beyond = ~maximum_filter(spot, 2 * degrade.reach_px * scale + 1)
    assert np.abs(answer - truth)[beyond].max() < 0.003 * 900


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("kelvin", [400, 1200])
def test_a_fire_does_not_ring_beyond_the_blur(scale, kelvin):
    degrade = Degrade.gaussian(scale, 0.4)
    truth, spot = fire(scale, kelvin)
    answer = product(degrade(truth), degrade)
    beyond = ~maximum_filter(spot, 2 * degrade.reach_px * scale + 1)
    assert np.abs(answer - truth)[beyond].max() < 0.003 * (kelvin - 300)


@pytest.mark.parametrize("nedt_k", [0.0, 0.1])
@pytest.mark.parametrize("kelvin", [400, 1200])
def test_a_fires_energy_is_kept(kelvin, nedt_k):
    degrade = Degrade.gaussian(4, 0.4)
    truth, _ = fire(4, kelvin, around=rough((240, 240)))
    lr = (degrade(truth) + np.random.default_rng(0).normal(0, nedt_k, (60, 60))).astype(np.float32)
    rest = degrade(product(lr, degrade, nedt_k).astype(np.float64)) - lr
    around = np.s_[HERE - 4 : HERE + 5, HERE - 4 : HERE + 5]
    assert abs(rest[around].mean()) < max(nedt_k, 1e-3)
    assert abs(rest[HERE, HERE]) < max(3 * nedt_k, 1e-3)


def test_a_lone_hot_pixel_that_no_light_explains_keeps_its_energy_and_stays_near():
    degrade = Degrade.gaussian(4, 0.4)
    lr = np.full((60, 60), 300, np.float32)
    lr[HERE, HERE] = 500
    answer = product(lr, degrade)
    np.testing.assert_allclose(degrade(answer), lr, atol=2e-3)
    _, spot = fire(4, 500)
    assert np.abs(answer - 300)[~maximum_filter(spot, 2 * 3 * 4 + 1)].max() < 3


def test_a_fire_does_not_change_how_the_rest_of_the_scene_is_seen():
    degrade = Degrade.gaussian(4, 0.4)
    truth, _ = fire(4, 1200, around=rough((240, 240)))
    calm, burning = (product(degrade(scene), degrade) for scene in (rough((240, 240)), truth))
    far = np.s_[:80, :80]
    assert np.sqrt(np.mean((calm - burning)[far] ** 2)) < 0.05


def test_an_ordinary_scene_has_no_spots():
    lr = rough((200, 200), slope=1.0, contrast_k=8.0)
    assert find_spots(lr, np.isfinite(lr), Degrade.gaussian(2, 0.4)) is None


def test_what_fills_a_hole_makes_no_spots():
    lr = rough((100, 100))
    valid = np.ones(lr.shape, bool)
    valid[40:60, 40:60] = False
    valid[50, 50] = valid[45, 52] = True
    assert find_spots(np.where(valid, lr, np.float32(0)), valid, Degrade.gaussian(2, 0.4)) is None

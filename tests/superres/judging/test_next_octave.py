"""How errors at the published scale follow from a scene's finest octaves."""

import numpy as np
import pytest
from scipy.fft import dctn, idctn

from pipeline.superres.judging.error_model import ErrorModel
from pipeline.superres.judging.next_octave import SCALES, Octaves, find_octaves


def scene(slope, seed=1, side_px=96):
    """White noise whose power falls as frequency to the -2 slope, 1 K RMS."""
    rough = np.add.outer(*[2 - 2 * np.cos(np.pi * np.arange(side_px) / side_px)] * 2)
    rough[0, 0] = np.inf
    noise = np.random.default_rng(seed).normal(size=(side_px, side_px))
    made = idctn(dctn(noise, norm="ortho") * rough ** (-slope / 2), norm="ortho")
    return (300 + made / made.std()).astype(np.float32)


def everywhere(lr):
    return np.ones(lr.shape, dtype=bool)


def test_a_scene_that_is_smooth_at_its_finest_octave_grew_little():
    growths = [
        find_octaves(scene(slope), everywhere(scene(slope)), slope).growth for slope in (1.0, 1.6, 2.4)
    ]
    assert growths == sorted(growths, reverse=True)


@pytest.mark.parametrize("scale", SCALES)
def test_errors_are_larger_where_contrast_grows_and_smaller_where_the_spectrum_falls(scale):
    level, spread, _ = Octaves(1.0, -0.4, 1.5).expected_error(scale)
    assert Octaves(1.0, -0.2, 1.5).expected_error(scale)[0] > level
    assert Octaves(1.0, -0.4, 2.5).expected_error(scale)[0] < level
    assert Octaves(3.0, -0.4, 1.5).expected_error(scale)[0] == pytest.approx(3 * level)
    assert 0.2 < spread < 0.6


def test_what_is_missing_decides_nothing():
    lr, valid = scene(1.6), everywhere(scene(1.6))
    valid[20:40, 50:70] = False
    torn = np.where(valid, lr, np.float32(900.0))
    there, unspoiled = find_octaves(torn, valid, 1.6), find_octaves(lr, valid, 1.6)
    assert there == unspoiled
    assert there.finest < 1.0


@pytest.mark.parametrize(
    "lr", [np.full((64, 64), 300, np.float32), scene(1.6, side_px=8)], ids=["flat", "tiny"]
)
def test_a_scene_that_tells_nothing_leaves_the_errors_as_they_are(lr):
    assert find_octaves(lr, everywhere(lr), 1.6) is None
    model = ErrorModel(floor=0.1, activity_share=0.5)
    assert model.carry(None, 2, np.ones(10, dtype=np.float32)) is model


def test_the_mean_of_sigma_becomes_what_is_expected():
    lr = scene(1.6)
    octaves, contrast = find_octaves(lr, everywhere(lr), 1.6), np.abs(lr - 300)
    carried = ErrorModel(floor=0.1, activity_share=0.5).carry(octaves, 4, contrast)
    expected, spread, _ = octaves.expected_error(4)
    assert carried.sigma(contrast, np.zeros_like(contrast)).mean() == pytest.approx(expected, rel=1e-4)
    assert carried.carried_spread == spread


def test_a_scene_that_is_rougher_than_any_known_one_is_not_called_calibrated():
    contrast = np.ones(100, dtype=np.float32)
    model = ErrorModel(floor=0.1, activity_share=0.5)
    assert model.carry(Octaves(1.0, -0.6, 1.7), 2, contrast).calibrated
    odd = model.carry(Octaves(1.0, 0.3, 0.91), 2, contrast)
    assert not odd.calibrated
    assert odd.sigma(contrast, np.zeros_like(contrast)).mean() == pytest.approx(1.2, rel=1e-4)

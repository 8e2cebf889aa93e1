"""Effective resolution: known blurs are found, noise and nonsense are not detail."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.fft import dctn, idctn

from pipeline.superres.judging.resolution import resolution_figures, resolved_px
from pipeline.superres.judging.selftest import SelfTest
from tests.superres.textures import rough


def known_up_to(truth, cycles_per_px, seed=0):
    """The truth up to a frequency, something else of the same power beyond."""
    spectrum, other = (
        dctn((each - each.mean()).astype(np.float64), norm="ortho")
        for each in (truth, rough(truth.shape, seed + 99))
    )
    y, x = (np.arange(side) / (2 * side) for side in truth.shape)
    known = np.hypot(y[:, None], x) <= cycles_per_px
    return (idctn(np.where(known, spectrum, other), norm="ortho") + truth.mean()).astype(np.float32)


def all_of(truth):
    return np.ones(truth.shape, dtype=bool)


def test_a_scene_resolves_itself_to_the_pixel():
    truth = rough((256, 256))
    assert resolved_px(truth, truth, all_of(truth)) == 1.0


@pytest.mark.parametrize("period_px", [4, 6, 10])
def test_what_is_true_up_to_a_frequency_is_resolved_up_to_it(period_px):
    truth = rough((512, 512))
    found = resolved_px(known_up_to(truth, 1 / period_px), truth, all_of(truth))
    assert found == pytest.approx(period_px / 2, rel=0.12)


def test_a_lower_contrast_alone_takes_no_coherence():
    truth = rough((256, 256))
    assert resolved_px(300 + 0.3 * (truth - 300), truth, all_of(truth)) == 1.0


def test_only_what_is_compared_counts():
    truth = rough((256, 256))
    compared = np.zeros(truth.shape, dtype=bool)
    compared[64:192, 64:192] = True
    spoiled = np.where(compared, truth, np.float32(0))
    assert resolved_px(spoiled, truth, compared) == 1.0
    assert np.isnan(resolved_px(truth, truth, compared & (np.arange(256) % 15 > 0)))


def made(scale_known):
    truth = rough((256, 256))
    bicubic, base, product = (known_up_to(truth, frequency) for frequency in scale_known)
    nothing = np.zeros_like(truth)
    return SelfTest(truth, bicubic, lambda gain: product if gain else base, nothing, nothing, all_of(truth))


@pytest.mark.parametrize(
    ("sample_px", "wanted"), [(1.0, (7 / 4, 5 / 4, 1.0)), (1.5, (7 / 4, 1.5, 1.5)), (3.33, (3.33,) * 3)]
)
def test_figures_are_in_pixels_and_meters_and_no_finer_than_the_sensor_samples(sample_px, wanted):
    test = made((1 / 14, 1 / 10, 1 / 5))
    figures = resolution_figures(test, scale=4, gsd_m=(70.0, 60.0), sample_px=sample_px)
    for name, wanted_px in zip(("bicubic", "base", "product"), wanted, strict=True):
        assert figures[f"resolution_{name}_px"] == pytest.approx(wanted_px, rel=0.12)
        assert figures[f"resolution_{name}_m"] == pytest.approx(70 * figures[f"resolution_{name}_px"])


def test_without_a_spacing_there_are_no_meters_and_without_compared_pixels_no_resolution():
    test = made((1 / 10, 1 / 8, 1 / 5))
    nan = float("nan")
    assert set(resolution_figures(test, scale=4, gsd_m=(nan, nan))) == {
        f"resolution_{name}_px" for name in ("bicubic", "base", "product")
    }
    nobody = replace(test, compared=~test.compared)
    assert set(resolution_figures(nobody, scale=4, gsd_m=(70.0, 70.0)).values()) == {None}

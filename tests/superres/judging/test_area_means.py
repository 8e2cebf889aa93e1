import numpy as np
import pytest

from pipeline.superres.judging.area_means import area_figures
from pipeline.superres.judging.selftest import SelfTest


def made(error, compared=None):
    truth = np.full(error.shape, 300, dtype=np.float32)
    product = truth + error.astype(np.float32)
    nothing = np.zeros_like(truth)
    compared = np.ones(truth.shape, dtype=bool) if compared is None else compared
    return SelfTest(truth, truth, lambda _: product, nothing, nothing, compared)


def test_independent_errors_fall_with_the_root_of_the_pixels_and_common_ones_stay():
    error = np.random.default_rng(0).normal(0, 1, (512, 512))
    for common in (0.0, 0.5):
        figures = area_figures(made(error + common), scale=2)
        for area_px in (1, 4, 16, 64):
            wanted = np.hypot(common, 1 / np.sqrt(4 * area_px))
            assert figures[f"area_error_{area_px}px_k"] == pytest.approx(wanted, rel=0.06)


def test_errors_that_the_projection_took_out_of_every_scene_pixel_leave_nothing():
    error = np.random.default_rng(0).normal(0, 1, (128, 128))
    error -= error.reshape(64, 2, 64, 2).mean(axis=(1, 3)).repeat(2, 0).repeat(2, 1)
    assert area_figures(made(error), scale=2)["area_error_1px_k"] < 1e-4


def test_areas_with_a_pixel_that_is_not_compared_do_not_count():
    compared = np.ones((64, 64), dtype=bool)
    compared[::8, ::8] = False
    figures = area_figures(made(np.ones((64, 64)), compared), scale=2)
    assert figures["area_error_1px_k"] == pytest.approx(1)
    assert figures["area_error_64px_k"] is None

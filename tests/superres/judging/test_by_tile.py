"""The self-test tile by tile: shares and the worst tile, with errors that are known."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.superres.judging.by_tile import compare_by_tile
from pipeline.superres.judging.selftest import SelfTest

SIDE = 64  # 4 x 4 tiles


def made(product_error_k, base_error_k=1.0, bicubic_error_k=2.0):
    """A truth, and answers off by errors given for each of 4 x 4 tiles."""
    truth = np.full((SIDE, SIDE), 300, np.float32)
    signs = np.where(np.indices(truth.shape).sum(0) % 2, 1, -1)

    def off(error_k):
        tiles = np.broadcast_to(np.asarray(error_k, dtype=float), (4, 4))
        return (truth + signs * tiles.repeat(16, 0).repeat(16, 1)).astype(np.float32)

    nothing = np.zeros_like(truth)
    bicubic, base, product = off(bicubic_error_k), off(base_error_k), off(product_error_k)
    compared = np.ones(truth.shape, dtype=bool)
    return SelfTest(truth, bicubic, lambda gain: product if gain else base, nothing, nothing, compared)


def test_shares_and_the_worst_tile_are_those_that_were_built_in():
    errors = np.full((4, 4), 0.5)
    errors[0] = 1.5  # four tiles worse than the base
    errors[0, 0] = 3.0  # one worse than bicubic
    figures = compare_by_tile(made(errors)).figures()
    assert figures["tiles_beating_bicubic_fraction"] == pytest.approx(15 / 16)
    assert figures["tiles_beating_base_fraction"] == pytest.approx(12 / 16)
    assert figures["worst_tile_vs_bicubic"] == pytest.approx(1.5, rel=1e-3)
    assert figures["worst_tile_vs_base"] == pytest.approx(3.0, rel=1e-3)


def test_a_network_that_is_off_beats_no_base():
    figures = compare_by_tile(made(0.2).at(0.0)).figures()
    assert figures["tiles_beating_base_fraction"] is None
    assert figures["worst_tile_vs_base"] is None
    assert figures["tiles_beating_bicubic_fraction"] == 1


def test_tiles_with_few_compared_pixels_do_not_count():
    test = made(np.where(np.arange(16).reshape(4, 4) == 5, 9.0, 0.5))
    compared = test.compared.copy()
    compared[16:32, 16:29] = False  # 48 of its pixels are left
    assert compare_by_tile(replace(test, compared=compared)).vs_bicubic.size == 15
    assert compare_by_tile(replace(test, compared=compared)).vs_bicubic.max() < 1


def test_no_compared_pixel_has_no_figures():
    test = made(0.5)
    assert compare_by_tile(replace(test, compared=~test.compared)).figures() == {}


def test_every_tile_is_in_the_histograms_however_far_out():
    errors = np.geomspace(1e-3, 100, 16).reshape(4, 4)
    plain = compare_by_tile(made(errors)).to_json()
    for name in ("vs_bicubic", "vs_base"):
        assert sum(plain[name]["tiles"]) == 16
        assert len(plain[name]["edges"]) == len(plain[name]["tiles"]) + 1

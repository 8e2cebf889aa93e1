from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.grid import Window
from pipeline.recipe_settings import InferSettings
from pipeline.superres.applying.enlarge import base_upscaler
from pipeline.superres.applying.method import Method, Picture
from pipeline.superres.applying.passes import passes
from pipeline.superres.applying.windows import compute_passes, compute_window
from pipeline.superres.bases.base import bicubic_base
from tests.superres.applying.strategies import every_network_and_strategy, every_strategy
from tests.superres.upscalers import (
    global_upscaler,
    hills,
    landscape,
    map_tiles,
    small_upscaler,
    smooth_upscaler,
)

FIVE_TILE_SIZES_PX = (9, 16, 23, 32, 64)


def by_tiles(function, lr, tile_px, scale=2, **how):
    return map_tiles(function, lr.shape, tile_px, scale, **how)


def seam_index(hr, tile_px, scale):
    """Mean gradient across the lines between tiles, relative to that across other lines between LR pixels."""
    on, off = [], []
    for picture in (hr, hr.T):
        gradient = np.abs(np.diff(picture.astype(np.float64), axis=0))[scale - 1 :: scale]
        line = np.arange(1, len(gradient) + 1) % tile_px == 0
        on.append(gradient[line].mean())
        off.append(gradient[~line].mean())
    return np.mean(on) / np.mean(off)


@every_network_and_strategy
def test_every_strategy_gives_the_same_pixels_by_tiles_of_any_size(network, strategy):
    lr = landscape(41, 34)
    ways = passes(network(), strategy, np.random.default_rng(5))
    whole, spread = compute_passes(ways, lr, Window(0, 0, 41, 34), "mean")
    for tile_px in FIVE_TILE_SIZES_PX:
        tiled = by_tiles(lambda window: compute_passes(ways, lr, window, "mean")[0], lr, tile_px)
        np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-4)
    uncertain = by_tiles(lambda window: compute_passes(ways, lr, window, "mean")[1], lr, 13)
    np.testing.assert_allclose(uncertain, spread, rtol=0, atol=1e-4)


@pytest.mark.parametrize("land", [hills, landscape])
@pytest.mark.parametrize("tile_px", [16, 25, 32])
def test_tiles_leave_no_seams(tile_px, land):
    up, lr = smooth_upscaler(4), land(150, 150)
    hr = by_tiles(lambda window: compute_window(up, lr, window), lr, tile_px, 4)
    assert seam_index(hr, tile_px, 4) <= 1.02


@pytest.mark.parametrize("land", [hills, landscape])
@pytest.mark.parametrize("tile_px", [16, 25, 32])
def test_without_a_halo_there_are_seams(tile_px, land):
    """The same measure must fail where the reach is denied, or it proves nothing."""
    up, lr = smooth_upscaler(4), land(150, 150)
    up = replace(up, own_reach_px=0, base=replace(up.base, own_reach_px=0))
    hr = by_tiles(lambda window: compute_window(up, lr, window), lr, tile_px, 4)
    assert seam_index(hr, tile_px, 4) > 1.02


@given(height=st.integers(1, 30), width=st.integers(1, 30), tile_px=st.integers(1, 40))
@settings(max_examples=30)
def test_tiled_is_whole_for_scenes_of_any_size(height, width, tile_px):
    up, lr = small_upscaler(), landscape(height, width)
    whole = compute_window(up, lr, Window(0, 0, height, width))
    tiled = by_tiles(lambda window: compute_window(up, lr, window), lr, tile_px)
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (3, 5)])
@every_strategy
def test_every_strategy_takes_scenes_smaller_than_a_patch_or_the_reach(strategy, shape):
    lr = landscape(*shape)
    ways = passes(small_upscaler(), strategy, np.random.default_rng(5))
    hr, spread = compute_passes(ways, lr, Window(0, 0, *shape), "median")
    assert hr.shape == spread.shape == (2 * shape[0], 2 * shape[1])
    assert np.isfinite(hr).all()


def test_a_network_meets_a_mirror_and_no_border():
    """The answer at the border is the one that a larger, mirrored scene gets there."""
    up, lr = small_upscaler(), landscape(20, 20)
    mirrored = np.pad(lr, 20, mode="symmetric")
    np.testing.assert_allclose(
        compute_window(up, lr, Window(0, 0, 20, 20)), up(mirrored)[40:80, 40:80], rtol=0, atol=1e-4
    )


def test_the_number_of_workers_does_not_matter():
    up, lr = small_upscaler(), landscape(37, 45)
    tiled = by_tiles(lambda window: compute_window(up, lr, window), lr, 16, workers=3)
    np.testing.assert_array_equal(tiled, by_tiles(lambda window: compute_window(up, lr, window), lr, 16))


def test_a_missing_pixel_within_reach_is_refused():
    lr = landscape(30, 30)
    lr[13, 12] = np.nan
    with pytest.raises(ValueError, match=r"1 of the 324 pixels from row -4, column -4 on are not"):
        compute_window(small_upscaler(), lr, Window(0, 0, 10, 10))


def test_a_network_without_reach_is_given_the_whole_scene():
    lr = landscape(30, 30)
    up = global_upscaler()
    np.testing.assert_array_equal(compute_window(up, lr, Window(4, 6, 5, 5)), up(lr)[8:18, 12:22])


def test_the_default_strategy_has_eight_passes_and_a_spread():
    ways = passes(small_upscaler(), InferSettings(), np.random.default_rng(0))
    _, spread = compute_passes(ways, landscape(20, 20), Window(0, 0, 20, 20), "mean")
    assert len(ways) == 8
    assert spread.mean() > 0.01


def test_no_network_sees_more_than_a_piece_of_a_large_scene(monkeypatch):
    sides, up = [], small_upscaler()

    def watched(piece):
        sides.append(max(piece.lr.shape))
        return up.apply(piece)

    method = Method(base_upscaler(bicubic_base(2)), (replace(up, apply=watched),))
    picture = Picture.of(hills(40, 50), np.ones((40, 50), dtype=bool))
    whole = method(picture, picture.window)
    monkeypatch.setattr("pipeline.superres.applying.method.PIECE_PX", 16)
    sides.clear()
    pieced = method(picture, picture.window)
    assert max(sides) <= 16 + 2 * up.own_reach_px
    np.testing.assert_allclose(pieced.hr, whole.hr, atol=1e-4)

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import uniform_filter

from pipeline import raster
from pipeline.grid import Window
from pipeline.raster import (
    block_means,
    cut_mirrored,
    fill_nearest,
    most_textured,
    most_textured_square,
    split_pixels,
)


@given(
    shape=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    window=st.builds(
        Window, st.integers(-20, 6), st.integers(-20, 6), st.integers(1, 30), st.integers(1, 30)
    ),
)
def test_beyond_its_border_a_scene_is_mirrored_again_and_again(shape, window):
    scene = np.arange(shape[0] * shape[1], dtype=np.float32).reshape(shape)
    padded = np.pad(scene, 60, mode="symmetric")
    shifted = Window(window.row + 60, window.column + 60, window.height, window.width)
    np.testing.assert_array_equal(cut_mirrored(scene, window), padded[shifted.slices])


@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 4))
def test_blocks_of_split_pixels_are_the_pixels(rows, columns, scale):
    values = np.random.default_rng(0).normal(290, 5, (rows, columns)).astype(np.float32)
    np.testing.assert_allclose(block_means(split_pixels(values, scale), scale), values)


def test_a_block_needs_its_least_number_of_valid_pixels():
    values = np.array([[1, 3, np.nan, np.nan, 9], [5, 7, 2, np.nan, 9], [9, 9, 9, 9, 9]], np.float32)
    np.testing.assert_array_equal(block_means(values, 2), [[4, 2]])
    np.testing.assert_array_equal(block_means(values, 2, least_valid=2), [[4, np.nan]])


def test_a_hole_takes_the_nearest_value_and_nothing_else_changes():
    values = np.array([[1, 2, np.nan, np.nan, 8]], np.float32)
    np.testing.assert_array_equal(fill_nearest(values), [[1, 2, 2, 8, 8]])
    assert np.isnan(fill_nearest(np.full((2, 2), np.nan, np.float32))).all()


@pytest.mark.parametrize("share", [0.02, 0.4, 0.97, 0.9995])
def test_holes_are_filled_alike_whatever_the_tiles(share, monkeypatch):
    generator = np.random.default_rng(3)
    values = generator.normal(290, 5, (150, 170)).astype(np.float32)
    values[generator.random(values.shape) < share] = np.nan
    values[40:130, 20:150] = np.nan  # deeper than a halo
    whole = fill_nearest(values)
    monkeypatch.setattr(raster, "FILL_TILE_PX", 32)
    monkeypatch.setattr(raster, "FILL_HALO_PX", 3)
    np.testing.assert_array_equal(fill_nearest(values), whole)
    assert np.isfinite(whole).all()


def test_the_steepest_square_without_holes_is_found():
    values = np.zeros((16, 32), np.float32)
    values[8:, 24:] = np.indices((8, 8)).sum(axis=0) % 2
    values[:8, :8] = 100 * (np.indices((8, 8)).sum(axis=0) % 2)
    values[4, 4] = np.nan
    np.testing.assert_array_equal(most_textured_square(values, [64, 8]), values[8:, 24:])
    assert most_textured_square(np.full((16, 16), np.nan, np.float32), [8]) is None


def test_the_textured_corner_is_found():
    temperature = np.full((200, 300), 300, np.float32)
    temperature[120:160, 200:240] += np.random.default_rng(0).normal(0, 3, (40, 40)).astype(np.float32)
    window = most_textured(temperature, 48)
    assert window.row <= 120
    assert window.row + window.height >= 160
    assert window.column <= 200
    assert window.column + window.width >= 240


@pytest.mark.parametrize("shape", [(1, 1), (5, 300), (300, 5), (64, 64)])
def test_a_textured_window_lies_inside(shape):
    window = most_textured(np.full(shape, np.nan, np.float32), 48)
    assert (window.height, window.width) == (min(48, shape[0]), min(48, shape[1]))
    assert window.row + window.height <= shape[0]
    assert window.column + window.width <= shape[1]


def test_bands_give_what_the_whole_gives(monkeypatch):
    values = np.random.default_rng(0).normal(size=(53, 40)).astype(np.float32)
    known = values > -1

    def spread_known(part, seen):
        return uniform_filter(np.where(seen, part, np.float32(0)), 5, mode="reflect")

    whole = raster.in_bands(spread_known, 2, values, known)
    monkeypatch.setattr(raster, "BAND_PIXELS", 7 * 40)
    assert raster.row_bands(values.shape)[-1] == (49, 53)
    np.testing.assert_allclose(raster.in_bands(spread_known, 2, values, known), whole, atol=1e-6)


def test_statistics_of_a_large_raster_are_those_of_every_second_pixel(monkeypatch):
    values = np.arange(36.0, dtype=np.float32).reshape(6, 6)
    monkeypatch.setattr(raster, "MOST_SAMPLES", 9)
    np.testing.assert_array_equal(raster.known_sample(values, values > 13), [14, 16, 24, 26, 28])
    lone = values == 7
    np.testing.assert_array_equal(raster.known_sample(values, lone), [7])

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.errors import SkippedSceneError
from pipeline.raster import split_pixels
from pipeline.superres.sensing.holes import fill_nearest, near_border, near_missing

shapes = st.tuples(st.integers(1, 12), st.integers(1, 12))
masks = arrays(np.bool_, shapes)


def scene_under(valid, hole=np.nan):
    numbers = 250 + np.arange(valid.size, dtype=np.float32).reshape(valid.shape)
    return np.where(valid, numbers, np.float32(hole))


@given(valid=masks)
def test_valid_pixels_are_untouched_and_no_hole_is_left(valid):
    assume(valid.any())
    filled = fill_nearest(scene_under(valid))
    np.testing.assert_array_equal(filled[valid], scene_under(valid)[valid])
    assert np.isfinite(filled).all()
    assert filled.dtype == np.float32


@given(valid=masks)
def test_a_hole_takes_the_value_of_a_nearest_valid_pixel(valid):
    assume(valid.any())
    filled = fill_nearest(scene_under(valid))
    for hole in np.argwhere(~valid):
        distance = np.hypot(*(np.argwhere(valid) - hole).T)
        source = np.argwhere(scene_under(valid) == filled[tuple(hole)])[0]
        assert np.hypot(*(source - hole)) == distance.min()


@given(valid=masks, stored=st.sampled_from([np.inf, -np.inf]))
def test_what_is_stored_under_the_mask_does_not_matter(valid, stored):
    assume(valid.any())
    np.testing.assert_array_equal(fill_nearest(scene_under(valid, stored)), fill_nearest(scene_under(valid)))


def test_a_scene_without_holes_comes_back_as_it_is_and_is_no_view():
    scene = np.full((3, 3), 290, dtype=np.float32)
    filled = fill_nearest(scene)
    np.testing.assert_array_equal(filled, scene)
    assert not np.shares_memory(filled, scene)


def test_a_scene_without_valid_pixels_is_skipped():
    with pytest.raises(SkippedSceneError, match="none of the 9 pixels is valid"):
        fill_nearest(np.full((3, 3), np.nan, dtype=np.float32))


@given(valid=masks, scale=st.sampled_from([2, 4, 8]))
def test_a_valid_pixel_stays_valid_and_a_missing_one_missing(valid, scale):
    fine = split_pixels(valid, scale)
    blocks = fine.reshape(valid.shape[0], scale, valid.shape[1], scale)
    np.testing.assert_array_equal(blocks.all(axis=(1, 3)), valid)
    np.testing.assert_array_equal(blocks.any(axis=(1, 3)), valid)


@given(valid=masks, reach_px=st.integers(0, 15))
def test_neighbors_of_holes_are_the_valid_pixels_within_reach(valid, reach_px):
    holes = np.argwhere(~valid)
    wanted = np.zeros_like(valid)
    for pixel in np.argwhere(valid):
        wanted[tuple(pixel)] = (np.abs(holes - pixel).max(axis=1, initial=0) <= reach_px).any()
    np.testing.assert_array_equal(near_missing(valid, reach_px), wanted)


@given(shape=shapes, reach_px=st.integers(0, 15))
def test_the_border_is_as_wide_as_the_reach(shape, reach_px):
    rows, columns = np.indices(shape)
    outside = np.minimum.reduce([rows + 1, shape[0] - rows, columns + 1, shape[1] - columns])
    np.testing.assert_array_equal(near_border(shape, reach_px), outside <= reach_px)

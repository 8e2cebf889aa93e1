import numpy as np
import pytest
import zarr
from scipy import ndimage

from pipeline.products.store.unsharp import Unsharp, unsharp_mask, write_unsharp_mask

USUAL = Unsharp()


def rough(shape=(60, 70)):
    return np.random.default_rng(0).normal(300, 3, shape).astype(np.float32)


def test_a_flat_scene_stays_flat():
    np.testing.assert_array_equal(unsharp_mask(np.full((9, 9), 300, np.float32), USUAL, strongest_k=1), 300)


def test_an_edge_gets_steeper_by_a_bounded_share():
    step = np.full((20, 20), 290, np.float32)
    step[:, 10:] = 310
    change = np.abs(unsharp_mask(step, USUAL, strongest_k=20) - step)
    assert 0 < change.max() <= 0.3 * 0.5 * 20
    assert change[:, :4].max() == 0


def test_strength_and_largest_share_count_alike():
    values = rough()
    usual = unsharp_mask(values, USUAL, strongest_k=10).astype(np.float64) - values
    for more in (Unsharp(1.0, 0.3), Unsharp(0.5, 0.6)):
        change = unsharp_mask(values, more, strongest_k=10).astype(np.float64) - values
        np.testing.assert_allclose(change, 2 * usual, atol=1e-4)


def test_missing_pixels_stay_missing_and_change_no_other():
    values = rough()
    values[20:30, 20:30] = np.nan
    sharpened = unsharp_mask(values, USUAL, strongest_k=10)
    np.testing.assert_array_equal(np.isnan(sharpened), np.isnan(values))
    flat = np.where(np.isnan(values), np.nan, 300).astype(np.float32)
    np.testing.assert_allclose(unsharp_mask(flat, USUAL, strongest_k=10)[~np.isnan(flat)], 300, atol=1e-4)


@pytest.mark.parametrize("chunk", [16, 33, 64])
def test_by_chunks_it_is_the_same_as_whole(chunk):
    values = rough()
    source = zarr.create_array({}, shape=values.shape, chunks=(chunk, chunk), dtype="float32")
    target = zarr.create_array({}, shape=values.shape, chunks=(chunk, chunk), dtype="float32")
    source[:] = values
    write_unsharp_mask(source, target, USUAL)
    strongest = np.abs(ndimage.laplace(values.astype(np.float64), mode="nearest")).max()
    np.testing.assert_allclose(target[:], unsharp_mask(values, USUAL, strongest_k=strongest), atol=1e-4)

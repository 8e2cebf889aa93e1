"""Local damage of real grids: found where it was put, not found where nothing is wrong, mended on request."""

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation

from pipeline.grid import Window
from pipeline.scene import FLAG_ARTIFACT
from pipeline.settings_sources import load_settings
from pipeline.superres.bases.base import bicubic
from pipeline.superres.enhance import enhance
from pipeline.superres.sensing import artifacts
from pipeline.superres.sensing.artifacts import find_artifacts
from pipeline.superres.sensing.degrade import Degrade
from tests.scenes import scene_of, truth_and_lr

BASE_AT_X2 = load_settings(assignments=["recipe.scale=2", "recipe.detail=none"], environment={}).recipe
OTHER_SCAN_K = 2.0
SIDE_PX = 136
MEND = "recipe.degrade.mend=damage"


def made_truth():
    """A fine scene without furnaces, around which no two scans agree."""
    truth, _ = truth_and_lr(2 * SIDE_PX, 2)
    return np.minimum(truth, np.quantile(truth, 0.99)).astype(np.float32)


def made_scene():
    """What a sensor sees of it."""
    return Degrade.gaussian(2, 0.4)(made_truth())


def damaged(lr, kind):
    """The scene with damage as real files have it, and where."""
    hurt, mask = lr.copy(), np.zeros(lr.shape, bool)
    rows, columns = np.indices(lr.shape)
    other_scan = np.roll(lr, 1, axis=1) + np.float32(OTHER_SCAN_K)
    if kind == "checkerboard":
        mask = np.abs(rows - columns) < 12
        hurt = np.where(mask & ((rows + columns) % 2 == 1), other_scan, lr)
    elif kind == "rows":
        mask = np.abs(columns - lr.shape[1] // 2) < 12
        hurt = np.where(mask & (rows % 2 == 1), other_scan, lr)
    elif kind == "stripes":
        mask[[20, 41, 62, 90]] = True
        hurt = lr + np.where(mask, np.float32(1.5), np.float32(0))
    else:
        mask[:, 67:69] = True
        hurt = lr + np.where(columns >= 68, np.float32(4), np.float32(0))
    return hurt.astype(np.float32), mask


def found(lr, *, mends=False):
    return find_artifacts(lr, np.isfinite(lr), step=0.0, mends=mends)


@pytest.mark.parametrize("kind", ["checkerboard", "rows", "stripes", "seams"])
def test_damage_is_found_where_it_was_put_and_nowhere_else(kind):
    lr = made_scene()
    hurt, mask = damaged(lr, kind)
    artifacts = found(hurt)
    changed = mask & ((np.abs(hurt - lr) > 1) | (kind == "seams"))
    assert artifacts.damaged[changed].mean() > 0.6
    assert artifacts.damaged[~binary_dilation(mask, iterations=8)].mean() < 0.005
    name = {"checkerboard": "interleaved", "rows": "interleaved"}.get(kind, kind)
    assert artifacts.shares[name] > 0.4 * changed.mean()


@pytest.mark.parametrize("kind", ["checkerboard", "rows", "stripes", "seams"])
def test_in_tiles_of_a_large_scene_the_same_damage_is_found(monkeypatch, kind):
    lr = np.tile(made_scene(), (2, 2))
    hurt, _ = damaged(lr, kind)
    whole = found(hurt)
    monkeypatch.setattr(artifacts, "TILE_PX", lr.shape[0] - 1)
    tiled = found(hurt, mends=True)
    assert (tiled.damaged == whole.damaged).mean() > 0.995
    np.testing.assert_allclose(tiled.mended[tiled.damaged], hurt[tiled.damaged], atol=10)
    for name, share in whole.shares.items():
        assert tiled.shares[name] == pytest.approx(share, rel=0.2, abs=0.002)


def test_tiles_without_damage_take_no_memory(monkeypatch):
    lr = np.full((300, 300), 300, np.float32)
    monkeypatch.setattr(artifacts, "TILE_PX", 150)
    nothing = found(lr, mends=True)
    assert nothing.mended is lr
    assert nothing.noise.strides == (0, 0)


@pytest.mark.parametrize("noise_k", [0.0, 0.5])
def test_hardly_a_pixel_of_an_undamaged_scene_is_called_damaged(noise_k):
    _, lr = truth_and_lr(272, 2, nedt_k=noise_k)
    assert found(lr).damaged.mean() < 0.005


def test_damage_has_its_flag_and_more_uncertainty_and_kelvin_stays():
    lr = made_scene()
    hurt, mask = damaged(lr, "checkerboard")
    whole = Window(0, 0, *lr.shape)
    enhancement = enhance(scene_of(hurt), BASE_AT_X2, device=torch.device("cpu"))
    made = enhancement.compute(whole)
    inside = mask.repeat(2, 0).repeat(2, 1)
    far = ~binary_dilation(mask, iterations=8).repeat(2, 0).repeat(2, 1)
    assert (made.flag[inside] == FLAG_ARTIFACT).mean() > 0.3
    assert (made.flag[far] == FLAG_ARTIFACT).mean() < 0.02
    assert np.median(made.uncertainty[made.flag == FLAG_ARTIFACT]) > 0.5 * OTHER_SCAN_K / 2
    assert enhancement.figures["artifact_interleaved_fraction"] > 0.05
    assert enhancement.figures["artifact_noise_k"] > 0.3
    consistency = enhancement.check(lambda fine: made.temperature[fine.slices])
    assert consistency["consistency_rmse_k"] < 0.1  # the scene as it came, its damage included


@pytest.mark.parametrize(
    ("kind", "of_unmended", "of_bicubic"),
    [("checkerboard", 0.4, 1.05), ("rows", 0.7, 1.2), ("stripes", 0.75, 1.0)],
)
def test_mending_takes_out_most_of_the_error_and_changes_nothing_else(kind, of_unmended, of_bicubic):
    truth, (hurt, mask) = made_truth(), damaged(made_scene(), kind)
    whole, kernel = Window(0, 0, *hurt.shape), "recipe.degrade.psf_sigma_px=0.4"
    base = ("recipe.scale=2", "recipe.detail=none", kernel, "recipe.degrade.nedt_k=0")
    recipes = [load_settings(assignments=told, environment={}).recipe for told in (base, (*base, MEND))]
    kept, mended = (enhance(scene_of(hurt), each, device=torch.device("cpu")) for each in recipes)
    inside = mask.repeat(2, 0).repeat(2, 1)
    far = ~binary_dilation(mask, iterations=12).repeat(2, 0).repeat(2, 1)

    def error(answer, part):
        return float(np.sqrt(np.mean((answer - truth)[part].astype(np.float64) ** 2)))

    before, after = kept.compute(whole), mended.compute(whole)
    assert error(after.temperature, inside) < of_unmended * error(before.temperature, inside)
    assert error(after.temperature, inside) < of_bicubic * error(bicubic(hurt, 2), inside)
    assert error(after.temperature, far) == pytest.approx(error(before.temperature, far), rel=0.01)
    np.testing.assert_array_equal(after.flag, before.flag)
    assert mended.figures["artifact_noise_k"] == kept.figures["artifact_noise_k"]
    assert mended.figures["artifact_mended_k"] > 0.5


def test_a_scene_without_damage_has_nothing_to_mend():
    lr = made_scene()
    mended = found(lr, mends=True)
    np.testing.assert_array_equal(mended.mended[~mended.damaged], lr[~mended.damaged])
    assert found(lr).mended is lr

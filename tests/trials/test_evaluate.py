"""Wald's protocol: where the test scene lies, and that it is timed as a run is."""

import numpy as np
import pytest

from pipeline.errors import UnusableInputError
from pipeline.settings_sources import load_settings
from pipeline.trials.evaluate import coarse_scene, degradation, evaluate, read_classes, truth_square
from tests.scenes import scene_of

BASE_ALONE = ("recipe.detail=none", "recipe.scale=2")


def textured_lower_right(side_px=192):
    """A scene that is flat but for its lower right quarter."""
    temperature = np.full((side_px, side_px), 300, np.float32)
    half = side_px // 2
    temperature[half:, half:] += np.random.default_rng(0).normal(0, 2, (half, half)).astype(np.float32)
    return scene_of(temperature)


def test_a_part_from_the_middle_keeps_its_place_on_the_earth():
    reference = textured_lower_right()
    square = truth_square(reference.temperature, 96, 2)
    assert (square.row, square.column, square.height) == (96, 96, 96)
    coarse = coarse_scene(reference, square, np.zeros((48, 48), np.float32), 2)
    assert coarse.grid.transform @ (0, 0) == reference.grid.transform @ (96, 96)
    assert coarse.grid.transform @ (48, 48) == reference.grid.transform @ (192, 192)


def test_the_product_is_computed_with_the_tiles_of_a_run():
    one_tile = load_settings(assignments=BASE_ALONE, environment={})
    small = load_settings(assignments=[*BASE_ALONE, "run.tile_px=32", "output.chunk_px=64"], environment={})
    degraded = degradation("mtf", 2)
    whole, tiled = (
        evaluate(textured_lower_right(), settings, degraded=degraded, noise_k=0.0, size_px=128)["methods"]
        for settings in (one_tile, small)
    )
    assert np.isnan(whole["product"]["seam_index"])
    assert np.isfinite(tiled["product"]["seam_index"])
    assert whole["product"]["rmse_k"] == tiled["product"]["rmse_k"]


def test_a_class_map_gives_an_error_for_every_class_and_another_is_refused(tmp_path):
    settings, reference = load_settings(assignments=BASE_ALONE, environment={}), textured_lower_right()
    classes = np.ones((192, 192), np.uint8)
    classes[140:] = 5
    np.save(tmp_path / "land.npy", classes)
    degraded = degradation("mtf", 2)
    told = evaluate(
        reference, settings, degraded=degraded, noise_k=0.0, size_px=96, classes=tmp_path / "land.npy"
    )
    for figures in told["methods"].values():
        assert set(figures["rmse_k_by_class"]) == {"1", "5"}
        assert min(figures["rmse_k_by_class"].values()) <= figures["rmse_k"]
        assert max(figures["rmse_k_by_class"].values()) >= figures["rmse_k"]
        assert list(figures["rmse_k_by_gradient"]) == ["calm", "middle", "steep"]
    for name, content in (("small.npy", classes[:9]), ("real.npy", classes.astype(np.float32))):
        np.save(tmp_path / name, content)
        with pytest.raises(UnusableInputError, match="a map of classes in whole numbers of 192 x 192"):
            read_classes(tmp_path / name, (192, 192))
    (tmp_path / "bad.tif").write_bytes(b"no map")
    with pytest.raises(UnusableInputError, match=r"bad\.tif: is no map of classes"):
        read_classes(tmp_path / "bad.tif", (192, 192))

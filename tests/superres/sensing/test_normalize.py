import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.errors import SkippedSceneError
from pipeline.recipe_settings import NormalizeSettings
from pipeline.superres.sensing.normalize import MIN_SCALE_K, Normalization

PERCENTILE = NormalizeSettings(method="percentile")
ABSOLUTE = NormalizeSettings(method="absolute")
kelvins = st.floats(100, 1500, width=32)
scenes = arrays(np.float32, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=kelvins)


@given(kelvin=kelvins)
def test_absolute_kelvin_survive_the_way_there_and_back_within_a_tenth_of_a_millikelvin(kelvin):
    fit = Normalization.fit(np.float32([[kelvin]]), ABSOLUTE)
    back = fit.denormalize(fit.normalize(np.float32([kelvin])))
    np.testing.assert_allclose(back, np.float32(kelvin), rtol=0, atol=1e-4)


@given(scene=scenes)
def test_every_scene_survives_the_way_there_and_back(scene):
    fit = Normalization.fit(scene, PERCENTILE)
    # Above 1024 K neighboring float32 numbers lie 1.2e-4 K apart.
    tolerance_k = np.maximum(1e-4, np.spacing(scene))
    assert (np.abs(fit.denormalize(fit.normalize(scene)).astype(np.float64) - scene) <= tolerance_k).all()


@given(scene=arrays(np.float32, (6, 6), elements=st.floats(150, 400, width=32)))
def test_terrestrial_scenes_survive_within_a_tenth_of_a_millikelvin(scene):
    fit = Normalization.fit(scene, PERCENTILE)
    np.testing.assert_allclose(fit.denormalize(fit.normalize(scene)), scene, rtol=0, atol=1e-4)


def test_percentiles_map_to_zero_and_one():
    scene = np.arange(101, dtype=np.float32)[None] + 250
    fit = Normalization.fit(scene, NormalizeSettings(low_percentile=2, high_percentile=90))
    assert (fit.offset_k, fit.scale_k) == (252, 88)


def test_absolute_bounds_map_to_zero_and_one():
    fit = Normalization.fit(np.float32([[290, 400]]), ABSOLUTE)
    np.testing.assert_allclose(fit.normalize(np.float32([200, 320])), [0, 1])


def test_a_fire_is_not_clipped():
    fit = Normalization.fit(np.float32([[290, 300, 310]]), ABSOLUTE)
    assert fit.denormalize(fit.normalize(np.float32([[900]])))[0, 0] == 900


def test_clip_cuts_off_and_counts_what_it_cuts():
    fit = Normalization.fit(np.float32([[290]]), ABSOLUTE.model_copy(update={"clip": True}))
    scene = np.float32([[150, 200, 260, 320, 330, np.nan]])
    np.testing.assert_allclose(fit.denormalize(fit.normalize(scene)), [[200, 200, 260, 320, 320, np.nan]])
    assert fit.count_outside(scene) == 2


@given(scene=scenes, hole=st.sampled_from([np.nan, np.inf, -np.inf]))
def test_missing_pixels_do_not_count(scene, hole):
    holed = np.vstack([scene, np.full((3, scene.shape[1]), hole, dtype=np.float32)])
    assert Normalization.fit(holed, PERCENTILE) == Normalization.fit(scene, PERCENTILE)


def test_missing_pixels_stay_missing():
    fit = Normalization.fit(np.float32([[290, 300, np.nan]]), PERCENTILE)
    assert np.isnan(fit.denormalize(fit.normalize(np.float32([[np.nan]])))).all()


@given(kelvin=kelvins, steps=st.integers(0, 3))
def test_nearly_constant_scenes_are_not_blown_up(kelvin, steps):
    scene = np.full((4, 4), kelvin, dtype=np.float32)
    scene[0, 0] += steps * np.spacing(scene[0, 0])
    fit = Normalization.fit(scene, PERCENTILE)
    assert fit.scale_k == MIN_SCALE_K
    assert np.abs(fit.normalize(scene)).max() <= 0.01


def test_statistics_are_double_precision():
    scene = np.float32([[250.1, 263.7, 271.9]])
    fit = Normalization.fit(scene, PERCENTILE)
    assert fit.offset_k == np.percentile(scene.astype(np.float64), 1)


def test_a_scene_without_valid_pixels_is_skipped():
    with pytest.raises(SkippedSceneError, match="no pixel is valid"):
        Normalization.fit(np.full((3, 3), np.nan, dtype=np.float32), PERCENTILE)


def test_a_unit_of_no_length_is_refused():
    with pytest.raises(ValueError, match=r"at least 0.1 K, got 0.0"):
        Normalization(290.0, 0.0, "percentile")


@given(scene=scenes, clip=st.booleans())
def test_what_is_stored_is_what_was_used(scene, clip):
    fit = Normalization.fit(scene, PERCENTILE.model_copy(update={"clip": clip}))
    assert Normalization.from_json(json.loads(json.dumps(fit.to_json()))) == fit

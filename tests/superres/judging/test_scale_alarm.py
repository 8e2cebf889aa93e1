"""The alarm that what held one scale up may not hold: who must ring it, and who must not."""

import numpy as np
import pytest
import torch

from pipeline.settings_sources import load_settings
from pipeline.superres.bases.base import bicubic
from pipeline.superres.enhance import enhance
from pipeline.superres.judging.gain import ALARMED_GAIN, expected_gain, gain_of_prior, gain_of_trained
from pipeline.superres.judging.scale_alarm import scale_invariance
from pipeline.superres.judging.selftest import FittedGain
from pipeline.superres.sensing.degrade import Degrade
from pipeline.superres.sensing.spectrum import estimate_noise_k
from tests.benchmarks.scenes import ALBORAN, ECOSTRESS, GOES, LANDSAT, NW_MED, SALTON_SEA, band, variable
from tests.scenes import scene_of, truth_and_lr
from tests.superres.textures import rough

SENSOR = Degrade.gaussian(2, 0.35)


def judged(scene, degrade=SENSOR):
    scene = np.asarray(scene, dtype=np.float32)
    valid = np.isfinite(scene)
    return scale_invariance(scene, valid, degrade, estimate_noise_k(scene, valid))


def texture(side_px=512, slope=1.3, seed=0):
    return np.asarray(SENSOR(rough((2 * side_px, 2 * side_px), seed, slope)))


def noise(shape, sigma_k):
    return np.random.default_rng(1).normal(0, sigma_k, shape)


@pytest.mark.parametrize("slope", [1.0, 1.3, 1.6, 1.8])
def test_texture_that_is_alike_at_every_scale_holds_what_is_foretold(slope):
    found = judged(texture(slope=slope))
    assert found.share == pytest.approx(1.15, abs=0.15)
    assert found.alarm == ""


@pytest.mark.parametrize("seed", range(4))
def test_small_scenes_scatter_but_stay_silent(seed):
    assert judged(texture(96, 1.5, seed)).alarm == ""


def test_noise_below_the_detail_is_no_alarm():
    scene = texture()
    assert judged(scene + noise(scene.shape, 0.3)).alarm == ""


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_an_interpolated_grid_rings(factor):
    assert "of the detail foretold" in judged(bicubic(texture(160), factor)).alarm


def test_an_interpolated_grid_rings_through_a_little_noise():
    scene = bicubic(texture(160), 3)
    assert judged(scene + noise(scene.shape, 0.05)).alarm != ""


def test_a_scene_drowned_in_noise_rings():
    scene = texture()
    assert "noise is 9" in judged(scene + noise(scene.shape, 3.0)).alarm


@pytest.mark.parametrize("below", [0.0, 1.0])
def test_a_checkerboard_rings(below):
    scene = 300 + below * (texture(256) - 300)
    assert judged(scene + 3 * (np.indices(scene.shape).sum(0) % 2)).alarm != ""


def test_where_nothing_tells_nothing_rings():
    for scene in (np.full((100, 100), 290.0), texture(40)):
        found = judged(scene)
        assert np.isnan(found.share)
        assert found.alarm == ""


def test_what_lies_under_the_mask_never_matters():
    scene, valid = texture(256), np.ones((256, 256), bool)
    valid[100:110, 100:110] = False
    wild = np.where(valid, scene, np.float32(900))
    first, second = (
        scale_invariance(each, valid, SENSOR, estimate_noise_k(each, valid)) for each in (scene, wild)
    )
    assert first == second


def test_real_native_scenes_are_silent_and_30_meter_landsat_rings(real_scenes):
    native = [
        *(band(f"ecostress/ECO_L2_LSTE.002_LST_{day}_aid0001.tif") for day in ECOSTRESS.values()),
        band(SALTON_SEA),
        variable(GOES, "CMI"),
        *(
            variable(path, f"brightness_temperature_channel_{n}")
            for path in (NW_MED, ALBORAN)
            for n in (1, 2)
        ),
    ]
    box = Degrade.gaussian(2, 0.0)
    assert [judged(load(), box).alarm for load in native] == [""] * len(native)
    assert "the finest octave holds 2" in judged(band(LANDSAT)(), SENSOR).alarm


def test_an_alarm_only_ever_lowers_the_gain():
    told = expected_gain("the record", 0.9, 0.1)
    for fitted in (FittedGain(1.5, 0.1, 50), FittedGain(0.15, 0.01, 50), FittedGain(0.0, 1.0, 5)):
        for ways in (
            [gain_of_trained(fitted, scale=4, alarmed=alarmed).value for alarmed in (False, True)],
            [
                gain_of_prior(fitted, told, scale=4, alarmed=alarmed, own_counts=True).value
                for alarmed in (False, True)
            ],
        ):
            calm, alarmed = ways
            assert alarmed == min(calm, ALARMED_GAIN)


def test_the_record_holds_the_alarm_and_the_uncertainty_is_not_called_calibrated():
    recipe = load_settings(assignments=["recipe.detail=none"], environment={}).recipe
    lr = truth_and_lr(512, 4)[1]
    for scene, rings in ((lr, False), (bicubic(lr, 3), True)):
        made = enhance(scene_of(scene), recipe, device=torch.device("cpu"))
        assert bool(made.figures["scale_alarm"]) is rings
        assert made.figures["scale_invariance"] > 0
        assert made.figures["uncertainty_calibrated"] == float(not rings)
        assert made.provenance["error_model"]["calibrated"] is not rings

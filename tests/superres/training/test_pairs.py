from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.recipe_settings import PairSettings
from pipeline.superres.sensing.degrade import Degrade
from pipeline.superres.training.levels import pyramid
from pipeline.superres.training.pairs import calibrate
from tests.superres.networks.made import make_network
from tests.superres.textures import smooth_noise
from tests.superres.training.made import SETTINGS, pairs_of


@pytest.mark.parametrize("scale", [2, 4])
def test_without_noise_the_coarse_picture_is_the_degraded_truth(scale):
    degrade = Degrade.gaussian(scale, 0.4)
    for level in pairs_of(smooth_noise(), scale=scale).levels:
        np.testing.assert_allclose(level.lr, degrade(level.truth), atol=1e-6)


def test_same_seed_same_pairs():
    one, other = (pairs_of(smooth_noise(), noise=0.1).batch(np.random.default_rng(7)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one[:4], other[:4], strict=True))


def test_patches_of_coarse_and_fine_show_the_same_ground():
    pairs = pairs_of(smooth_noise(), settings=SETTINGS.model_copy(update={"batch": 32}))
    batch = pairs.batch(np.random.default_rng(0))
    blocks = torch.nn.functional.avg_pool2d(batch.truth, 2)
    # The mean over a block sees less blur than the sensor, and hardly anything else.
    assert float((blocks - batch.lr).abs().mean()) < 0.2 * float(batch.lr.std())
    assert torch.equal(torch.sort(batch.truth[0].flatten())[0].unique(), batch.truth[0].unique())


def test_there_are_eight_levels_from_whole_to_half():
    levels = pyramid(smooth_noise(), np.ones((96, 96), bool), SETTINGS, smallest_px=16)
    assert [level.shape[0] for level, _ in levels] == [96, 89, 82, 75, 69, 62, 55, 48]


def test_every_level_keeps_the_mean():
    scene = smooth_noise() + 5.0
    for level, _ in pyramid(scene, np.ones((96, 96), bool), SETTINGS, smallest_px=16):
        assert float(level.mean()) == pytest.approx(float(scene.mean()), abs=0.01)


def test_missing_pixels_never_count_and_keep_what_fills_them():
    valid = np.ones((96, 96), bool)
    valid[20:50, 30:70] = False
    filled = np.where(valid, smooth_noise(), np.float32(7))
    whole = pairs_of(filled, valid=valid).levels[0]
    assert 0.8 * valid.sum() < whole.weight.sum() <= valid.sum()
    assert not whole.weight[20:50, 30:70].any()
    np.testing.assert_array_equal(whole.truth, filled)


def test_training_never_sees_the_held_out_pixels():
    held_out = np.zeros((96, 96), bool)
    held_out[48:, 48:] = True
    one = smooth_noise()
    other = np.where(held_out, smooth_noise(seed=5) * 9, one).astype(np.float32)
    first, second = (pairs_of(scene, held_out=held_out) for scene in (one, other))
    for a, b in zip(first.levels, second.levels, strict=True):
        for name in ("lr", "base", "truth", "weight"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert first.unit == second.unit
    assert first.sigma == second.sigma


def test_validation_counts_on_the_held_out_pixels_only():
    held_out = np.zeros((96, 96), bool)
    held_out[48:, 48:] = True
    (batch,) = pairs_of(smooth_noise(), held_out=held_out).validation
    assert bool((batch.weight[0, 0].numpy()[~held_out[: batch.weight.shape[2]]] == 0).all())
    assert float(batch.weight.sum()) > 0.9 * held_out.sum()


def test_noise_is_between_half_and_twice_the_stated_one():
    flat = np.zeros((256, 256), np.float32)
    spread = [level.lr.std() for level in pairs_of(flat, noise=0.1).levels]
    assert min(spread) > 0.048
    assert max(spread) < 0.21
    assert max(spread) > 1.3 * min(spread)


def test_informative_patches_look_at_the_busy_part():
    scene = np.zeros((96, 96), np.float32)
    scene[60:68, 60:68] = smooth_noise()[:8, :8] * 10
    busy = {}
    for fraction in (0.0, 1.0):
        settings = PairSettings(crop_px=8, batch=64, informative_fraction=fraction)
        batch = pairs_of(scene, settings=settings).batch(np.random.default_rng(0))
        busy[fraction] = float((batch.truth.std(dim=(1, 2, 3)) > 0.05).float().mean())
    assert busy[1.0] == 1.0
    assert busy[0.0] < 0.6


def test_a_photometric_change_is_the_same_for_coarse_and_fine():
    settings = PairSettings(crop_px=16, batch=16, photometric_probability=1.0)
    scene = smooth_noise() + 3.0
    batch = pairs_of(scene, settings=settings).batch(np.random.default_rng(0))
    means = batch.truth.mean(dim=(1, 2, 3))
    assert float(means.std()) > 0.05
    torch.testing.assert_close(batch.lr.mean(dim=(1, 2, 3)), means, atol=0.02, rtol=0)


def test_brightness_and_contrast_are_drawn_apart():
    settings = PairSettings(crop_px=16, batch=64, flips=False, photometric_probability=0.3)
    plain = pairs_of(
        smooth_noise() + 3.0, settings=settings.model_copy(update={"photometric_probability": 0.0})
    )
    changed = replace(plain, settings=settings)
    kinds = set()
    for seed in range(20):
        one, other = (
            pairs.batch(np.random.default_rng(seed)).truth[0, 0].numpy() for pairs in (plain, changed)
        )
        brightness = other.mean() / one.mean()
        contrast = other.std() / one.std() / brightness
        kinds.add((bool(abs(brightness - 1) > 0.003), bool(abs(contrast - 1) > 0.003)))
    assert {(True, False), (False, True), (False, False)} <= kinds


def test_a_batch_says_how_noisy_each_of_its_patches_is():
    flat = np.zeros((96, 96), np.float32)
    settings = PairSettings(crop_px=32, batch=16)
    batch = pairs_of(flat, noise=0.1, settings=settings).batch(np.random.default_rng(0))
    torch.testing.assert_close(batch.noise.flatten(), batch.lr.std(dim=(1, 2, 3)), rtol=0.15, atol=0)
    assert float(batch.noise.max()) > 1.3 * float(batch.noise.min())


def test_the_original_recipe_is_judged_though_nothing_is_held_out():
    settings = PairSettings(model="original", crop_px=16, batch=1)
    assert len(pairs_of(smooth_noise(), settings=settings).validation) == 16
    assert pairs_of(smooth_noise()).validation == ()


def test_the_originals_model_makes_most_pictures_noisy():
    flat, settings = np.zeros((96, 96), np.float32), PairSettings(model="original", crop_px=16)
    spreads = np.array([level.lr.std() for level in pairs_of(flat, settings=settings).levels])
    assert ((spreads == 0) | ((spreads > 0.0008) & (spreads < 0.012))).all()
    assert np.count_nonzero(spreads) > len(spreads) / 2


def test_a_scene_too_small_for_the_factor_is_refused():
    with pytest.raises(ValueError, match="30 x 30 pixels are too few for x4: 32 a side are needed"):
        pairs_of(smooth_noise(30), scale=4)


def test_a_network_is_calibrated_to_the_scene_unless_it_is_the_originals():
    pairs = pairs_of(smooth_noise() * 7)
    ours, originals = make_network("attention", 2), make_network("attention", 2, "original")
    for network in (ours, originals):
        calibrate(network, pairs)
    assert float(ours.unit) == pytest.approx(pairs.unit)
    assert float(originals.unit) == 1.0
    assert pairs.unit == pytest.approx(7 * pairs_of(smooth_noise()).unit, rel=1e-5)
    assert pairs.sigma == pytest.approx(pairs_of(smooth_noise()).sigma, rel=1e-5)

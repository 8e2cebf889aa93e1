from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.recipe_settings import TrainSettings
from pipeline.superres.bases.base import back_projected_base
from pipeline.superres.prior.left_out import judge, judged_square, leave_sites_out, with_skill
from pipeline.superres.prior.train_prior import PriorScene, TeachSettings, octaves, prior_pairs, train_prior
from pipeline.superres.prior.weights import Prior
from pipeline.superres.sensing.degrade import Degrade
from tests.superres.prior.made import CPU, NETWORK, SETTINGS, scene
from tests.superres.textures import smooth_noise


@pytest.fixture(scope="module")
def prior():
    return train_prior([scene(1), scene(2)], SETTINGS, scales=(2, 4), seed=0, device=CPU)


def test_a_prior_survives_the_way_to_bytes_and_back(prior):
    again = Prior.load(prior.save())
    assert again.card == prior.card
    assert again.scales == (2, 4)
    lr, base = torch.randn(1, 1, 12, 12), torch.randn(1, 1, 24, 24)
    with torch.inference_mode():
        one, other = (kept.network(2)(lr, base) for kept in (prior, again))
    torch.testing.assert_close(one, other, atol=1e-3, rtol=0)  # float16 weights
    assert not torch.equal(one, base)


def test_same_seed_same_prior(prior):
    again = train_prior([scene(1), scene(2)], SETTINGS, scales=(2, 4), seed=0, device=CPU)
    assert again.save() == prior.save()


def test_the_card_names_what_fed_it(prior):
    assert [fed["name"] for fed in prior.card["scenes"]] == ["scene 1", "scene 2"]
    assert prior.fed_by(f"{1:064d}")
    assert not prior.fed_by(f"{3:064d}")


@pytest.mark.parametrize("spoil", [lambda kept: kept[:-1], lambda kept: b"nothing", lambda kept: b""])
def test_a_damaged_prior_is_refused(prior, spoil):
    with pytest.raises(ValueError, match="prior: damaged or no safetensors"):
        Prior.load(spoil(prior.save()))


def test_a_prior_of_another_version_is_refused(prior):
    with pytest.raises(
        ValueError, match="version 'thermal-sr prior 1' is wanted, found 'thermal-sr prior 0'"
    ):
        Prior.load(prior.save().replace(b"sr prior 1", b"sr prior 0"))


def test_a_prior_gains_on_a_scene_of_its_kind(prior):
    skill = judge(prior, scene(7), scale=2, noise_k=0.0, psf_sigma_px=0.4, seed=0)
    assert skill.rmse_k < 0.99 * skill.base_rmse_k


def test_a_prior_that_tikhonov_beats_is_not_mixed_in(prior):
    skill = judge(prior, scene(7), scale=2, noise_k=0.2, psf_sigma_px=0.4, seed=0)
    assert skill.tikhonov_rmse_k < 0.9 * skill.rmse_k  # forty steps are few
    assert skill.gain == 0


def test_every_patch_is_in_units_of_its_own_scene():
    calm, rough = scene(1), scene(2)
    rough = PriorScene("rough", "there", "B", "0", 300 + 100 * (rough.temperature - 300), 0.35)
    settings = replace(SETTINGS, quiet_fraction=1.0)
    pairs = prior_pairs([calm, rough], settings, scale=2, seed=0)
    spread = torch.cat([pairs.batch(np.random.default_rng(k)).truth.std(dim=(1, 2, 3)) for k in range(20)])
    assert float(spread.max() / spread.median()) < 5


def test_noise_stands_in_the_coarse_picture_and_in_the_base_alike():
    flat = PriorScene("flat", "x", "A", "0", smooth_noise(256) * 1e-4 + 300, 0.35)
    settings = replace(SETTINGS, noise_k=1.0, quiet_fraction=0.0, drowned_fraction=0.0, psf_sigmas_px=(0.4,))
    batch = prior_pairs([flat], settings, scale=2, seed=0).batch(np.random.default_rng(0))
    degrade = Degrade.gaussian(2, 0.4)
    enlarged = back_projected_base(degrade)(batch.lr)
    inner = np.s_[..., 10:-10, 10:-10]
    torch.testing.assert_close(batch.base[inner], enlarged[inner], atol=0.15, rtol=0)
    assert batch.noise.shape == (4, 1, 1, 1)
    torch.testing.assert_close(batch.lr.std(dim=(1, 2, 3)), batch.noise.flatten(), atol=0.15, rtol=0.15)


def test_the_judged_sensor_teaches_from_an_octave_down():
    whole, half = (
        prior_pairs([scene(1, side=256)], SETTINGS, scale=2, seed=0, coarser=frozenset(sensors))
        for sensors in ((), ("A",))
    )
    assert max(chapter.lesson.truth.shape[0] for chapter in whole.shelves[0]) == 256
    assert max(chapter.lesson.truth.shape[0] for chapter in half.shelves[0]) == 128


def test_octaves_halve_and_keep_gaps_as_gaps():
    temperature = smooth_noise(64) + 300
    temperature[:20, :20] = np.nan
    levels = list(octaves(temperature, 0.35, 0, 3))
    assert [level.shape for level in levels] == [(64, 64), (32, 32), (16, 16)]
    assert all(np.isnan(level[0, 0]) and np.isfinite(level[-1, -1]) for level in levels)


def test_scenes_of_one_site_are_left_out_together():
    scenes = [scene(1, site="a"), scene(2, site="a"), scene(3, site="b", sensor="B")]
    quick = TeachSettings(
        network=NETWORK, training=TrainSettings(steps=1, patience_fraction=1.0), pairs=SETTINGS.pairs
    )
    fed = {}
    skills = leave_sites_out(
        scenes,
        quick,
        scales=(2,),
        noises_k=(0.0, 0.1),
        psf_sigma_px=0.4,
        seed=0,
        device=CPU,
        progress=lambda site, prior: fed.update({site: prior.card}),
    )
    assert {site: {one["site"] for one in card["scenes"]} for site, card in fed.items()} == {
        "a": {"b"},
        "b": {"a"},
    }
    assert {site: card["coarser"] for site, card in fed.items()} == {"a": ["A"], "b": ["B"]}
    assert [(skill.scene, skill.noise_k) for skill in skills] == [
        (f"scene {k}", noise) for k in (1, 2, 3) for noise in (0.0, 0.1)
    ]


def test_the_record_recommends_the_median_gain(prior):
    skills = [judge(prior, scene(k), scale=2, noise_k=0.0, psf_sigma_px=0.4, seed=0) for k in (7, 8, 9)]
    judged = with_skill(prior, skills)
    assert judged.facts(2)["gain"] == pytest.approx(min(np.median([skill.gain for skill in skills]), 1))
    assert judged.facts(2)["gain_error"] == pytest.approx(np.std([skill.gain for skill in skills]))
    assert judged.facts(4)["gain"] == 1.0
    assert len(judged.card["skill"]) == 3


def test_a_square_is_judged_where_nothing_is_missing():
    temperature = smooth_noise(256) + 300
    temperature[100:130] = np.nan
    square = judged_square(temperature, 2)
    assert square.shape == (96, 96)
    assert np.isfinite(square).all()
    assert judged_square(np.full((256, 256), np.nan, np.float32), 2) is None


def test_an_archive_of_crumbs_teaches_nothing():
    with pytest.raises(ValueError, match="no scene is large enough to teach x4"):
        prior_pairs([scene(1, side=32)], SETTINGS, scale=4, seed=0)

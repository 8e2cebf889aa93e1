import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from pipeline.recipe_settings import TrainSettings
from pipeline.superres.bases.base import back_projected_base
from pipeline.superres.prior.left_out import (
    folds,
    leave_sites_out,
    score_left_out,
    scored_square,
    with_scores,
)
from pipeline.superres.prior.prior_pairs import (
    PriorScene,
    PriorTraining,
    enlarge_whole,
    octaves,
    prior_pairs,
)
from pipeline.superres.prior.train_prior import answers_all_alike, train_prior
from pipeline.superres.prior.weights import Prior
from pipeline.superres.sensing.degrade import Degrade
from pipeline.superres.training.state import read_header
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
        ValueError, match="version 'thermal-sr prior 2' is wanted, found 'thermal-sr prior 1'; train it anew"
    ):
        Prior.load(prior.save().replace(b"sr prior 2", b"sr prior 1"))


def test_a_network_taught_over_another_base_is_no_prior(prior):
    scales = {name: {**facts, "base": "tikhonov"} for name, facts in prior.card["scales"].items()}
    with pytest.raises(ValueError, match="x2 was taught over the base tikhonov, back_projected is wanted"):
        Prior.load(Prior(prior.weights, {**prior.card, "scales": scales}).save())


def test_a_prior_gains_on_a_scene_of_its_kind(prior):
    skill = score_left_out(prior, scene(7), scale=2, noise_k=0.0, psf_sigma_px=0.4, seed=0)
    assert skill.rmse_k < 0.99 * skill.base_rmse_k


def test_a_prior_that_tikhonov_beats_is_not_mixed_in(prior):
    skill = score_left_out(prior, scene(7), scale=2, noise_k=0.2, psf_sigma_px=0.4, seed=0)
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
    assert max(one.level.truth.shape[0] for one in whole.places[0][0]) == 256
    assert max(one.level.truth.shape[0] for one in half.places[0][0]) == 128


def test_octaves_halve_and_keep_gaps_as_gaps():
    temperature = smooth_noise(64) + 300
    temperature[:20, :20] = np.nan
    levels = list(octaves(temperature, 0.35, 0, 3))
    assert [level.shape for level in levels] == [(64, 64), (32, 32), (16, 16)]
    assert all(np.isnan(level[0, 0]) and np.isfinite(level[-1, -1]) for level in levels)


def test_scenes_of_one_site_are_left_out_together():
    scenes = [scene(1, site="a"), scene(2, site="a"), scene(3, site="b", sensor="B")]
    quick = PriorTraining(
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
        progress=lambda sites, prior: fed.update({", ".join(sites): prior.card}),
    )
    assert {site: {one["site"] for one in card["scenes"]} for site, card in fed.items()} == {
        "a": {"b"},
        "b": {"a"},
    }
    assert {site: card["coarser"] for site, card in fed.items()} == {"a": ["A"], "b": ["B"]}
    assert [(skill.scene, skill.noise_k) for skill in skills] == [
        (f"scene {k}", noise) for k in (1, 2, 3) for noise in (0.0, 0.1)
    ]


def test_groups_split_no_place_and_leave_no_sensor_out_whole():
    scenes = [
        scene(10 * place + date, site=f"{sensor}{place}", sensor=sensor, side=64)
        for sensor, places in (("A", 4), ("B", 2), ("C", 1))
        for place in range(places)
        for date in range(2)
    ]
    groups = folds(scenes, 3)
    assert sorted(site for group in groups for site in group) == sorted({one.site for one in scenes})
    for sensor in "AB":
        assert sum(any(site.startswith(sensor) for site in group) for group in groups) == 2
    assert folds(scenes) == [frozenset((site,)) for site in dict.fromkeys(one.site for one in scenes)]


def test_many_dates_of_a_place_are_drawn_no_more_than_one():
    dates = [scene(k, site="many") for k in range(1, 6)]
    pairs = prior_pairs([*dates, scene(6, site="one")], SETTINGS, scale=2, seed=0)
    assert pairs.shares[0] < 2 * pairs.shares[1]


def test_a_whole_picture_is_enlarged_as_the_base_does():
    base = back_projected_base(Degrade.gaussian(4, 0.4))
    picture = smooth_noise(48) * 3
    np.testing.assert_allclose(enlarge_whole(picture, base.kernels[0]), base(picture), atol=1e-4)


def test_the_record_recommends_the_median_gain(prior):
    skills = [
        score_left_out(prior, scene(k), scale=2, noise_k=0.0, psf_sigma_px=0.4, seed=0) for k in (7, 8, 9)
    ]
    judged = with_scores(prior, skills)
    assert judged.facts(2)["gain"] == pytest.approx(min(np.median([skill.gain for skill in skills]), 1))
    assert judged.facts(2)["gain_error"] == pytest.approx(np.std([skill.gain for skill in skills]))
    assert judged.facts(4)["gain"] == 1.0
    assert len(judged.card["skill"]) == 3


def test_a_square_is_scored_where_nothing_is_missing():
    temperature = smooth_noise(256) + 300
    temperature[100:130] = np.nan
    square = scored_square(replace(scene(1), temperature=temperature), 2)
    assert square.shape == (96, 96)
    assert np.isfinite(square).all()
    empty = np.full((256, 256), np.nan, np.float32)
    assert scored_square(replace(scene(1), temperature=empty), 2) is None


def test_a_square_of_a_halved_scene_is_as_soft_as_its_own_sensor_makes_it():
    whole = scene(1, side=128, octave=1)
    for sigma_px in (0.0, 0.35, 1.0):
        halved = next(octaves(whole.temperature, sigma_px, 1, 2))
        np.testing.assert_array_equal(scored_square(replace(whole, psf_sigma_px=sigma_px), 2), halved)


def spoiled(prior, **changes):
    """The bytes of a prior with other tensors; "__" in a name stands for a point."""
    tensors = {**load(prior.save()), **{name.replace("__", "."): each for name, each in changes.items()}}
    return save(tensors, metadata=read_header(prior.save(), "prior"))


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e29])
def test_a_prior_whose_weights_are_no_plausible_numbers_is_refused(prior, value):
    bias = prior.weights[2]["body.0.bias"].clone()
    bias[3] = value
    with pytest.raises(
        ValueError, match=r"prior: x2 body.0.bias holds a weight of .*, at most 1000 is wanted"
    ):
        Prior.load(spoiled(prior, x2__body__0__bias=bias))


def test_a_prior_of_other_parameters_is_refused(prior):
    with pytest.raises(ValueError, match=r"^prior: x2 body.0.bias: \(8,\) is wanted, found \(9,\)$"):
        Prior.load(spoiled(prior, x2__body__0__bias=torch.zeros(9)))
    with pytest.raises(ValueError, match=r"^prior: x2 extra: nothing is wanted, found \(1,\)$"):
        Prior.load(spoiled(prior, x2__extra=torch.zeros(1)))
    with pytest.raises(ValueError, match=r"^prior: its card describes no network for x16: '16'$"):
        Prior.load(spoiled(prior, x16__extra=torch.zeros(1)))
    with pytest.raises(ValueError, match="are wanted, found 'extra'"):
        Prior.load(spoiled(prior, extra=torch.zeros(1)))


def test_an_archive_of_crumbs_teaches_nothing():
    with pytest.raises(ValueError, match="no scene is large enough to learn x4 from"):
        prior_pairs([scene(1, side=32)], SETTINGS, scale=4, seed=0)


def test_a_network_whose_last_features_have_died_is_told_from_one_that_lives(prior):
    network = prior.network(2)
    batch = prior_pairs([scene(1)], SETTINGS, scale=2, seed=0).batch(np.random.default_rng(0))
    assert not answers_all_alike(network, batch)
    last = [layer for layer in network.body.modules() if isinstance(layer, torch.nn.Conv2d)][-1]
    with torch.no_grad():
        last.bias.fill_(-100.0)
    assert answers_all_alike(network, batch)


def test_a_rate_that_kills_the_network_is_named():
    killing = SETTINGS.training.model_copy(update={"learning_rate": 0.3, "explosion_loss": 1e9})
    with pytest.raises(ValueError, match=r"at a learning rate of 0.3 its last features have died"):
        train_prior([scene(1)], replace(SETTINGS, training=killing), scales=(2,), seed=0, device=CPU)

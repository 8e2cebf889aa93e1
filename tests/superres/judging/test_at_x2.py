"""What is carried from x2 to larger enlargements is what the record says, and no more than it can know."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.grid import Grid
from pipeline.scene import Scene, SceneRef, Sensor
from pipeline.settings_sources import load_settings
from pipeline.superres.detail import detail_of_prior
from pipeline.superres.judging.at_x2 import MOST, carried_gain, evidence_at_x2, gain_at_x2
from pipeline.superres.judging.gain import PRIOR_SCATTER, expected_gain, gain_of_prior
from pipeline.superres.judging.selftest import FittedGain
from pipeline.superres.prior.train_prior import train_prior
from pipeline.superres.prior.weights import Prior
from pipeline.superres.sensing.prepare import prepare
from tests.superres.prior import made
from tests.superres.textures import smooth_noise

CPU = torch.device("cpu")


def record(pairs, scale=4, noises_k=(0.0, 0.1)):
    """Entries of a card: (best gain at x2, best gain at `scale`) a scene."""
    return [
        {"scene": f"scene {number}", "noise_k": noise_k, "scale": at, "gain": gain}
        for number, pair in enumerate(pairs)
        for noise_k in noises_k
        for at, gain in zip((2, scale), pair, strict=True)
    ]


def test_without_a_record_the_gain_stays_as_it_is():
    gain, error = carried_gain([], 4, 0.7)
    assert gain == pytest.approx(0.7)
    assert error > 0.5


def test_a_long_record_is_believed():
    gains = np.linspace(0.3, 1.3, 30)
    skills = record([(gain, 1.5 * gain - 0.4) for gain in gains])
    for near in (0.5, 0.8, 1.2):
        gain, error = carried_gain(skills, 4, near)
        assert gain == pytest.approx(1.5 * near - 0.4, abs=0.03)
        assert error < 0.1


def test_a_short_record_moves_it_little():
    one, many = (carried_gain(record([(1.0, 0.2)] * scenes), 4, 1.0)[0] for scenes in (1, 30))
    assert 0.3 < one < 0.6
    assert many == pytest.approx(0.2, abs=0.02)


def test_a_scene_counts_once_however_often_it_was_judged():
    once, twice = (
        carried_gain(record([(0.6, 0.3), (1.2, 1.1)], noises_k=noises_k), 4, 0.9)
        for noises_k in ((0.0,), (0.0, 0.1))
    )
    assert once == pytest.approx(twice)


def test_only_pairs_of_the_scale_in_question_count():
    skills = record([(1.0, 0.2)] * 9, scale=8)
    assert carried_gain(skills, 4, 1.0)[0] == pytest.approx(1.0)
    assert carried_gain(skills, 8, 1.0)[0] < 0.3


def test_no_gain_is_carried_from_beyond_every_record():
    assert carried_gain([], 4, 9.0) == carried_gain([], 4, MOST)


def at_x2(fitted, gain, error):
    return gain_at_x2(fitted, expected_gain("the record", gain, error))


def test_the_test_at_x2_counts_by_its_certainty():
    assert at_x2(FittedGain(0.4, 0.02, 400), 0.9, 0.3)[0] == pytest.approx(0.4, abs=0.01)
    assert at_x2(FittedGain(0.4, 0.3, 9), 0.8, 0.3) == pytest.approx((0.6, 0.3 / 2**0.5))
    assert at_x2(FittedGain(0.0, float("inf"), 2), 0.9, 0.3) == (0.9, 0.3)
    assert at_x2(FittedGain(0.0, 0.2, 9), 1.0, 0.0)[1] == pytest.approx(PRIOR_SCATTER / 2**0.5)


def test_where_the_scene_was_asked_at_x2_its_own_scale_does_not_count():
    good, told = FittedGain(2.0, 0.01, 400), expected_gain("the scene at x2", 0.4, 0.2)
    asked, not_asked = (
        gain_of_prior(good, told, scale=4, alarmed=False, own_counts=own_counts).value
        for own_counts in (False, True)
    )
    assert asked == pytest.approx(0.4)
    assert not_asked > 0.8


@pytest.fixture(scope="module")
def prior():
    """A small one, with a record that says: at x4 half of what is best at x2."""
    taught = train_prior([made.scene(1), made.scene(2)], made.SETTINGS, scales=(2, 4), seed=0, device=CPU)
    skills = record([(gain, gain / 2) for gain in np.linspace(0.2, 1.4, 20)])
    return Prior(taught.weights, {**taught.card, "skill": skills})


def asked(taught, side=96, scale=4, **changes):
    """What `evidence_at_x2` makes of a scene of the prior's kind; `changes` to the detail."""
    temperature = (300 + 5 * smooth_noise(side, 9)).astype(np.float32)
    sensor = Sensor("unknown", 70.0, 0.35, 0.0, float("nan"), "a test")
    ref = SceneRef("scene-00000000", "npz", ("scene.npz",), "0" * 64)
    scene = Scene(ref, sensor, "surface_temperature", Grid(None, None, *temperature.shape), temperature)
    told = [f"recipe.scale={scale}", "recipe.degrade.nedt_k=0", "recipe.network.base=back_projected"]
    recipe = load_settings(assignments=told, environment={}).recipe.resolved()
    prepared = prepare(scene, recipe)
    detail = replace(detail_of_prior(prepared, taught), **changes)
    return evidence_at_x2(prepared, recipe, detail, device=CPU)


def test_a_scene_is_asked_at_x2_and_the_record_carries_the_answer(prior):
    answer = asked(prior)
    assert 0.1 < answer.gain < 0.8  # half of what suited it at x2, less half a standard error
    doubled = [
        {**skill, "gain": 2 * skill["gain"]} if skill["scale"] == 4 else skill
        for skill in prior.card["skill"]
    ]
    eager = asked(Prior(prior.weights, {**prior.card, "skill": doubled}))
    assert eager.gain == pytest.approx(2 * answer.gain, rel=0.1)


def test_half_a_standard_error_less_than_expected_is_published(prior, monkeypatch):
    careful = asked(prior)
    monkeypatch.setattr("pipeline.superres.judging.at_x2.CAUTION", 0.0)
    expected = asked(prior)
    assert expected.gain - careful.gain == pytest.approx(0.5 * expected.error)


@pytest.mark.parametrize(
    "given",
    [{"fed": True}, {"prior": None}, {"side": 12}, {"scale": 2}],
    ids=["it taught the prior", "no prior", "too small", "x2 itself"],
)
def test_where_it_cannot_be_asked_there_is_no_evidence(prior, given):
    changes = {name: value for name, value in given.items() if name in ("fed", "prior")}
    scene = {name: value for name, value in given.items() if name in ("side", "scale")}
    assert asked(prior, **scene, **changes) is None


def test_a_prior_without_a_record_or_without_x2_gives_no_evidence(prior):
    silent = Prior(prior.weights, {**prior.card, "skill": []})
    only_x4 = Prior({4: prior.weights[4]}, prior.card)
    assert asked(silent) is asked(only_x4) is None

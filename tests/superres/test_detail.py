"""What the network adds, and nothing else, is what separates a product from its base."""

import cloudpickle
import numpy as np
import pytest
import torch

from pipeline.errors import UnusableInputError
from pipeline.grid import Window
from pipeline.recipe_files import load_prior
from pipeline.settings_sources import load_settings
from pipeline.superres.applying.enlarge import network_upscaler
from pipeline.superres.applying.method import Picture
from pipeline.superres.bases.base import bicubic_base
from pipeline.superres.detail import Detail, compose_method, find_detail, fit_scene_base
from pipeline.superres.enhance import enhance
from pipeline.superres.kept import detail_of_kept, kept_network
from pipeline.superres.networks import NETWORKS, build_network
from pipeline.superres.prior.weights import Prior
from pipeline.superres.sensing.degrade import Degrade
from pipeline.superres.sensing.prepare import prepare
from tests.scenes import scene_of, truth_and_lr
from tests.superres.textures import leaning, rough

CPU = torch.device("cpu")
NARROW, WIDE = (np.exp(-0.5 * (np.arange(-6, 7) / sigma) ** 2) for sigma in (0.4, 1.6))
LEANING = np.array([0, 0, 0, 0, 0.1, 0.3, 0.3, 0.1, 0.1, 0.1, 0, 0, 0])  # centered, but of two unequal sides


def centered(line):
    """The line, moved by interpolation until its centroid is its middle."""
    place = np.arange(line.size)
    shift = float(line @ (place - line.size // 2) / line.sum())
    return np.interp(place + shift, place, line)


@pytest.mark.parametrize(
    ("lines", "symmetric"),
    [((NARROW, NARROW), True), ((NARROW, WIDE), False), ((centered(LEANING), centered(LEANING)), False)],
    ids=["round", "elongated", "leaning"],
)
def test_a_network_that_adds_nothing_leaves_the_base_whatever_the_kernel(lines, symmetric):
    lr = truth_and_lr(96, 2, seed=3)[1]
    assignments = ["recipe.scale=2", "recipe.degrade.nedt_k=0", "recipe.gate.project=false"]
    recipe = load_settings(assignments=assignments, environment={}).recipe.resolved()
    prepared = prepare(scene_of(lr), recipe, np.outer(*lines))
    assert prepared.degrade.symmetric is symmetric
    base = fit_scene_base(prepared, recipe)
    network = build_network(recipe.network, 2, seed=0).eval()  # its last layer is zero
    picture = Picture.of(prepared.lr, prepared.valid)
    with_network, without = (
        compose_method(prepared, recipe, base=base, detail=detail, device=CPU)(picture, picture.window).hr
        for detail in (Detail(base, network), Detail(base))
    )
    np.testing.assert_allclose(with_network, without, rtol=0, atol=1e-4)


def test_a_kernel_that_is_not_separable_makes_pairs_base_and_projection():
    """A whole product of it: it is seen as the scene by the sensor that leans, and by no round one."""
    kernel = leaning(2, 0.9, 0.3)
    known = Degrade.from_kernel(2, kernel)
    lr = known(rough((128, 128)))
    told = (
        "scale=2",
        "prior=none",
        "degrade.nedt_k=0",
        "train.steps=3",
        "network.channels=8",
        "pairs.batch=2",
    )
    told += ("gate.enabled=false", "degrade.domain=kelvin")
    recipe = load_settings(assignments=[f"recipe.{word}" for word in told], environment={}).recipe
    made = enhance(scene_of(lr), recipe, device=CPU, kernel=kernel)
    fine = made.compute(Window(0, 0, *made.scene.grid.shape)).temperature
    seen = [np.sqrt(np.mean((each(fine) - lr) ** 2)) for each in (known, Degrade.gaussian(2, 0.67))]
    assert seen[0] < 0.01
    assert seen[1] > 10 * seen[0]
    assert made.provenance["forward_model"]["psf_source"] == "recipe.degrade.kernel"
    assert made.provenance["training"]["best_step"] >= 0


def test_a_turned_scene_is_no_scene_of_a_sensor_whose_blur_is_not_round():
    recipe = load_settings(assignments=["recipe.scale=2"], environment={}).recipe.resolved()
    scene = scene_of(truth_and_lr(64, 2)[1])
    passes = []
    for kernel in (np.outer(NARROW, NARROW), np.outer(NARROW, WIDE)):
        prepared = prepare(scene, recipe, kernel)
        base = fit_scene_base(prepared, recipe)
        detail = Detail(base, build_network(recipe.network, 2, seed=0).eval())
        method = compose_method(prepared, recipe, base=base, detail=detail, device=CPU)
        passes.append(len(method.passes))
        assert method(Picture.of(prepared.lr, prepared.valid), Window(3, 5, 8, 9)).hr.shape == (16, 18)
    assert passes == [8, 1]


def test_training_starts_from_the_prior_and_never_looks_at_what_tests_it():
    lr = truth_and_lr(192, 2, nedt_k=0.05, seed=11)[1]
    assignments = ["recipe.scale=2", "recipe.train.steps=20", "recipe.train.learning_rate=1e-3"]
    recipe = load_settings(
        assignments=[*assignments, "recipe.train.validate_every=10"], environment={}
    ).recipe
    recipe, prior = recipe.resolved(), load_prior(recipe)
    prepared = prepare(scene_of(lr), recipe)
    base = fit_scene_base(prepared, recipe)
    detail = find_detail(prepared, recipe, base=base, device=CPU, prior=prior)
    start = prior.network(2)
    assert detail.facts["source"] == "this scene, from a prior"
    assert detail.held_out is not None
    assert detail.prior is prior
    assert float(detail.network.sigma) == float(start.sigma)
    moved = [
        float((ours - theirs).detach().abs().max())
        for ours, theirs in zip(detail.network.parameters(), start.parameters(), strict=True)
    ]
    assert 0 < max(moved) < 0.1  # a few steps at a small rate: near the prior, and not the prior
    assert detail.report.first_validation > detail.report.best_validation
    assert 0 < detail.facts["share_of_training"] <= 1

    kept = Prior.load(kept_network(detail, prepared, recipe).save())
    assert kept.fed_by(prepared.scene.ref.digest)
    for name, weight in kept.network(2).named_parameters():
        torch.testing.assert_close(
            weight, dict(detail.network.named_parameters())[name], atol=1e-3, rtol=1e-3
        )


@pytest.mark.parametrize(
    "told",
    [
        ("recipe.prior=shipped",),
        ("recipe.prior=none",),
        ("recipe.preset=original", "recipe.network.channels=8"),
    ],
)
def test_a_kept_network_answers_as_the_training_did_that_it_comes_from(told):
    few = ("recipe.scale=2", "recipe.train.steps=4", "recipe.gate.enabled=false", "recipe.pairs.crop_px=8")
    once = ("recipe.infer.mode=whole", "recipe.infer.self_ensemble=false", "recipe.train.mixed_precision=off")
    recipe = load_settings(assignments=(*told, *few, *once), environment={}).recipe.resolved()
    prepared = prepare(scene_of(truth_and_lr(96, 2, seed=4)[1]), recipe)
    base = fit_scene_base(prepared, recipe)
    taught = find_detail(prepared, recipe, base=base, device=CPU, prior=load_prior(recipe))
    kept = Prior.load(kept_network(taught, prepared, recipe).save(), own=True)
    picture = Picture.of(prepared.lr, prepared.valid)
    answers = [
        compose_method(prepared, recipe, base=base, detail=detail, device=CPU)(picture, picture.window).hr
        for detail in (taught, detail_of_kept(prepared, base, kept), Detail(base))
    ]
    added = np.abs(answers[0] - answers[2]).max()
    np.testing.assert_allclose(answers[1], answers[0], rtol=0, atol=0.01 * added + 1e-4)  # float16 weights
    assert added > 0.003


def test_a_pull_keeps_the_weights_nearer_to_the_prior():
    lr = truth_and_lr(128, 2, seed=12)[1]
    moved = []
    for pull in (0.0, 300.0):
        told = [
            "recipe.scale=2",
            "recipe.train.steps=20",
            "recipe.gate.enabled=false",
            f"recipe.train.pull={pull}",
        ]
        recipe = load_settings(assignments=told, environment={}).recipe.resolved()
        prior = load_prior(recipe)
        prepared = prepare(scene_of(lr), recipe)
        detail = find_detail(prepared, recipe, base=fit_scene_base(prepared, recipe), device=CPU, prior=prior)
        start = dict(prior.network(2).named_parameters())
        steps = [weight - start[name] for name, weight in detail.network.named_parameters()]
        moved.append(float(torch.cat([step.detach().flatten() for step in steps]).norm()))
    assert moved[1] < 0.8 * moved[0]


def test_a_scene_too_small_to_train_on_gets_the_prior_as_it_was():
    lr = truth_and_lr(24, 2)[1]
    assignments = ["recipe.scale=2", "recipe.detail=trained"]
    recipe = load_settings(assignments=assignments, environment={}).recipe.resolved()
    prior = load_prior(recipe)
    prepared = prepare(scene_of(lr), recipe)
    base = fit_scene_base(prepared, recipe)
    detail = find_detail(prepared, recipe, base=base, device=CPU, prior=prior)
    assert "nothing to learn from" in detail.facts["training"]
    assert detail.network is not None
    assert not detail.trained
    assert detail.reason == ""


def test_a_pass_on_a_device_that_is_talked_to_by_one_thread_travels_to_another_process():
    network = build_network(load_settings(environment={}).recipe.resolved().network, 4, seed=0)
    up = network_upscaler(
        network, base=bicubic_base(4), device=torch.device("meta")
    )  # as a GPU: it has a lock
    kept = cloudpickle.dumps(up)
    assert cloudpickle.loads(kept).reach_px == up.reach_px


def test_a_network_too_large_for_the_scene_is_refused_before_it_starts():
    told = ("recipe.scale=2", "recipe.prior=none", "recipe.network.name=hspan", "recipe.network.window_px=0")
    recipe = load_settings(assignments=told, environment={}).recipe
    scene = scene_of(truth_and_lr(1400, 2)[1])
    with pytest.raises(UnusableInputError, match="looks at everything"):
        enhance(scene, recipe, device=CPU)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_learns_from_what_smaller_enlargements_made(name):
    few = ("recipe.prior=none", "recipe.scale=8", "recipe.train.steps=2", "recipe.pairs.crop_px=8")
    told = (f"recipe.network.name={name}", "recipe.network.channels=8", "recipe.infer.self_ensemble=false")
    recipe = load_settings(
        assignments=(*few, *told, "recipe.pairs.batch=1"), environment={}
    ).recipe.resolved()
    prepared = prepare(scene_of(truth_and_lr(512, 8, seed=4)[1]), recipe)
    base = fit_scene_base(prepared, recipe)
    gradual = recipe.model_copy(update={"pairs": recipe.pairs.model_copy(update={"gradual": True})})
    once, stepwise = (find_detail(prepared, each, base=base, device=CPU) for each in (recipe, gradual))
    assert stepwise.report.steps == once.report.steps == 2
    assert stepwise.report.curve[0]["loss"] != once.report.curve[0]["loss"]  # of other patches

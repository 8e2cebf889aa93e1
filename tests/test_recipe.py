"""The recipe as a choice: what acts is counted and named, what does not is refused."""

import pytest

from pipeline.errors import SettingsError
from pipeline.network_settings import NetworkSettings
from pipeline.recipe import CONDITIONS, PRESETS, Recipe
from pipeline.settings_sources import load_settings, refuse_recipe
from pipeline.superres.networks import NETWORKS


def recipe_of(*assignments):
    return load_settings(None, assignments, {}).recipe


@pytest.mark.parametrize(
    ("told", "detail"),
    [
        ((), "trained"),
        (("recipe.preset=fast",), "prior"),
        (("recipe.preset=fast", "recipe.prior=none"), "trained"),
        (("recipe.detail=prior",), "prior"),
        (("recipe.preset=quality",), "trained"),
        (("recipe.preset=original",), "trained"),
        (("recipe.prior=none",), "trained"),
        (("recipe.preset=quality", "recipe.detail=none"), "none"),
    ],
)
def test_where_detail_comes_from_follows_from_preset_and_prior(told, detail):
    assert recipe_of(*told).resolved().detail == detail


@pytest.mark.parametrize("prior", ["shipped", "none"])
def test_the_presets_are_different_recipes(prior):
    told = [
        (f"recipe.preset={preset}", f"recipe.prior={prior}") for preset in ("fast", "balanced", "quality")
    ]
    assert len({recipe_of(*words).digest for words in told}) == 3


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_preset_resolves_completely(preset):
    resolved = recipe_of(f"recipe.preset={preset}").resolved()
    unset = set(CONDITIONS) - set(resolved.acting()) - set(resolved.resting())
    assert unset - {"infer.reduce"} == {  # unset is the mean, where there are several passes
        "degrade.psf_sigma_px",
        "degrade.mtf_nyquist",
        "degrade.blur",
        "degrade.kernel",
        "degrade.mend",
        "degrade.nedt_k",
    }


def test_an_explicit_setting_wins_over_its_preset():
    recipe = recipe_of("recipe.preset=original", "recipe.train.learning_rate=0.001")
    assert recipe.train.learning_rate == 0.001
    assert recipe.network.base == "bicubic"


def test_the_first_name_of_the_original_means_the_same():
    assert recipe_of("recipe.preset=seed") == recipe_of("recipe.preset=original")
    told = ("recipe.prior=none", "recipe.pairs.model={0}", "recipe.network.size={0}")
    first, now = (recipe_of(*(word.format(name) for word in told)) for name in ("seed", "original"))
    assert first == now


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (
            ("recipe.preset=fast", "recipe.train.steps=9"),
            r'train\.steps .* where recipe\.detail is "trained"; .* is "prior"',
        ),
        (("recipe.network.blocks=1",), r'network\.blocks .* where recipe\.prior is "none"; .* is "shipped"'),
        (("recipe.infer.patch_px=32",), r'patch_px .* where recipe\.infer\.mode is not "whole"; .* "whole"'),
        (
            ("recipe.detail=none", "recipe.gate.enabled=false"),
            r'enabled .* is "prior" or "trained" or "pretrained"; .* "none"',
        ),
        (("recipe.normalize.clip=true",), r"clip .* where recipe\.prior is \"none\""),
        (("recipe.prior=none", "recipe.train.pull=9"), r'pull .* where recipe\.prior is not "none"'),
        (
            ("recipe.prior=none", "recipe.normalize.clip=true"),
            r'clip .*mean_window_px or recipe\.detail is 0 or "pretrained"; .*mean_window_px is 9 and',
        ),
        (
            ("recipe.preset=original", "recipe.normalize.low_k=100"),
            r'low_k .* where recipe\.normalize\.method is "absolute"; .* is "percentile"',
        ),
        (
            ("recipe.degrade.psf_sigma_px=0.3", "recipe.degrade.mtf_nyquist=0.3"),
            r"mtf_nyquist .* where recipe\.degrade\.psf_sigma_px is unset; .* is 0\.3",
        ),
        (
            ("recipe.detail=none", "recipe.prior=none"),
            r'prior .* where recipe\.detail is "prior" or "trained"',
        ),
        (("recipe.detail=prior", "recipe.prior=none"), r'detail is "prior", but prior is "none"'),
    ],
)
def test_what_changes_nothing_is_refused_with_the_reason(told, reason):
    with pytest.raises(SettingsError, match=reason) as caught:
        recipe_of(*told)
    assert "\n" not in str(caught.value)


def test_saying_what_is_so_anyway_is_no_other_recipe():
    plain = recipe_of("recipe.detail=prior")
    assert recipe_of("recipe.detail=prior", "recipe.train.learning_rate=0.003").label == plain.label
    assert recipe_of("recipe.preset=fast", "recipe.infer.self_ensemble=true").label == plain.label
    steps = recipe_of("recipe.prior=none").resolved().train.steps
    assert (
        recipe_of("recipe.prior=none", f"recipe.train.steps={steps}").label
        == recipe_of("recipe.prior=none").label
    )


def test_a_network_that_starts_from_a_prior_takes_small_steps():
    assert recipe_of().train.learning_rate == 3e-4
    assert recipe_of().resolved().train.steps == 100
    assert recipe_of("recipe.preset=quality").resolved().train.steps == 400
    assert recipe_of("recipe.prior=none").train.learning_rate == 3e-3


def test_the_recipe_names_the_networks_that_there_are():
    assert set(NetworkSettings.model_fields["name"].annotation.__args__) == set(NETWORKS)


def test_every_condition_speaks_of_a_setting():
    for name, conditions in CONDITIONS.items():
        for condition in conditions:
            assert set(condition.names) <= set(CONDITIONS) - {name}


def test_a_command_refuses_what_it_does_not_use_of_the_recipe():
    refuse_recipe(["recipe.seed=1", "archive.strict=true"], "learn", ("recipe.seed",))
    for word in ("recipe.train.steps=9", "NUM_ITERATIONS=9", "USE_BLENDING=true"):
        with pytest.raises(SettingsError, match=r"changes nothing in `learn`, which uses recipe\.seed"):
            refuse_recipe([word], "learn", ("recipe.seed",))


def test_a_recipe_survives_the_way_through_json():
    for told in ((), ("recipe.preset=quality",), ("recipe.preset=original",)):
        recipe = recipe_of(*told)
        assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


def test_zssr_as_published_is_a_recipe():
    told = (
        "recipe.prior=none",
        "recipe.scale=2",
        "recipe.network.name=zssr",
        "recipe.network.size=original",
        "recipe.network.base=bicubic",
        "recipe.train.schedule=linear_fit",
        "recipe.train.learning_rate=1e-3",
        "recipe.train.min_learning_rate=1e-6",
        "recipe.train.steps=3000",
        "recipe.pairs.batch=1",
        "recipe.pairs.crop_px=64",
        "recipe.infer.reduce=median",
        "recipe.gate.enabled=false",
    )
    recipe = recipe_of(*told).resolved()
    assert (recipe.network.channels, recipe.infer.reduce, recipe.gate.project) == (64, "median", True)
    assert set(recipe.acting()) >= {word.split("=")[0].removeprefix("recipe.") for word in told}

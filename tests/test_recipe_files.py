"""A product is named by the content of the files that its recipe names; none of them changes unseen."""

import json

import numpy as np
import pytest

from pipeline.errors import SettingsError
from pipeline.process import process_scene
from pipeline.recipe_files import load_kernel, load_pretrained, load_prior, prior_path
from pipeline.settings import Settings
from pipeline.settings_sources import load_settings
from pipeline.superres.prior.weights import Prior
from tests.archive.finding import find
from tests.superres.networks.published import as_pth, made


def load(*assignments, file=None):
    return load_settings(file, assignments, {})


@pytest.fixture
def kernel(tmp_path):
    file = tmp_path / "psf.npy"
    line = np.exp(-(np.arange(-3, 4) ** 2) / 2)
    np.save(file, np.outer(line, line))
    return file


@pytest.fixture
def prior(tmp_path):
    file = tmp_path / "prior.safetensors"
    file.write_bytes(prior_path("shipped").read_bytes())
    return file


def test_other_numbers_in_the_kernels_file_are_another_recipe(kernel):
    before = load(f"recipe.degrade.kernel='{kernel}'").recipe.digest
    line = np.exp(-(np.arange(-3, 4) ** 2))
    np.save(kernel, np.outer(line, line))
    assert load(f"recipe.degrade.kernel='{kernel}'").recipe.digest != before


def test_a_prior_is_the_same_recipe_wherever_its_file_lies(prior):
    assert load(f"recipe.prior='{prior}'").recipe.label == load().recipe.label


def test_a_kernel_that_changed_on_disk_is_refused_at_the_next_load(kernel):
    recipe = load(f"recipe.degrade.kernel='{kernel}'").recipe
    assert load_kernel(recipe).shape == (7, 7)
    np.save(kernel, np.ones((3, 3)))
    with pytest.raises(SettingsError, match=r"recipe\.degrade\.kernel: '.*psf\.npy' has changed: sha256 "):
        load_kernel(recipe)


def test_a_prior_that_changed_is_refused_where_settings_came_as_a_flows_parameters(prior, tmp_path):
    np.savez(tmp_path / "scene.npz", temperature=np.full((40, 40), 300.0), units="K")
    roots = (
        f"archive.root='{tmp_path / 'scene.npz'}'",
        f"output.root='{tmp_path / 'out'}'",
        "archive.settle_s=0",
    )
    settings = load(f"recipe.prior='{prior}'", *roots)
    parameters = json.loads(json.dumps(settings.model_dump(mode="json")))
    shipped = Prior.load(prior.read_bytes())
    prior.write_bytes(Prior(shipped.weights, {**shipped.card, "note": "another"}).save())
    with pytest.raises(SettingsError, match=r"recipe\.prior: '.*prior\.safetensors' has changed: sha256 "):
        process_scene(find(tmp_path / "scene.npz"), Settings.model_validate(parameters))
    file = tmp_path / "of_last_month.json"
    file.write_text(json.dumps(parameters))
    with pytest.raises(SettingsError, match="has changed"):
        load(file=file)


@pytest.fixture
def weights(tmp_path):
    file = tmp_path / "swinir.pth"
    file.write_bytes(as_pth(made("swinir")))
    return file


def test_weights_of_others_are_the_same_recipe_wherever_they_lie_and_another_when_they_are_others(weights):
    before = load(f"recipe.network.pretrained={weights}", "recipe.scale=2").recipe
    assert before.label.startswith("pretrained-x2-")
    elsewhere = weights.rename(weights.with_name("model.pth"))
    after = load(f"recipe.network.pretrained={elsewhere}", "recipe.scale=2").recipe
    assert after.digest == before.digest
    elsewhere.write_bytes(as_pth(made("swinir", seed=1)))
    with pytest.raises(SettingsError, match=r"pretrained: '.*model\.pth' has changed: sha256 "):
        load_pretrained(after)
    assert load(f"recipe.network.pretrained={elsewhere}", "recipe.scale=2").recipe.digest != before.digest


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (("recipe.scale=4",), r"swinir\.pth: its swinir enlarges x2, and recipe\.scale is 4"),
        (
            ("recipe.detail=trained",),
            r"pretrained changes nothing .* acts where recipe\.detail is \"pretrained\"",
        ),
        (("recipe.prior=none",), r"prior changes nothing .* acts where recipe\.detail is \"prior\" or"),
        (("recipe.network.channels=8",), r"network\.channels changes nothing"),
        (("recipe.train.steps=8",), r"train\.steps changes nothing"),
        (("recipe.network.pretrained=/nowhere.pth",), r"existing file of weights is wanted, found '/nowhere"),
    ],
)
def test_weights_of_others_that_do_not_fit_the_recipe_are_refused(weights, told, reason):
    with pytest.raises(SettingsError, match=reason):
        load(f"recipe.network.pretrained={weights}", "recipe.scale=2", *told)


def test_a_recipe_of_pretrained_weights_names_them():
    with pytest.raises(SettingsError, match=r"name the weights in network\.pretrained"):
        load("recipe.detail=pretrained")


def test_a_file_that_holds_no_weights_is_refused_before_the_night(weights):
    weights.write_bytes(b"half a download")
    with pytest.raises(SettingsError, match=r"recipe\.network\.pretrained: .*swinir\.pth: "):
        load(f"recipe.network.pretrained={weights}", "recipe.scale=2")


def test_a_recipe_that_uses_no_prior_reads_none(tmp_path):
    assert load_prior(load("recipe.detail=none").recipe) is None
    assert load_prior(load("recipe.prior=none").recipe) is None


def test_a_file_that_is_no_prior_is_refused_before_the_night(prior):
    prior.write_bytes(b"other weights")
    with pytest.raises(SettingsError, match=r"recipe\.prior: '.*' is no prior of ours"):
        load(f"recipe.prior='{prior}'")


def test_a_prior_whose_networks_are_other_ones_is_refused_before_the_night(prior):
    shipped = Prior.load(prior.read_bytes())
    scales = {
        scale: {**facts, "network": {**facts["network"], "channels": 48}}
        for scale, facts in shipped.card["scales"].items()
    }
    prior.write_bytes(Prior(shipped.weights, {**shipped.card, "scales": scales}).save())
    with pytest.raises(
        SettingsError, match=r"recipe\.prior: '.*' is no prior of ours: .* is wanted, found"
    ) as caught:
        load(f"recipe.prior='{prior}'")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.ones((4, 4)), "must be 2-D with odd sides"),
        (np.eye(3) * [1, 1, 9], "off its center"),
        (np.array([["a"]]), "psf.npy"),
    ],
)
def test_a_kernel_that_can_never_work_is_refused_before_the_night(kernel, pixels, reason):
    np.save(kernel, pixels)
    with pytest.raises(SettingsError, match=reason):
        load(f"recipe.degrade.kernel='{kernel}'")

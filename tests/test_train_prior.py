"""A prior from an archive, and Wald's protocol, on the command line."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from pipeline.errors import SettingsError
from pipeline.settings_sources import load_settings
from pipeline.superres.prior.weights import Prior
from pipeline.superres.sensing.degrade import Degrade
from pipeline.trials.evaluate import degradation
from pipeline.trials.simulate import synthetic_truth


def invoke(*arguments):
    from flows.cli import app

    return CliRunner().invoke(app, list(map(str, arguments)))


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Scenes of two places."""
    folder = tmp_path_factory.mktemp("archive")
    for number, east in enumerate((500_000, 900_000)):
        scene = synthetic_truth(192, np.random.default_rng(number))
        place = {"crs": "EPSG:32633", "transform": [70, 0, east, 0, -70, 5e6]}
        np.savez(folder / f"scene_{number}.npz", temperature=scene, units="K", **place)
    return folder


@pytest.mark.slow
def test_a_prior_is_taught_judged_and_used(archive, tmp_path):
    prior_file = tmp_path / "prior.safetensors"
    kept = ("--keep", tmp_path / "kept")
    answer = invoke("learn", archive, "--out", prior_file, "--scale", 2, "--steps", 20, "--json", *kept)
    assert answer.exit_code == 0, answer.output
    assert len(list((tmp_path / "kept").glob("without *.safetensors"))) == 2
    prior = Prior.load(prior_file.read_bytes())
    assert prior.scales == (2,)
    assert {scene["name"] for scene in prior.card["scenes"]} == {"scene_0.npz", "scene_1.npz"}
    assert {skill["scene"] for skill in prior.card["skill"]} == {"scene_0.npz", "scene_1.npz"}

    recipe = load_settings(
        assignments=["recipe.scale=2", f"recipe.prior={prior_file}"], environment={}
    ).recipe
    assert recipe.digest != load_settings(assignments=["recipe.prior=none"], environment={}).recipe.digest
    told = invoke(
        *("evaluate", archive / "scene_0.npz", "--scale", 2, "--size", 128, "--json"),
        *("--set", f"recipe.prior={prior_file}"),
    )
    assert told.exit_code == 0, told.output
    methods = json.loads(told.stdout)["methods"]
    assert methods["product"]["rmse_k"] < methods["bicubic"]["rmse_k"]
    assert methods["product"]["consistency_k"] <= 1e-3
    assert methods["product"]["shift_lr_px"] <= 0.02


def test_one_place_is_too_few_to_learn_from_and_be_judged(archive, tmp_path):
    answer = invoke("learn", archive / "scene_0.npz", "--out", tmp_path / "prior.safetensors")
    assert "1 scenes of one place or none" in str(answer.exception)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("mtf", Degrade.gaussian(4, 0.4)),
        ("mtf:0.45", Degrade.gaussian(4, 0.45)),
        ("area", Degrade.gaussian(4, 0.0)),
        ("bicubic", Degrade.cubic(4)),
    ],
)
def test_a_degradation_is_named_by_a_word(text, wanted):
    assert degradation(text, 4).degrade == wanted


@pytest.mark.parametrize("text", ["blur", "mtf:wide", "mtf:-1"])
def test_another_word_is_no_degradation(text):
    with pytest.raises(SettingsError, match="--degradation"):
        degradation(text, 4)

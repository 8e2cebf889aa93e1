"""Settings: one source for validation, the TOML file and the command line."""

import tomllib

import numpy as np
import pytest
from pydantic import BaseModel

from pipeline.errors import SettingsError
from pipeline.settings import PRESETS, Recipe, Settings
from pipeline.settings_sources import SEED_NAMES, commented_toml, load_settings, prior_path


def load(*assignments, environment=None, file=None):
    return load_settings(file, assignments, environment or {})


def leaves(branch, path=""):
    for name in type(branch).model_fields:
        value = getattr(branch, name)
        dotted = f"{path}.{name}".lstrip(".")
        if isinstance(value, BaseModel):
            yield from leaves(value, dotted)
        else:
            yield dotted, value


def test_every_setting_has_a_description():
    def undescribed(model, path):
        for name, info in model.model_fields.items():
            if not info.description:
                yield f"{path}.{name}"
            if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
                yield from undescribed(info.annotation, f"{path}.{name}")

    assert list(undescribed(Settings, "settings")) == []


@pytest.mark.parametrize("dotted", [name for name, value in leaves(Settings()) if name != "archive.products"])
def test_set_reaches_every_setting_by_its_dotted_name(dotted):
    with pytest.raises(SettingsError, match=dotted.replace(".", r"\.")):
        load(f"{dotted}={{ not = 'a value of this setting' }}")


def test_the_command_line_wins_over_environment_and_file(tmp_path):
    file = tmp_path / "my.toml"
    file.write_text("[recipe]\nscale = 2\nseed = 5\n[run]\nworkers = 3\n")
    environment = {"THERMAL_SR__RECIPE__SCALE": "4", "THERMAL_SR__RUN__WORKERS": "2"}
    settings = load("recipe.scale=8", environment=environment, file=file)
    assert (settings.recipe.scale, settings.recipe.seed, settings.run.workers) == (8, 5, 2)


def test_an_explicit_setting_wins_over_its_preset():
    recipe = load("recipe.preset=seed", "recipe.train.learning_rate=0.001").recipe
    assert recipe.train.learning_rate == 0.001
    assert recipe.network.base == "bicubic"


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("recipe.scal=4", r"setting recipe\.scal is unknown"),
        ("recipe.scale=5", r"setting recipe\.scale: .*found 5"),
        ("run.device=gpu", r"setting run\.device: .*found 'gpu'"),
        ("recipe", "KEY=VALUE is wanted"),
        ("recipe.prior=/nowhere/prior.safetensors", r"recipe\.prior: .*found '/nowhere"),
        (
            "recipe.degrade.kernel=/nowhere/psf.npy",
            r"recipe\.degrade\.kernel: .*found '/nowhere/psf.npy': No",
        ),
        ("recipe.degrade.native=1", r'recipe\.degrade\.native: "off", "auto" or a whole number .*found 1'),
        ("recipe.degrade.native=on", r"recipe\.degrade\.native: .*found 'on'"),
        ("recipe.degrade.native=true", r"recipe\.degrade\.native: .*found True"),
        ("recipe.normalize.low_k=400", "low_k must be below high_k"),
        ('archive.products=[{pattern="*", scale=0}]', r"archive\.products\.0\.scale: a scale of 0"),
    ],
)
def test_a_bad_setting_gets_one_line_that_names_it(assignment, message):
    with pytest.raises(SettingsError, match=message) as caught:
        load(assignment)
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_settings_file(tmp_path):
    with pytest.raises(SettingsError, match=r"settings file .* cannot be read: Is a directory"):
        load(file=tmp_path)


def test_the_printed_file_uncommented_gives_the_same_settings(tmp_path):
    text = commented_toml()
    lines = [line[2:] if " = " in line and line.startswith("# ") else line for line in text.splitlines()]
    kept = [line for line in lines if "(unset)" not in line and not line.startswith("#")]
    kept = [line for line in kept if line.startswith("[") or line.split(" =")[0].isidentifier()]
    kept = [line for line in kept if not line.endswith("]]") and " =   # " not in line]
    file = tmp_path / "printed.toml"
    file.write_text("\n".join(kept))
    assert tomllib.loads(file.read_text())["recipe"]["scale"] == 4
    assert load(file=file) == load()


def test_every_name_of_the_seed_reaches_a_setting():
    known = {name for name, _ in leaves(Settings())}
    assert set(SEED_NAMES.values()) <= known
    assert load("SR_FACTOR=8", "USE_TTA=False").recipe.scale == 8
    assert not load("USE_TTA=False").recipe.infer.self_ensemble


@pytest.mark.parametrize(
    ("switches", "mode"),
    [
        (("USE_BLENDING=True", "USE_RANDOM_SHIFTS=True"), "blend_shifts"),
        (("USE_BLENDING=True",), "blend"),
        (("USE_RANDOM_SHIFTS=True", "USE_RANDOM_SHIFTS=False"), "whole"),
    ],
)
def test_the_seeds_two_switches_name_one_mode(switches, mode):
    assert load(*switches).recipe.infer.mode == mode


def test_only_the_recipe_names_a_product():
    here = load("run.workers=4", "output.chunk_px=256", "archive.strict=true").recipe
    assert here.digest == load().recipe.digest
    assert load("recipe.seed=1").recipe.digest != here.digest


def test_other_numbers_in_the_kernels_file_are_another_recipe(tmp_path):
    file, digests = tmp_path / "psf.npy", set()
    for sigma in (1.0, 2.0):
        np.save(file, np.exp(-(np.arange(-3, 4) ** 2) / sigma))
        digests.add(load(f"recipe.degrade.kernel='{file}'").recipe.digest)
    assert len(digests) == 2


def test_a_prior_is_the_same_recipe_wherever_its_file_lies(tmp_path):
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(prior_path("shipped").read_bytes())
    assert load(f"recipe.prior='{copy}'").recipe.digest == load().recipe.digest
    copy.write_bytes(b"other weights")
    assert load(f"recipe.prior='{copy}'").recipe.digest != load().recipe.digest


def test_a_refusal_holds_for_one_version_of_the_software_and_one_set_of_rules(monkeypatch):
    before = load().context
    assert load("archive.settle_s=7").context == before
    assert load("archive.strict=true").context != before
    monkeypatch.setattr("pipeline.settings.version", lambda _: "99.0")
    assert load().context != before


def test_saying_a_default_aloud_is_the_same_recipe():
    resolved = Recipe().resolved()
    assert load(f"recipe.train.steps={resolved.train.steps}").recipe.digest == load().recipe.digest


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_preset_resolves_completely(preset):
    resolved = load(f"recipe.preset={preset}").recipe.resolved()
    unset = [name for name, value in leaves(resolved) if value is None]
    assert set(unset) <= {
        "degrade.psf_sigma_px",
        "degrade.mtf_nyquist",
        "degrade.kernel",
        "degrade.nedt_k",
        "network.size",
        "infer.context_px",
    }

"""Settings: one source for validation, the TOML file and the command line."""

import json
import re
from pathlib import Path
from typing import get_args

import pytest
import tomlkit
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st
from pydantic import BaseModel

from pipeline.described_names import FINE_SIDES, INSTEAD, NAMES, SWITCHES
from pipeline.errors import SettingsError
from pipeline.recipe import value_at
from pipeline.settings import Settings
from pipeline.settings_sources import commented_toml, load_settings


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


def field_of(dotted):
    *branches, leaf = dotted.split(".")
    model = Settings
    for branch in branches:
        model = model.model_fields[branch].annotation
    return model.model_fields[leaf]


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
    recipe = load("recipe.preset=original", "recipe.train.learning_rate=0.001").recipe
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
        ("recipe=3", r"setting recipe: .*found 3"),
        ("recipe.network.name=edsr", r"recipe\.network\.name: .*'attention', .* or 'hspan', found 'edsr'"),
        ("recipe.network.attention_kernel_px=4", r"attention_kernel_px: an odd number is wanted.*found 4"),
        ("recipe.network.mean_window_px=8", r"mean_window_px: an odd number is wanted.*found 8"),
        ("recipe.network.channels=18", r"recipe\.network\.channels: .*multiple of 4, found 18"),
        ("recipe.train.loss_l1_weight=0", r"recipe\.train: every loss_\*_weight is 0"),
        ("recipe.train.min_learning_rate=0.1", r"min_learning_rate must not be above learning_rate"),
        ("recipe.seed=9223372036854775808", r"recipe\.seed: .*less than or equal to 9223372036854775807"),
        ("recipe.scale=16", r"recipe\.prior: 'shipped' has networks for x2, x4, x8, and recipe\.scale is 16"),
        ('archive.products=[{pattern="*", scale=0}]', r"archive\.products\.0\.scale: a scale of 0"),
    ],
)
def test_a_bad_setting_gets_one_line_that_names_it(assignment, message):
    with pytest.raises(SettingsError, match=message) as caught:
        load(assignment)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["USE_TTA", "USE_BLENDING", "recipe.scale"])
def test_a_group_that_was_given_a_number_is_named(name):
    with pytest.raises(SettingsError, match="recipe is no group of settings"):
        load("recipe=3", f"{name}=true")


def test_an_original_option_name_in_a_file_means_its_setting(tmp_path):
    file = tmp_path / "original.toml"
    file.write_text("SR_FACTOR = 8\nUSE_BLENDING = true\nUSE_TTA = false\n")
    recipe = load(file=file).recipe
    assert (recipe.scale, recipe.infer.mode, recipe.infer.self_ensemble) == (8, "blend", False)


def test_a_folder_is_no_settings_file(tmp_path):
    with pytest.raises(SettingsError, match=r"settings file .* cannot be read: Is a directory"):
        load(file=tmp_path)


@pytest.mark.parametrize("told", [(), ("recipe.scale=2",), ("recipe.preset=quality", "recipe.detail=prior")])
def test_settings_printed_and_read_are_equal(tmp_path, told):
    file = tmp_path / "printed.toml"
    file.write_text(commented_toml(load(*told)))
    assert load(file=file) == load(*told)


def test_every_setting_is_printed_once_with_its_value_or_why_it_has_none():
    lines = commented_toml(load("recipe.degrade.nedt_k=0.1")).splitlines()
    assert "nedt_k = 0.1" in lines
    rested = commented_toml(load("recipe.preset=fast")).splitlines()
    assert '# steps   (acts where recipe.detail is "trained")' in rested
    assert "# psf_sigma_px   (unset)" in lines
    for name, _ in leaves(Settings()):
        leaf = name.rpartition(".")[2]
        found = [line for line in lines if line.removeprefix("# ").split(" ")[0] == leaf]
        assert leaf.endswith("_sha256") or leaf == "products" or found, name


def _plain_values():
    """A value of the right kind for every setting, at random, some of them out of bounds."""
    text = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=8)
    number = st.floats(1e-9, 1000, allow_subnormal=False)
    for dotted, value in leaves(Settings()):
        info = field_of(dotted)
        choices = [each for part in get_args(info.annotation) for each in (get_args(part) or (part,))]
        words = [each for each in choices if isinstance(each, str | int) and not isinstance(each, type)]
        if dotted in (
            "recipe.prior",
            "recipe.degrade.kernel",
            "recipe.network.pretrained",
        ) or dotted.endswith("_sha256"):
            continue
        if words:
            yield dotted, st.sampled_from(words)
        elif isinstance(value, bool):
            yield dotted, st.booleans()
        elif isinstance(value, float):
            yield dotted, number | st.floats(1e-9, 1)
        elif isinstance(value, int):
            yield dotted, st.integers(0, 64)
        elif isinstance(value, tuple):
            rules = st.fixed_dictionaries({"pattern": text}, optional={"scale": number, "crs": text})
            yield dotted, st.lists(rules if dotted == "archive.products" else text, max_size=2)
        else:
            yield dotted, text | number | st.integers(2, 64)


PLAIN_VALUES = dict(_plain_values())


@settings_of_hypothesis(max_examples=25, deadline=None)
@given(
    st.dictionaries(st.sampled_from(sorted(PLAIN_VALUES)), st.none(), max_size=8).flatmap(
        lambda names: st.fixed_dictionaries({name: PLAIN_VALUES[name] for name in names})
    )
)
def test_any_settings_printed_and_read_are_equal(tmp_path_factory, said):
    told = []
    for name, value in said.items():  # keep what can be said beside the rest
        plain = tomlkit.inline_table()
        plain["value"] = value
        word = f"{name}={plain.as_string()[len('{value = ') : -1]}"
        try:
            load(*told, word)
        except SettingsError:
            continue
        told.append(word)
    file = tmp_path_factory.mktemp("settings") / "printed.toml"
    file.write_text(commented_toml(load(*told)), encoding="utf-8")
    assert load(file=file) == load(*told)


def test_the_json_of_all_settings_reads_back(tmp_path):
    file = tmp_path / "all.json"
    for told in ((), ("recipe.preset=original",), ("recipe.detail=none",), ("recipe.preset=fast",)):
        file.write_text(json.dumps(load(*told).model_dump(mode="json")))
        assert load(file=file) == load(*told)


def test_every_name_of_the_original_reaches_a_setting():
    known = {name for name, _ in leaves(Settings())}
    assert set(NAMES.values()) <= known
    assert load("SR_FACTOR=8", "USE_TTA=False").recipe.scale == 8
    assert not load("USE_TTA=False").recipe.infer.self_ensemble


SAID_THERE = {  # of the project's own settings in capitals, another value than ours
    "SR_FACTOR": 8,
    "NUM_ITERATIONS": 30_000,
    "CROP_SIZE": 32,
    "CHANNELS": 128,
    "NUM_BLOCKS": 16,
    "ATTENTION_REDUCTION": 16,
    "USE_SPATIAL_ATTENTION": False,
    "INITIAL_LR": 1e-4,
    "WEIGHT_DECAY": 1e-3,
    "GRADIENT_CLIP": 0.5,
    "LOSS_L1_WEIGHT": 0.5,
    "LOSS_EDGE_WEIGHT": 0.3,
    "LOSS_HF_WEIGHT": 0.2,
    "USE_TTA": False,
    "NUM_SHIFT_PASSES": 8,
    "MAX_SHIFT_RATIO": 0.25,
    "INPUT_FILE": "scene.npz",
    "OUTPUT_DIR": "results",
}


@pytest.mark.parametrize("name", sorted(name for name in NAMES if name.isupper()))
def test_every_name_of_the_original_is_accepted_and_its_value_echoed(name):
    settings = load("recipe.preset=original", f"{name}={SAID_THERE[name]}").model_dump(mode="json")
    echoed = value_at(settings, NAMES[name])
    assert echoed == SAID_THERE[name]


# Rows of the tables in docs/original.md, and what must be said beside them.
ZSSR = ("recipe.prior=none", "recipe.network.name=zssr", "recipe.scale=2")
HSPAN = ("recipe.prior=none", "recipe.network.name=hspan", "recipe.scale=2")
ROWS = re.findall(
    r"^\| `--?(\w+) ([^`]+)` \| `([\w.]+) = ([^`]+)` \|", Path("docs/original.md").read_text(), re.MULTILINE
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_an_option_of_another_program_means_what_the_table_says(row):
    option, said, setting, value = row
    beside = HSPAN if option in ("patch_size", "topk", "reduction", "res_scale", "n_resblocks") else ZSSR
    beside = HSPAN if option == "n_resgroups" else beside
    assert load(*beside, f"{option}={said}") == load(*beside, f"{setting}={value}")
    assert load(*beside, f"{option}={said}") != load(*beside)


def test_every_name_from_elsewhere_is_in_a_table():
    told = {option for option, *_ in ROWS}
    words = set(re.findall(r"`-{0,2}(\w+)", Path("docs/original.md").read_text()))
    assert {name for name in NAMES if not name.isupper()} | set(FINE_SIDES) == told
    assert set(INSTEAD) | set(SWITCHES) | set(NAMES) <= words


@pytest.mark.parametrize("name", INSTEAD)
def test_what_has_no_setting_here_says_what_does_it(name):
    with pytest.raises(SettingsError, match=f"setting {name} is none here: "):
        load(f"{name}=1")


def test_a_fine_side_that_is_no_multiple_of_the_scale_is_refused():
    assert load("crop=96", "recipe.scale=4", "recipe.prior=none").recipe.pairs.crop_px == 24
    with pytest.raises(SettingsError, match=r"setting crop: fine pixels in whole multiples .* found 97"):
        load("crop=97", "recipe.scale=2")


@pytest.mark.parametrize(
    ("switches", "mode"),
    [
        (("USE_BLENDING=True", "USE_RANDOM_SHIFTS=True"), "blend_shifts"),
        (("USE_BLENDING=True",), "blend"),
        (("recipe.infer.mode=blend_shifts", "USE_BLENDING=false"), "shifts"),
        (("USE_RANDOM_SHIFTS=True", "USE_RANDOM_SHIFTS=False"), "whole"),
    ],
)
def test_the_originals_two_switches_name_one_mode(switches, mode):
    assert load(*switches).recipe.infer.mode == mode


def test_only_the_recipe_names_a_product():
    here = load("run.workers=4", "output.chunk_px=256", "archive.strict=true").recipe
    assert here.digest == load().recipe.digest
    assert load("recipe.seed=1").recipe.digest != here.digest


def test_a_refusal_holds_for_one_version_of_the_software_and_one_set_of_rules(monkeypatch):
    before = load().context
    assert load("archive.settle_s=7").context == before
    assert load("archive.strict=true").context != before
    monkeypatch.setattr("pipeline.settings.version", lambda _: "99.0")
    assert load().context != before

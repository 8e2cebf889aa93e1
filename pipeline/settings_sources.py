"""How settings are said: presets, a TOML file, the environment, the command line; and written down.

Whoever says them last wins. A recipe that names files gets their digests here, because
the tree of settings itself reads nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from pipeline.errors import SettingsError
from pipeline.settings import PRESETS, ProductRule, Settings

# Every knob of seed 000 under its own name; the dotted name is ours.
SEED_NAMES: Mapping[str, str] = {
    "SR_FACTOR": "recipe.scale",
    "NUM_ITERATIONS": "recipe.train.steps",
    "CROP_SIZE": "recipe.pairs.crop_px",
    "CHANNELS": "recipe.network.channels",
    "NUM_BLOCKS": "recipe.network.blocks",
    "ATTENTION_REDUCTION": "recipe.network.attention_reduction",
    "USE_SPATIAL_ATTENTION": "recipe.network.spatial_attention",
    "INITIAL_LR": "recipe.train.learning_rate",
    "WEIGHT_DECAY": "recipe.train.weight_decay",
    "GRADIENT_CLIP": "recipe.train.gradient_clip",
    "LOSS_L1_WEIGHT": "recipe.train.loss_l1_weight",
    "LOSS_EDGE_WEIGHT": "recipe.train.loss_edge_weight",
    "LOSS_HF_WEIGHT": "recipe.train.loss_hf_weight",
    "USE_TTA": "recipe.infer.self_ensemble",
    "NUM_SHIFT_PASSES": "recipe.infer.num_shift_passes",
    "MAX_SHIFT_RATIO": "recipe.infer.max_shift_ratio",
    "INPUT_FILE": "archive.root",
    "OUTPUT_DIR": "output.root",
}


def load_settings(
    file: Path | None = None,
    assignments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """The settings of a run: presets, a TOML file, THERMAL_SR__A__B variables, KEY=VALUE assignments.

    Args:
        file: TOML file, or the JSON that `thermal-sr settings --json` prints, or None.
        assignments: "recipe.scale=4" and the like; seed 000's names are understood ("SR_FACTOR=8").
        environment: Defaults to this process's environment.

    Raises:
        SettingsError: One line that names the setting, what was wanted and what was found.
    """
    tree: dict[str, Any] = {}
    if file is not None:
        try:
            text = file.read_text(encoding="utf-8")
            tree = json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
        except FileNotFoundError as error:
            raise SettingsError(f"settings file {file} does not exist") from error
        except OSError as error:
            raise SettingsError(f"settings file {file} cannot be read: {error.strerror}") from error
        except ValueError as error:
            kind = "JSON" if file.suffix == ".json" else "TOML"
            raise SettingsError(f"settings file {file} is not {kind}: {error}") from error
        if not isinstance(tree, dict):
            raise SettingsError(
                f"settings file {file}: an object of settings is wanted, found {type(tree).__name__}"
            )
    prefix = "THERMAL_SR__"
    for name, text in sorted((os.environ if environment is None else environment).items()):
        if name.startswith(prefix):
            _assign(tree, name[len(prefix) :].lower().replace("__", "."), text)
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise SettingsError(f"--set {assignment!r}: KEY=VALUE is wanted, e.g. recipe.scale=4")
        _apply_seed_switches(tree, name.strip(), text.strip())
    return validate_settings(tree)


def validate_settings(tree: Mapping[str, Any]) -> Settings:
    """A plain tree, presets filled in, to checked settings; `SettingsError` in one line."""
    recipe = tree.get("recipe", {})
    preset = recipe.get("preset", "balanced") if isinstance(recipe, Mapping) else "balanced"
    merged = (
        {**tree, "recipe": _merge(PRESETS.get(str(preset), {}), recipe)}
        if isinstance(recipe, Mapping)
        else tree
    )
    try:
        return with_file_digests(Settings.model_validate(merged))
    except ValidationError as error:
        raise SettingsError(_one_line(error)) from error


def with_file_digests(settings: Settings) -> Settings:
    """Settings whose recipe states the digests of the files it names: another prior, another recipe.

    Raises:
        SettingsError: The prior or the kernel is no file that can be read.
    """
    recipe, degrade = settings.recipe, settings.recipe.degrade
    if recipe.prior not in ("none", ""):
        digest = _file_digest(
            prior_path(recipe.prior),
            f'recipe.prior: "shipped", "none" or an existing file is wanted, found {recipe.prior!r}',
        )
        recipe = recipe.model_copy(update={"prior_sha256": digest})
    if degrade.kernel is not None:
        digest = _file_digest(
            degrade.kernel, f"recipe.degrade.kernel: an existing NPY file is wanted, found '{degrade.kernel}'"
        )
        degrade = degrade.model_copy(update={"kernel_sha256": digest})
        recipe = recipe.model_copy(update={"degrade": degrade})
    return settings.model_copy(update={"recipe": recipe})


def _file_digest(path: Path, complaint: str) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise SettingsError(f"{complaint}: {error.strerror}") from error


def prior_path(prior: str) -> Path:
    """Where a prior's weights lie: the one shipped with the package, or a user's file."""
    return Path(__file__).with_name("shipped_prior.safetensors") if prior == "shipped" else Path(prior)


def commented_toml(settings: Settings | None = None) -> str:
    """Every setting with its description, unit and value, as a TOML file that `load_settings` reads back."""
    lines = ["# Settings of thermal-sr. Uncomment and change what you need; unset ones follow the preset."]
    _toml_branch(settings or Settings(), "", lines)
    return "\n".join(lines) + "\n"


def _toml_branch(branch: BaseModel, path: str, lines: list[str]) -> None:
    nested: list[tuple[str, BaseModel]] = []
    if path:
        lines += ["", f"[{path}]  # {(type(branch).__doc__ or '').strip().splitlines()[0]}"]
    for name, info in type(branch).model_fields.items():
        value = getattr(branch, name)
        if isinstance(value, BaseModel):
            nested.append((name, value))
            continue
        if name in ("products", "prior_sha256", "kernel_sha256"):
            continue
        lines += [f"# {info.description}", f"# {name} = {_toml_value(value)}"]
    if path == "archive":
        lines += _product_rule_lines()
    for name, child in nested:
        _toml_branch(child, f"{path}.{name}".lstrip("."), lines)


def _product_rule_lines() -> list[str]:
    lines = [
        "# Rules for files that do not say what they hold; the first match wins.",
        "# [[archive.products]]",
    ]
    for name, info in ProductRule.model_fields.items():
        lines.append(f"# {name} =   # {info.description}")
    return lines


def _toml_value(value: Any) -> str:
    if value is None:
        return '""  (unset)'
    if isinstance(value, Path):
        value = str(value)
    if isinstance(value, tuple):
        value = list(value)
    return json.dumps(value)


def _assign(tree: dict[str, Any], dotted: str, text: str) -> None:
    dotted = SEED_NAMES.get(dotted, dotted)
    *branches, leaf = dotted.split(".")
    for branch in branches:
        tree = tree.setdefault(branch, {})
        if not isinstance(tree, dict):
            raise SettingsError(f"setting {dotted}: {branch} is no group of settings")
    tree[leaf] = _parse(text)


def _apply_seed_switches(tree: dict[str, Any], name: str, text: str) -> None:
    """Seed 000 says with two switches what `recipe.infer.mode` says with one word."""
    if name not in ("USE_BLENDING", "USE_RANDOM_SHIFTS"):
        _assign(tree, name, text)
        return
    infer = tree.setdefault("recipe", {}).setdefault("infer", {})
    words = set(str(infer.get("mode", "whole")).split("_")) - {"whole"}
    word = "blend" if name == "USE_BLENDING" else "shifts"
    words = words | {word} if _parse(text) is True else words - {word}
    infer["mode"] = "_".join(sorted(words)) or "whole"


def _parse(text: str) -> Any:
    """A command-line value by TOML's rules, a bare word as text; Python's True and False are understood."""
    lowered = {"True": "true", "False": "false"}.get(text, text)
    try:
        return tomllib.loads(f"value = {lowered}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for name, value in above.items():
        under = merged.get(name)
        merged[name] = (
            _merge(under, value) if isinstance(under, Mapping) and isinstance(value, Mapping) else value
        )
    return merged


def _one_line(error: ValidationError) -> str:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"setting {name} is unknown; `thermal-sr settings` lists them all"
    found = first.get("input")
    shown = "" if isinstance(found, Mapping) else f", found {found!r}"
    return f"setting {name}: {first['msg'].removeprefix('Value error, ')}{shown}"

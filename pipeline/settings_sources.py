"""What a settings file, the environment and `--set` may say, and how all settings are printed.

The last one wins. A setting of the recipe that would change nothing is refused, and so is a value that
can never work: once, before the night, in one line.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import tomlkit
from pydantic import BaseModel, ValidationError
from tomlkit.items import Item, Table

from pipeline.described_names import FINE_SIDES, SWITCHES, coarse_side, dotted_name
from pipeline.errors import SettingsError
from pipeline.recipe import Recipe, value_at
from pipeline.recipe_files import with_checked_files
from pipeline.settings import ProductRule, Settings

PREFIX = "THERMAL_SR__"


def load_settings(
    file: Path | None = None,
    assignments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """The settings of a run: presets, a TOML file, THERMAL_SR__A__B variables, KEY=VALUE assignments.

    Args:
        file: TOML file, or the JSON that `thermal-sr settings --json` prints, or None.
        assignments: "recipe.scale=4" and the like; names of `described_names` are understood ("SR_FACTOR=8").
        environment: Defaults to this process's environment.

    Raises:
        SettingsError: One line that names the setting, what was wanted and what was found.
    """
    tree: dict[str, Any] = {}
    kept = _read_file(file) if file is not None else {}
    for name, value in sorted(kept.items(), key=_fine_sides_last):
        _assign(tree, name, value)
    for name, text in sorted((os.environ if environment is None else environment).items()):
        if name.startswith(PREFIX):
            _assign(tree, name[len(PREFIX) :].lower().replace("__", "."), _parse(text))
    for name, text in sorted(map(_parted, assignments), key=_fine_sides_last):
        _assign(tree, name, _parse(text))
    return validate_settings(tree)


def validate_settings(tree: Mapping[str, Any]) -> Settings:
    """What a person said, as checked settings with the digests of the recipe's files.

    Raises:
        SettingsError: One line: a setting is unknown, wrong, or changes nothing in this recipe.
    """
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as error:
        raise SettingsError(_one_line(error)) from error
    _refuse_resting(tree.get("recipe", {}), settings.recipe)
    return settings.model_copy(update={"recipe": with_checked_files(settings.recipe)})


def refuse_recipe(assignments: Sequence[str], verb: str, used: Collection[str]) -> None:
    """Refuse what a command is told of the recipe and does not use.

    Args:
        assignments: KEY=VALUE, as `load_settings` takes them.
        verb: The command, for the message.
        used: What it does use, by dotted name: "recipe.seed".

    Raises:
        SettingsError: One line that names the setting and those that the command uses.
    """
    for name, _ in map(_parted, assignments):
        dotted = dotted_name(name)
        if dotted.split(".")[0] == "recipe" and dotted not in used:
            raise SettingsError(
                f"setting {dotted} changes nothing in `{verb}`, which uses {', '.join(used)} of the recipe"
            )


def _refuse_resting(given: Mapping[str, Any], recipe: Recipe) -> None:
    """Refuse a setting that does not act and differs from its default; a full tree names them all."""
    resolved = recipe.resolved()
    choice: dict[str, Any] = {"preset": recipe.preset, "detail": resolved.detail, "prior": recipe.prior}
    if resolved.detail in ("none", "pretrained"):
        choice |= {"prior": "shipped", "network": {"pretrained": recipe.network.pretrained}}
    usual = Recipe.model_validate(choice)
    for name, lack in recipe.resting().items():
        said = value_at(given, name) is not None
        if said and value_at(recipe, name) != value_at(usual, name):
            here = " and ".join(
                f"recipe.{each} is {json.dumps(value_at(resolved, each))}" for each in lack.names
            )
            raise SettingsError(
                f"setting recipe.{name} changes nothing in this recipe: it acts where {lack}; here {here}"
            )


def commented_toml(settings: Settings | None = None) -> str:
    """Every setting with its meaning and value, as a TOML file; read back, it gives the same settings.

    Comments hold what is unset, with what follows from that, and what does not act in this recipe.
    """
    settings = settings or Settings()
    document = tomlkit.document()
    document.add(tomlkit.comment("Settings of thermal-sr. A setting without a value says so in a comment."))
    _add_branch(document, settings, "", settings.recipe)
    return tomlkit.dumps(document)


def _add_branch(table: Table | tomlkit.TOMLDocument, branch: BaseModel, path: str, recipe: Recipe) -> None:
    """Add every setting of a branch to its table, first values, then further tables; changes `table`."""
    resting, resolved = recipe.resting(), recipe.resolved()
    nested = []
    for name, info in type(branch).model_fields.items():
        value, dotted = getattr(branch, name), f"{path}{name}"
        below = dotted.removeprefix("recipe.") if path.startswith("recipe.") else ""
        if isinstance(value, BaseModel) or name == "products":
            nested.append((name, info, value))
            continue
        if name.endswith("_sha256"):
            continue
        table.add(tomlkit.comment(info.description or ""))
        if below in resting:
            shown = f"{name} = {_toml(value).as_string()}" if value is not None else name
            table.add(tomlkit.comment(f"{shown}   (acts where {resting[below]})"))
        elif value is not None:
            table.add(name, _toml(value))
        else:
            follows = value_at(resolved, below) if below else None
            table.add(tomlkit.comment(f"{name}   (unset{'' if follows is None else f', here {follows}'})"))
    for name, info, value in nested:
        if name == "products":
            _add_rules(table, value)
            continue
        inner = tomlkit.table()
        inner.comment(info.description or "")
        _add_branch(inner, value, f"{path}{name}.", recipe)
        table.add(name, inner)


def _add_rules(table: Table | tomlkit.TOMLDocument, rules: Sequence[ProductRule]) -> None:
    """Add the archive's rules, or in comments what a rule may say; changes `table`."""
    if rules:
        plain = [rule.model_dump(exclude_none=True) for rule in rules]
        table.add("products", tomlkit.item(plain))
        return
    table.add(tomlkit.comment("Rules for files that do not say what they hold; the first match wins."))
    table.add(tomlkit.comment("[[archive.products]]"))
    for name, info in ProductRule.model_fields.items():
        table.add(tomlkit.comment(f"{name} =   # {info.description}"))


def _toml(value: Any) -> Item:
    return tomlkit.item(str(value) if isinstance(value, Path) else value)


def _read_file(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
        tree = json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
    except FileNotFoundError as error:
        raise SettingsError(f"settings file {file} does not exist") from error
    except OSError as error:
        raise SettingsError(f"settings file {file} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        kind = "JSON" if file.suffix == ".json" else "TOML"
        raise SettingsError(f"settings file {file} is not {kind}: {error}") from error
    if not isinstance(tree, dict):
        raise SettingsError(
            f"settings file {file}: an object of settings is wanted, found {type(tree).__name__}"
        )
    return tree


def _fine_sides_last(said: tuple[str, Any]) -> bool:
    """A sort key: sides in fine pixels come last, because the scale that they depend on may follow them."""
    return said[0] in FINE_SIDES


def _parted(assignment: str) -> tuple[str, str]:
    name, equals, text = assignment.partition("=")
    if not equals:
        raise SettingsError(f"--set {assignment!r}: KEY=VALUE is wanted, e.g. recipe.scale=4")
    return name.strip(), text.strip()


def _assign(tree: dict[str, Any], name: str, value: Any) -> None:
    """Put a value at its dotted name, or at that of an original option; changes `tree`."""
    *branches, leaf = dotted_name(name).split(".")
    whole, dotted = tree, ".".join((*branches, leaf))
    for branch in branches:
        tree = tree.setdefault(branch, {})
        if not isinstance(tree, dict):
            raise SettingsError(f"setting {dotted}: {branch} is no group of settings")
    if name in FINE_SIDES:
        value = coarse_side(name, value, whole["recipe"].get("scale", Recipe().scale))
    tree[leaf] = _switched(tree.get(leaf), name, value) if name in SWITCHES else value


def _switched(mode: Any, name: str, value: Any) -> str:
    """The mode with one of its two words added or taken away."""
    words = set(str(mode or "whole").split("_")) - {"whole", SWITCHES[name]}
    return "_".join(sorted(words | ({SWITCHES[name]} if value is True else set()))) or "whole"


def _parse(text: str) -> Any:
    """A command-line value by TOML's rules, a bare word as text; Python's True and False are understood."""
    lowered = {"True": "true", "False": "false"}.get(text, text)
    try:
        return tomllib.loads(f"value = {lowered}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _one_line(error: ValidationError) -> str:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"setting {name} is unknown; `thermal-sr settings` lists them all"
    found = first.get("input")
    shown = "" if isinstance(found, Mapping | BaseModel) else f", found {found!r}"
    return f"setting {name}: {first['msg'].removeprefix('Value error, ')}{shown}"

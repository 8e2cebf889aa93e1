"""`settings`: every setting with its value, unit and meaning."""

from __future__ import annotations

import typer

from pipeline.commands.options import JsonOption, SetOption, SettingsOption, print_json


def print_settings(
    settings: SettingsOption = None, assignments: SetOption = None, as_json: JsonOption = False
) -> None:
    """Print every setting with its value and meaning, as TOML."""
    from pipeline.settings_sources import commented_toml, load_settings

    tree = load_settings(settings, assignments or ())
    if as_json:
        resolved = tree.model_copy(update={"recipe": tree.recipe.resolved()})
        print_json(resolved.model_dump(mode="json"))
        return
    typer.echo(commented_toml(tree), nl=False)

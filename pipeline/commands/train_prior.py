"""`train-prior`: a prior from archives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from pipeline.commands.options import (
    JsonOption,
    SetOption,
    SettingsOption,
    err_console,
    out_console,
    print_json,
)
from pipeline.errors import UnusableInputError


def train_prior(
    archives: Annotated[
        list[Path], typer.Argument(metavar="ARCHIVE...", help="Folders of scenes, or scenes, to learn from.")
    ],
    out: Annotated[Path, typer.Option("--out", help="File for the prior (safetensors).")],
    scales: Annotated[list[int] | None, typer.Option("--scale", help="Enlargement; repeatable.")] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", help="Leave out files whose name contains this; repeatable."),
    ] = None,
    held_out: Annotated[list[Path] | None, typer.Option(help="Scenes that only score it.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps for each scale.")] = None,
    judged: Annotated[
        bool, typer.Option("--judged/--unjudged", help="Leave every place out in turn.")
    ] = True,
    groups: Annotated[
        int | None,
        typer.Option("--groups", min=2, help="Leave this many groups of places out, not each place."),
    ] = None,
    keep: Annotated[
        Path | None, typer.Option("--keep", help="Folder for the priors without each place, for benchmarks.")
    ] = None,
    settings: SettingsOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a prior on archives, and judge it on other places.

    Its card says what it was trained on and how it did where it was not.
    """
    from pipeline.process import resolve_device
    from pipeline.settings_sources import load_settings, refuse_recipe
    from pipeline.superres.prior.prior_pairs import PriorTraining
    from pipeline.train_prior import make_prior, prior_scenes, save_prior

    refuse_recipe(assignments or (), "train-prior", ("recipe.seed",))
    tree = load_settings(settings, assignments or ())
    scenes = prior_scenes(tree.archive, archives, exclude=exclude or ())
    if len({scene.site for scene in scenes}) < (2 if judged else 1):
        raise UnusableInputError(
            f"{len(scenes)} scenes of one place or none: nothing to learn from and be judged by"
        )
    err_console.print(f"{len(scenes)} scenes of {len({scene.site for scene in scenes})} places")
    training = PriorTraining()
    shorter = training.training.model_copy(update={"steps": steps or training.training.steps})
    prior = make_prior(
        scenes,
        replace(training, training=shorter),
        scales=scales or (2, 4, 8),
        seed=tree.recipe.seed,
        device=resolve_device(tree.run.device),
        scored=judged,
        groups=groups,
        held_out=prior_scenes(tree.archive, held_out or ()),
        keep=lambda sites, prior: save_prior(prior, keep / f"without {sites}.safetensors") if keep else None,
        progress=lambda text: err_console.print(escape(text), highlight=False),
    )
    save_prior(prior, out)
    if as_json:
        print_json(dict(prior.card))
    else:
        out_console.print(_card_table(prior.card, title=str(out)))


def _card_table(card: Mapping[str, Any], *, title: str) -> Table:
    """How the prior did on every scene that it did not see, beside the best that learns nothing."""
    table = Table("scene", "scale", "noise K", "RMSE K", "Tikhonov K", "ratio", title=title)
    for skill in card["skill"]:
        ratio = skill["rmse_k"] / skill["tikhonov_rmse_k"]
        figures = (f"{skill[name]:.4f}" for name in ("rmse_k", "tikhonov_rmse_k"))
        table.add_row(
            escape(skill["scene"]), f"x{skill['scale']}", f"{skill['noise_k']:g}", *figures, f"{ratio:.4f}"
        )
    return table

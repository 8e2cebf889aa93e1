"""The command line: the verbs that look, explain and check.

`flows.cli` adds the verbs that run scenes; those need the orchestrator, these do not.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.archive import read_scene
from pipeline.archive.discover import LONGEST_PATH, discover
from pipeline.errors import DamagedProductError, SettingsError, SkippedSceneError, UnusableInputError
from pipeline.evaluate import degradation as degradation_named
from pipeline.evaluate import evaluate as evaluate_scene
from pipeline.grid import crs_name
from pipeline.night import Plan, plan_night
from pipeline.process import resolve_device
from pipeline.products.catalog import write_catalog
from pipeline.products.layout import MANIFEST
from pipeline.products.publish import verify as verify_product
from pipeline.scene import Scene
from pipeline.settings import Settings
from pipeline.settings_sources import commented_toml, load_settings, refuse_recipe
from pipeline.superres.prior.train_prior import TeachSettings
from pipeline.text import shortened as clean
from pipeline.train_prior import make_prior, save_prior, teaching_scenes

EXIT_OK, EXIT_USAGE, EXIT_INVALID_INPUT, EXIT_SOME_FAILED = 0, 2, 3, 4

app = typer.Typer(
    name="thermal-sr",
    help="Sharpen thermal scenes, one by one.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
WIDE = 160  # columns of a log file, where a terminal would tell its own
out_console = Console(soft_wrap=True, width=None if sys.stdout.isatty() else WIDE)
err_console = Console(stderr=True, soft_wrap=True, width=None if sys.stderr.isatty() else WIDE)

ArchiveArgument = Annotated[Path, typer.Argument(help="Folder of scenes, or one scene.")]
OutArgument = Annotated[Path, typer.Argument(help="Where the products go.")]
SettingsOption = Annotated[Path | None, typer.Option("--settings", help="TOML file; `settings` prints one.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="One setting by its dotted name; repeatable."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for other programs.")]


def settings_for(
    archive: Path | None, out: Path | None, file: Path | None, assignments: list[str] | None
) -> Settings:
    """The settings of a command; what its arguments name wins over the file.

    Raises:
        SettingsError: A setting is wrong, the archive is not there, or OUT is no folder.
    """
    settings = load_settings(file, assignments or ())
    if archive is not None:
        try:
            root = archive.resolve()
        except (OSError, RuntimeError) as error:  # links that run in circles
            raise SettingsError(
                f"archive {clean(archive, LONGEST_PATH)} cannot be followed: {error}"
            ) from error
        settings = settings.model_copy(update={"archive": settings.archive.model_copy(update={"root": root})})
    if out is not None:
        settings = settings.model_copy(
            update={"output": settings.output.model_copy(update={"root": out.resolve()})}
        )
    if not settings.archive.root.exists():
        raise SettingsError(f"archive {clean(settings.archive.root, LONGEST_PATH)} does not exist")
    if settings.output.root.exists() and not settings.output.root.is_dir():
        raise SettingsError(f"OUT {settings.output.root} is a file; a folder for the products is wanted")
    return settings


@app.command()
def plan(
    archive: ArchiveArgument,
    out: OutArgument = Path("out"),
    settings: SettingsOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what `run` would do with every file, and why; nothing is written but the digest cache."""
    tree = settings_for(archive, out, settings, assignments)
    night = plan_night(tree)
    rows = _plan_rows(night)
    if as_json:
        print_json({"recipe": tree.recipe.label, "found": night.found, "files": rows})
        return
    table = Table("file", "what happens", "why", title=f"{night.found} found, {len(night.todo)} to do")
    for row in rows:
        table.add_row(*(escape(clean(row[name], WIDE)) for name in ("file", "action", "reason")))
    out_console.print(table)


@app.command()
def info(
    scene: Annotated[Path, typer.Argument(help="One scene.")],
    settings: SettingsOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what was understood of a file: quantity, units, grid, valid fraction, kelvin."""
    tree = settings_for(scene, None, settings, assignments)
    facts = scene_facts(_only_scene(tree))
    if as_json:
        print_json(facts)
        return
    for name, value in facts.items():
        out_console.print(f"{name:>16}  {escape(str(value))}", highlight=False)


@app.command("settings")
def print_settings(
    settings: SettingsOption = None, assignments: SetOption = None, as_json: JsonOption = False
) -> None:
    """Print every setting with its value, unit and meaning, as a TOML file."""
    tree = load_settings(settings, assignments or ())
    if as_json:
        resolved = tree.model_copy(update={"recipe": tree.recipe.resolved()})
        print_json(resolved.model_dump(mode="json"))
        return
    typer.echo(commented_toml(tree), nl=False)


@app.command()
def verify(
    product: Annotated[Path, typer.Argument(help="Folder of one product, or of many.")],
    as_json: JsonOption = False,
) -> None:
    """Check products against their manifests: every file, every byte, every chunk."""
    folders = sorted(
        manifest.parent
        for manifest in product.rglob(MANIFEST)
        # hidden: in the making, or damaged and moved aside when it was made anew
        if not any(part.startswith(".") for part in manifest.relative_to(product).parts)
    )
    if not folders:
        raise UnusableInputError(f"{product}: no MANIFEST.json here or below; is it the folder of a product?")
    rows = []
    for folder in folders:
        try:
            verify_product(folder)
            rows.append({"product": str(folder), "state": "whole", "reason": ""})
        except DamagedProductError as error:
            rows.append({"product": str(folder), "state": "damaged", "reason": str(error)})
    damaged = [row for row in rows if row["state"] == "damaged"]
    if as_json:
        print_json({"checked": len(rows), "damaged": len(damaged), "products": rows})
    else:
        for row in damaged:
            err_console.print(escape(f"damaged: {row['product']}: {row['reason']}"), style="red")
        out_console.print(f"{len(rows)} checked, {len(damaged)} damaged")
    if damaged:
        raise typer.Exit(EXIT_INVALID_INPUT)


@app.command()
def catalog(
    out: Annotated[Path, typer.Argument(help="The folder of products that `run` wrote.")],
    as_json: JsonOption = False,
) -> None:
    """Rebuild the catalog (STAC and a table) from the products and records."""
    if not out.is_dir():
        raise UnusableInputError(f"{out} is no folder of products")
    path = write_catalog(out)
    if as_json:
        print_json({"catalog": str(path)})
    else:
        out_console.print(str(path))


@app.command()
def evaluate(
    reference: Annotated[Path, typer.Argument(help="One scene, taken for the truth.")],
    scale: Annotated[
        int | None, typer.Option("--scale", help="Linear enlargement; the recipe's by default.")
    ] = None,
    degradation: Annotated[
        str, typer.Option("--degradation", help="mtf, mtf:SIGMA (in coarse pixels), area or bicubic.")
    ] = "mtf",
    noise: Annotated[
        float, typer.Option("--noise", min=0.0, help="Noise of the degraded scene, in kelvin.")
    ] = 0.0,
    size: Annotated[
        int, typer.Option("--size", min=64, help="Side of the part used, in reference pixels.")
    ] = 512,
    settings: SettingsOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Degrade a scene, sharpen it and compare with the truth, beside methods that learn nothing."""
    factor = [] if scale is None else [f"recipe.scale={scale}"]
    tree = settings_for(reference, None, settings, [*(assignments or []), *factor])
    degraded = degradation_named(degradation, tree.recipe.scale)
    result = evaluate_scene(_only_scene(tree), tree, degraded=degraded, noise_k=noise, size_px=size)
    if as_json:
        print_json({**result, "degradation": degradation})
        return
    table = Table(
        "method", *(name for name in _EVALUATED.values()), title=f"x{tree.recipe.scale}, {degradation}"
    )
    for method, figures in result["methods"].items():
        table.add_row(method, *(f"{figures[name]:.4f}" for name in _EVALUATED))
    out_console.print(table)
    out_console.print(f"recipe {result['recipe']}, gain {result['gain']:.2f} {escape(result['fallback'])}")


@app.command()
def learn(
    archives: Annotated[list[Path], typer.Argument(help="Folders of scenes, or scenes, to learn from.")],
    out: Annotated[Path, typer.Option("--out", help="File for the prior (safetensors).")],
    scales: Annotated[list[int] | None, typer.Option("--scale", help="Enlargement; repeatable.")] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", help="Leave out files whose name contains this; repeatable."),
    ] = None,
    held_out: Annotated[
        list[Path] | None, typer.Option("--held-out", help="Scenes that teach nothing and judge; repeatable.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help="Training steps for each scale.")
    ] = None,
    judged: Annotated[
        bool, typer.Option("--judged/--unjudged", help="Leave every place out in turn.")
    ] = True,
    keep: Annotated[
        Path | None, typer.Option("--keep", help="Folder for the priors without each place, for benchmarks.")
    ] = None,
    settings: SettingsOption = None,
    assignments: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a prior on archives; its card says what fed it and how it did on what did not."""
    refuse_recipe(assignments or (), "learn", ("recipe.seed",))
    tree = load_settings(settings, assignments or ())
    scenes = teaching_scenes(tree.archive, archives, exclude=exclude or ())
    if len({scene.site for scene in scenes}) < (2 if judged else 1):
        raise UnusableInputError(
            f"{len(scenes)} scenes of one place or none: nothing to learn from and be judged by"
        )
    err_console.print(f"{len(scenes)} scenes of {len({scene.site for scene in scenes})} places")
    teaching = TeachSettings()
    if steps is not None:
        teaching = replace(teaching, training=teaching.training.model_copy(update={"steps": steps}))
    prior = make_prior(
        scenes,
        teaching,
        scales=scales or (2, 4, 8),
        seed=tree.recipe.seed,
        device=resolve_device(tree.run.device),
        judged=judged,
        held_out=teaching_scenes(tree.archive, held_out or ()),
        keep=lambda site, prior: save_prior(prior, keep / f"without {site}.safetensors") if keep else None,
        progress=lambda text: err_console.print(escape(text), highlight=False),
    )
    save_prior(prior, out)
    if as_json:
        print_json(dict(prior.card))
        return
    table = Table("scene", "scale", "noise K", "RMSE K", "Tikhonov K", "ratio", title=str(out))
    for skill in prior.card["skill"]:
        ratio = skill["rmse_k"] / skill["tikhonov_rmse_k"]
        figures = (f"{skill[name]:.4f}" for name in ("rmse_k", "tikhonov_rmse_k"))
        table.add_row(
            escape(skill["scene"]), f"x{skill['scale']}", f"{skill['noise_k']:g}", *figures, f"{ratio:.4f}"
        )
    out_console.print(table)


_EVALUATED = {
    "rmse_k": "RMSE K",
    "bias_k": "bias K",
    "psnr_db": "PSNR dB",
    "ssim": "SSIM",
    "consistency_k": "consistency K",
    "detail_gain": "detail gain",
    "detail_correlation": "correlation",
    "seam_index": "seam",
    "shift_lr_px": "shift px",
    "process_s": "process s",
}


def scene_facts(scene: Scene) -> dict[str, Any]:
    """What `info` shows; plain JSON."""
    valid = scene.temperature[scene.valid].astype(np.float64)
    kelvin = (
        [round(float(value), 2) for value in (valid.min(), np.median(valid), valid.max())]
        if valid.size
        else []
    )
    transform = scene.grid.transform
    return {
        "scene_id": scene.ref.scene_id,
        "reader": scene.ref.reader,
        "quantity": scene.quantity,
        "acquired": scene.ref.acquired,
        "sensor": scene.sensor.name,
        "size_px": list(scene.grid.shape),
        "gsd_m": [round(value, 2) for value in scene.gsd_m] if np.isfinite(scene.gsd_m).all() else None,
        "crs": None if scene.grid.crs_wkt is None else crs_name(scene.grid.crs_wkt),
        "transform": None if transform is None else [float(term) for term in tuple(transform)[:6]],
        "valid_fraction": round(scene.valid_fraction, 4),
        "min_median_max_k": kelvin,
        "step_k": scene.quantization_k,
        "assumptions": list(scene.assumptions),
        "facts": dict(scene.facts),
        "digest": scene.ref.digest,
    }


def print_json(plain: Any) -> None:
    """To standard output, one document."""
    typer.echo(json.dumps(plain, indent=1, default=str))


def _only_scene(settings: Settings) -> Scene:
    path = settings.archive.root
    if path.is_dir():
        raise SettingsError(f"{path} is a folder; name one scene, or use `plan`")
    impatient = settings.archive.model_copy(update={"settle_s": 0.0, "since": None, "until": None})
    discovery = discover(impatient, {})
    if discovery.scenes:
        try:
            return read_scene(discovery.scenes[0], impatient)
        except SkippedSceneError as error:  # a night goes on without it; here there is nothing else
            raise UnusableInputError(str(error)) from error
    reasons = [reason for _, reason in [*discovery.refused, *discovery.waiting]]
    raise UnusableInputError(reasons[0] if reasons else f"{path.name}: not a scene that a reader knows")


def _plan_rows(night: Plan) -> list[dict[str, str]]:
    rows = [
        (ref.files[0], ref.scene_id, "process", f"new to this recipe, {ref.reader}") for ref in night.todo
    ]
    rows += [(ref.files[0], ref.scene_id, "leave", f"done: {product}") for ref, product in night.done]
    for record in night.ended:
        reason = f"{record.status} earlier: {record.reason}"
        rows.append((record.ref.files[0], record.ref.scene_id, "leave", reason))
    rows += [(ref.files[0], ref.scene_id, "refuse", reason) for ref, reason in night.refused]
    rows += [(path, "", "wait", reason) for path, reason in night.waiting]
    rows += [(path, "", "leave", f"same content as {Path(other).name}") for path, other in night.duplicates]
    rows += [(path, "", "leave", reason) for path, reason in night.left_out]
    names = ("path", "scene_id", "action", "reason")
    return [{"file": Path(row[0]).name, **dict(zip(names, row, strict=True))} for row in rows]

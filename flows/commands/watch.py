"""`watch`: how far the nights are that run now, and what one scene's log says."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands.options import (
    OutArgument,
    SetOption,
    SettingsOption,
    err_console,
    out_console,
    settings_for,
)
from pipeline.errors import UnusableInputError

if TYPE_CHECKING:
    from flows.watching import Sight
    from pipeline.settings import Settings

LOOK_S = 2.0


def watch(
    out: OutArgument,
    scene: Annotated[
        str, typer.Option("--scene", metavar="ID", help="Show the log of this scene.", show_default=False)
    ] = "",
    settings: SettingsOption = None,
    assignments: SetOption = None,
) -> None:
    """Watch the nights that run now, or the log of one scene.

    There is a bar, or a line every 30 s where there is no terminal. Nights on this machine and in SLURM
    arrays are seen by what they write below OUT. Where PREFECT_API_URL names a server, scenes of the recipe
    on any machine are seen. Ends with the last night. A night that shows a bar logs stages and warnings only.
    """
    if not out.is_dir():
        raise UnusableInputError(f"{out} is no folder of products")
    tree = settings_for(None, out, settings, assignments)
    if scene:
        _follow(tree, scene)
    else:
        _watch(tree)


def _watch(tree: Settings) -> None:
    from flows.heartbeat import SAY_EVERY_S, in_one_line
    from flows.night import NightBar

    said_s = -SAY_EVERY_S
    bar = NightBar(0, out_console)
    if out_console.is_terminal:
        bar.shown.start()
    try:
        for sight in _sights(tree):
            if out_console.is_terminal:
                bar.show(sight.ended, sight.at_work, sight.scenes)
            elif time.monotonic() - said_s >= SAY_EVERY_S:
                words = in_one_line(sight.scenes, sight.ended, sight.at_work)
                out_console.print(words, markup=False, highlight=False, soft_wrap=True)
                said_s = time.monotonic()
    finally:
        bar.shown.stop()
    out_console.print(_last_report(tree), markup=False, highlight=False, soft_wrap=True)


def _sights(tree: Settings) -> Iterator[Sight]:
    """What is seen, every other second, while a night runs."""
    look = _looking(tree)
    while (sight := look()) is not None:
        yield sight
        time.sleep(LOOK_S)


def _looking(tree: Settings) -> Callable[[], Sight | None]:
    from flows.watching import nights_here

    def here() -> Sight | None:
        return nights_here(tree.output.root)

    if not _server_answers():
        return here
    import httpx

    from flows.watching_server import nights_of

    def anywhere() -> Sight | None:
        try:
            return nights_of(tree.recipe.label) or here()
        except httpx.HTTPError as error:
            raise OSError(f"the Prefect server does not answer: {type(error).__name__}") from error

    return anywhere


def _server_answers() -> bool:
    from flows.which_server import named_server, what_is_wrong

    if (url := named_server(everywhere=False)) is None:
        return False
    if fault := what_is_wrong(url):
        err_console.print(f"{fault}: only nights below OUT are seen", markup=False, highlight=False)
    return not fault


def _follow(tree: Settings, scene: str) -> None:
    """Print the lines about a scene until no night runs any more, then how it ended."""
    from flows.watching import lines_here

    server = _server_answers()
    look, shown = _looking(tree), 0
    while True:
        running = look() is not None
        said = (_server_lines(scene) if server else []) or lines_here(tree.output.root, scene)
        for line in said[shown:]:
            out_console.print(line, markup=False, highlight=False, soft_wrap=True)
        shown = len(said)
        if not running:
            break
        time.sleep(LOOK_S)
    _say_how_it_ended(tree, scene, logged=shown > 0)


def _server_lines(scene: str) -> list[str]:
    from flows.watching_server import lines_of

    return lines_of(scene)


def _say_how_it_ended(tree: Settings, scene: str, *, logged: bool) -> None:
    from pipeline.commands.ls import rows_of

    found = [row for row in rows_of(tree.output.root) if row["scene"] == scene]
    if not found and not logged:
        raise UnusableInputError(f"{scene}: no log and no outcome of this scene in {tree.output.root}")
    for row in found:
        words = f"{row['scene']}: {row['states'][-1]} {row['finished']} {row['reason']}".rstrip()
        out_console.print(words, markup=False, highlight=False, soft_wrap=True)


def _last_report(tree: Settings) -> str:
    """The last night's counts."""
    import json

    from flows.commands.run import summary_line
    from pipeline.products.layout import recipe_folders

    reports = [
        path for recipe in recipe_folders(tree.output.root) for path in recipe.glob("reports/night-*.json")
    ]
    if not reports:
        return "no night runs, and none has left a report"
    last = max(reports, key=lambda path: path.name)
    try:
        return f"no night runs; the last, {last.stem}: {summary_line(json.loads(last.read_text()))}"
    except (OSError, ValueError, KeyError) as error:
        return f"no night runs; {last.name} cannot be read: {error}"

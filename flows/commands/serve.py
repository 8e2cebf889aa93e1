"""`serve`: nights on a schedule, and all that they need."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipeline.commands.options import (
    ArchiveArgument,
    OutArgument,
    SetOption,
    SettingsOption,
    err_console,
    settings_for,
)
from pipeline.errors import SettingsError

if TYPE_CHECKING:
    from pipeline.settings import Settings

Missed = Literal["catch-up", "skip"]
GRACE_S = 60.0


def serve(
    archive: ArchiveArgument,
    out: OutArgument,
    cron: Annotated[str, typer.Option("--cron", help="When, in UTC.")] = "15 2 * * *",
    missed: Annotated[
        Missed, typer.Option("--missed", help="A night that could not begin in time: held later, or skipped.")
    ] = "catch-up",
    state: Annotated[
        Path | None,
        typer.Option(
            "--state", help="Folder of the schedule's own server, on a local disk.", show_default=False
        ),
    ] = None,
    systemd: Annotated[
        bool, typer.Option("--systemd", help="Print systemd's units, a service or a timer, and end.")
    ] = False,
    settings: SettingsOption = None,
    assignments: SetOption = None,
) -> None:
    """Stay and hold a night whenever the schedule says so.

    The schedule and its nights are on a Prefect server: the one that PREFECT_API_URL names, or one of its own
    on this machine, which needs nothing and is found again after a restart. One night is held at a time.
    """
    tree = settings_for(archive, out, settings, assignments)
    folder = (state or state_folder(tree)).expanduser().absolute()
    if systemd:
        _print_units(tree, folder, cron, missed, _told(settings, assignments or []))
        return
    from flows.stopping import stoppable

    stoppable(lambda: _serve(tree, cron, missed, folder), grace_s=GRACE_S)


def state_folder(settings: Settings) -> Path:
    """Where the service of an archive and its products keeps what has to outlive it."""
    from flows.tags import place_name

    base = Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser()
    return base / "thermal-sr" / place_name(settings)


def _serve(tree: Settings, cron: str, missed: Missed, state: Path) -> None:
    from flows.local_server import ADDRESS, own_server
    from flows.locks import locked
    from flows.stopping import STOP, StoppedError
    from flows.which_server import named_server, own_prefect, talking_to, what_is_wrong

    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise SettingsError(
            f"the schedule's folder {state} cannot be made: {error.strerror}; name another with --state"
        ) from error
    url = named_server(everywhere=False)
    if url is not None:
        if fault := what_is_wrong(url):
            raise OSError(f"{fault}; start that server, or unset PREFECT_API_URL: serve has one of its own")
        with locked(state / "serve.lock"):
            while not STOP.get().heard:
                _hold(tree, cron, missed, state, url)
        return
    with locked(state / "serve.lock"), own_prefect(state):
        from flows.service import check_cron

        check_cron(cron)
        while not STOP.get().heard:
            try:
                with own_server(state, lasting=True) as environment, talking_to(environment):
                    password = f" (password in {state / ADDRESS})"
                    _hold(tree, cron, missed, state, environment["PREFECT_API_URL"], password)
            except StoppedError:
                return


def _hold(tree: Settings, cron: str, missed: Missed, state: Path, url: str, password: str = "") -> None:
    """Hold nights until told to end, or until the server is gone."""
    import httpx

    from flows.service import Service, check_cron, hold_nights
    from flows.stopping import STOP
    from flows.which_server import tell_the_rest

    check_cron(cron)
    service = Service(tree, cron, missed, state)
    err_console.print(
        f"nights over {tree.archive.root} at cron {cron!r} (UTC), as ingest/{service.name} on "
        f"{url.removesuffix('/api')}{password}; stop with Ctrl-C",
        highlight=False,
        markup=False,
    )
    try:
        hold_nights(service)
    except httpx.HTTPError as error:
        err_console.print(f"the Prefect server is gone ({type(error).__name__}); another try", markup=False)
        STOP.get().sleep(10)
    finally:
        tell_the_rest()


def _print_units(tree: Settings, state: Path, cron: str, missed: Missed, told: Sequence[str]) -> None:
    from flows.systemd import Served, units
    from flows.tags import plain_name

    program = str(Path(sys.executable).with_name("thermal-sr"))
    roots = [str(tree.archive.root), str(tree.output.root)]
    schedule = ["--cron", cron, "--missed", missed, "--state", str(state)]
    served = Served(
        name=plain_name(f"thermal-sr-{state.name}"),
        archive=tree.archive.root,
        folders=[tree.archive.root, tree.output.root, state],
        serve=[program, "serve", *roots, *schedule, *told],
        run=[program, "run", *roots, *told],
        cron=cron,
        late=missed == "catch-up",
    )
    typer.echo(units(served), nl=False)


def _told(settings: Path | None, assignments: Sequence[str]) -> list[str]:
    """The options that were given, as words."""
    words = [] if settings is None else ["--settings", str(settings.absolute())]
    return words + [word for assignment in assignments for word in ("--set", assignment)]

"""A night in this process, as `run` and `demo` start it: with a bar where a person looks on.

An orchestrator is started only when there is something to do.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from flows.heartbeat import AtWork, Heartbeat, is_outcome
from flows.stopping import STOP, StoppedError, stoppable
from flows.tonight import NIGHT, Night, look_through
from pipeline.commands.options import err_console
from pipeline.errors import SettingsError
from pipeline.nights.night import Plan
from pipeline.settings import Settings
from pipeline.text import one_line

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

log = logging.getLogger(__name__)


def run_night(settings: Settings, *, quiet: bool = False, run_id: str | None = None) -> dict[str, Any]:
    """One night; returns its report as plain JSON.

    TERM or Ctrl-C ends it within seconds: scenes at work keep their state, the report is written.

    Args:
        settings: The whole tree.
        quiet: Nothing is printed but warnings.
        run_id: The server's run that this night is, where a schedule has made one.

    Raises:
        SettingsError: OUT cannot be written, or nobody can be handed the scenes.
        OSError: The orchestrator does not begin or does not answer, so that no flow can begin.
    """
    return stoppable(lambda: _night(settings, quiet=quiet, run_id=run_id))


def _night(settings: Settings, *, quiet: bool, run_id: str | None) -> dict[str, Any]:
    _refuse_read_only(settings.output.root)
    from flows.which_server import server_of_a_night

    night = Night(settings)
    STOP.get().last_words = night.write
    heartbeat = Heartbeat(night, spoken=not quiet and not err_console.is_terminal)
    try:
        with heartbeat.beating():
            if run_id is None:
                night.plan = look_through(settings)
                if not night.plan.todo and not night.plan.refused:
                    return night.write()
                _say_what_comes(night.plan, settings, quiet=quiet)
            STOP.get().check()
            with server_of_a_night(settings), _bar(night.plan, heartbeat, quiet=quiet):
                return _flow(night, heartbeat, run_id)
    except StoppedError:
        return night.write()
    except OSError as error:
        night.write(fault=error)
        raise


def _flow(night: Night, heartbeat: Heartbeat, run_id: str | None) -> dict[str, Any]:
    """Run the nightly flow; a report that was written counts, whether or not the server hears of its end."""
    import httpx
    from prefect import tags
    from prefect.flow_engine import load_flow_run, run_flow_sync

    from flows.ingest import ingest
    from flows.progress import LISTENER
    from flows.tags import night_tags

    listening, held = LISTENER.set(heartbeat), NIGHT.set(night)
    parameters = {"settings": night.settings.model_dump(mode="json")}
    try:
        made = None if run_id is None else load_flow_run(UUID(run_id))
        with tags(*night_tags(night.settings)):
            state = run_flow_sync(ingest, flow_run=made, parameters=parameters, return_type="state")
        result = cast("State[Any]", state).result(raise_on_failure=False)
        if isinstance(result, Exception):
            raise result
    except httpx.HTTPError as error:
        reason = one_line(f"{type(error).__name__} {error}")
        if night.report is None:
            raise OSError(f"the Prefect server does not answer ({reason}); run again, it goes on") from error
        log.warning("the end of the night is not told to the server: %s", reason)
    finally:
        LISTENER.reset(listening)
        NIGHT.reset(held)
    assert night.report is not None
    return night.report


def _say_what_comes(plan: Plan, settings: Settings, *, quiet: bool) -> None:
    if quiet or err_console.is_terminal:
        os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING")
        for name in ("pipeline", "flows"):
            logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    if not quiet:
        words = f"{plan.found} found, {len(plan.todo)} to do, recipe {settings.recipe.label}"
        err_console.print(escape(words))


class NightBar:
    """A line for the night and one for each scene at work; changes itself. It is a `Listener`.

    Attributes:
        shown: What rich draws.
    """

    def __init__(self, scenes: int, console: Console) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
        self.shown = Progress(*columns, TimeElapsedColumn(), console=console)
        self._night = self.shown.add_task("night", total=scenes)
        self._lines: dict[str, TaskID] = {}
        self._at_work: AtWork = {}
        self._ended: dict[str, str] = {}

    def __call__(self, scene_id: str, percent: float, words: str) -> None:
        """Show how far a scene is; when it ends its line goes and the night's line grows."""
        if is_outcome(percent, words):
            self._ended.setdefault(scene_id, words)
        if scene_id in self._ended:
            self._at_work.pop(scene_id, None)
        else:
            self._at_work[scene_id] = (percent, words)
        self.show(Counter(self._ended.values()), self._at_work)

    def show(self, ended: Mapping[str, int], at_work: AtWork, scenes: int | None = None) -> None:
        """Show how many scenes have ended, by outcome, and how far others are."""
        for gone in self._lines.keys() - at_work.keys():
            self.shown.remove_task(self._lines.pop(gone))
        for scene_id, (percent, words) in at_work.items():
            if scene_id not in self._lines:
                self._lines[scene_id] = self.shown.add_task(scene_id, total=100)
            described = escape(f"{scene_id} {words}")
            self.shown.update(self._lines[scene_id], completed=percent, description=described)
        counts = ", ".join(f"{number} {status}" for status, number in ended.items())
        self.shown.update(
            self._night, completed=sum(ended.values()), total=scenes, description=f"night {counts}".strip()
        )


@contextmanager
def _bar(plan: Plan | None, heartbeat: Heartbeat, *, quiet: bool) -> Iterator[None]:
    """The bar, where a person looks on."""
    if plan is None or quiet or not err_console.is_terminal:
        yield
        return
    bar = NightBar(len(plan.todo), err_console)
    heartbeat.also = bar
    with bar.shown:
        yield


def _refuse_read_only(out: Path) -> None:
    """Say once, before the night, what every scene would end with."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise SettingsError(
            f"OUT {out} cannot be written: {error.strerror}; name a folder that can, or mend its rights"
        ) from error

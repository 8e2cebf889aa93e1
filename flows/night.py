"""A night in this process, as `run` and `demo` start it: with a bar where a person looks on.

An orchestrator is started only when there is something to do.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from pipeline.commands.options import err_console
from pipeline.errors import SettingsError
from pipeline.night import check_share, make_report, new_run_id, plan_night, write_report
from pipeline.settings import Settings


def run_night(settings: Settings, *, quiet: bool = False) -> dict[str, Any]:
    """One night; returns its report as plain JSON.

    Args:
        settings: The whole tree.
        quiet: Nothing is printed but warnings.

    Raises:
        SettingsError: OUT cannot be written, or nobody can be handed the scenes.
        OSError: The orchestrator does not answer, so that no flow can begin or end.
    """
    started = datetime.now(UTC)
    _refuse_read_only(settings.output.root)
    check_share(settings)
    plan = plan_night(settings)
    if not plan.todo and not plan.refused:
        report = make_report(new_run_id(), started, settings, plan=plan)
        write_report(report, settings)
        return report.to_json()
    show_bar = err_console.is_terminal and not quiet
    if show_bar or quiet:
        os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING")
        for name in ("pipeline", "flows"):
            logging.getLogger(name).setLevel(logging.WARNING)
    else:
        logging.getLogger("httpx").setLevel(logging.WARNING)
    if not quiet:
        err_console.print(
            escape(f"{plan.found} found, {len(plan.todo)} to do, recipe {settings.recipe.label}")
        )
    import httpx

    from flows.ingest import PLANNED, NightFaultError, ingest
    from flows.progress import LISTENER

    with _bar(len(plan.todo)) if show_bar else _no_bar() as bar:
        listening, planned = LISTENER.set(bar), PLANNED.set(plan)
        try:
            report_json: dict[str, Any] = ingest(settings.model_dump(mode="json"))
            return report_json
        except NightFaultError as fault:
            return fault.report
        except httpx.HTTPError as error:
            reason = " ".join(f"{type(error).__name__} {error}".split())
            raise OSError(f"the Prefect server does not answer ({reason}); run again, it goes on") from error
        finally:
            LISTENER.reset(listening)
            PLANNED.reset(planned)


class NightBar:
    """A line for the night and one for each scene at work; changes itself. It is a `Listener`.

    Attributes:
        shown: What rich draws.
    """

    def __init__(self, scenes: int, console: Console) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
        self.shown = Progress(*columns, TimeElapsedColumn(), console=console)
        self._night = self.shown.add_task("night", total=scenes)
        self._at_work: dict[str, TaskID] = {}
        self._over: set[str] = set()

    def __call__(self, scene_id: str, percent: float, words: str) -> None:
        """Show how far a scene is; at 100 percent its line goes and the night's line grows."""
        if scene_id in self._over:
            return
        if scene_id not in self._at_work and percent < 100:
            self._at_work[scene_id] = self.shown.add_task(scene_id, total=100)
        if percent < 100:
            described = escape(f"{scene_id} {words}")
            self.shown.update(self._at_work[scene_id], completed=percent, description=described)
            return
        self._over.add(scene_id)
        if (line := self._at_work.pop(scene_id, None)) is not None:
            self.shown.remove_task(line)
        self.shown.advance(self._night)


@contextmanager
def _bar(scenes: int) -> Iterator[NightBar | None]:
    bar = NightBar(scenes, err_console)
    with bar.shown:
        yield bar


@contextmanager
def _no_bar() -> Iterator[NightBar | None]:
    yield None


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

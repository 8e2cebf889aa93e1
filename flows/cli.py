"""The command `thermal-sr`: every verb, in the groups that `--help` shows."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any

import typer
from rich.markup import escape

from flows.commands.demo import demo
from flows.commands.doctor import doctor
from flows.commands.run import run
from flows.commands.serve import serve
from pipeline.commands.catalog import catalog
from pipeline.commands.evaluate import evaluate
from pipeline.commands.info import info
from pipeline.commands.options import EXIT_INVALID_INPUT, EXIT_USAGE, err_console
from pipeline.commands.plan import plan
from pipeline.commands.prune import prune
from pipeline.commands.redo import redo
from pipeline.commands.settings import print_settings
from pipeline.commands.train_prior import train_prior
from pipeline.commands.verify import verify
from pipeline.errors import DamagedProductError, SettingsError, UnreadableInputError, UnusableInputError

VERBS: Mapping[str, Mapping[str, Callable[..., Any]]] = {
    "Run": {"run": run, "serve": serve, "demo": demo},
    "Look": {"plan": plan, "info": info, "settings": print_settings},
    "Check": {"verify": verify, "evaluate": evaluate},
    "Learn": {"train-prior": train_prior},
    "Operate": {"redo": redo, "prune": prune, "catalog": catalog, "doctor": doctor},
}

app = typer.Typer(
    name="thermal-sr",
    help="Sharpen thermal scenes, one by one.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for group, verbs in VERBS.items():
    for name, verb in verbs.items():
        app.command(name, rich_help_panel=group)(verb)
app.command("learn", hidden=True)(train_prior)  # the name of train-prior in scripts that exist


def main() -> None:
    """Run the command; known errors become one line and a stable exit code."""
    signal.signal(signal.SIGTERM, _leave)
    try:
        app()
    except SettingsError as error:
        _complain(error, EXIT_USAGE)
    except (UnusableInputError, UnreadableInputError, DamagedProductError, OSError) as error:
        _complain(error, EXIT_INVALID_INPUT)


def _leave(_signal: int, _frame: object) -> None:
    """End by the front door: Prefect's embedded server is stopped on the way out, and not when killed."""
    sys.exit(128 + signal.SIGTERM)


def _complain(error: Exception, code: int) -> None:
    err_console.print(escape(f"thermal-sr: {error}"), highlight=False)
    sys.exit(code)


if __name__ == "__main__":
    main()

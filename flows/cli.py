"""The command `thermal-sr`: every verb, in the groups that `--help` shows."""

from __future__ import annotations

import io
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
from flows.commands.watch import watch
from flows.start import told_to_end
from flows.stopping import leave
from pipeline.commands.benchmark import benchmark, picture
from pipeline.commands.catalog import catalog
from pipeline.commands.compare import compare
from pipeline.commands.diff import diff
from pipeline.commands.evaluate import evaluate
from pipeline.commands.explain import explain
from pipeline.commands.export import export
from pipeline.commands.info import info
from pipeline.commands.ls import ls
from pipeline.commands.networks import networks
from pipeline.commands.options import EXIT_INVALID_INPUT, EXIT_OK, EXIT_USAGE, err_console
from pipeline.commands.plan import plan
from pipeline.commands.prune import prune
from pipeline.commands.redo import redo
from pipeline.commands.rerun import rerun
from pipeline.commands.series import series
from pipeline.commands.settings import print_settings
from pipeline.commands.train_prior import train_prior
from pipeline.commands.verify import verify
from pipeline.errors import DamagedProductError, SettingsError, UnreadableInputError, UnusableInputError

VERBS: Mapping[str, Mapping[str, Callable[..., Any]]] = {
    "Run": {"run": run, "serve": serve, "demo": demo},
    "Look": {
        "plan": plan,
        "watch": watch,
        "ls": ls,
        "info": info,
        "settings": print_settings,
        "export": export,
        "series": series,
        "networks": networks,
        "picture": picture,
    },
    "Check": {
        "verify": verify,
        "rerun": rerun,
        "evaluate": evaluate,
        "compare": compare,
        "benchmark": benchmark,
        "diff": diff,
        "explain": explain,
    },
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
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, told_to_end)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that knows only ASCII shows "?"
    leave(_run())


def _run() -> int:
    try:
        app()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except SettingsError as error:
        return _complain(error, EXIT_USAGE)
    except (UnusableInputError, UnreadableInputError, DamagedProductError, OSError) as error:
        return _complain(error, EXIT_INVALID_INPUT)
    return EXIT_OK


def _complain(error: Exception, code: int) -> int:
    err_console.print(escape(f"thermal-sr: {error}"), highlight=False)
    return code


if __name__ == "__main__":
    main()

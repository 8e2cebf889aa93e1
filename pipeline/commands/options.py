"""What the verbs share: their arguments, where they print, how they end."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from pipeline.errors import SettingsError
from pipeline.text import one_line
from pipeline.times import duration_s

if TYPE_CHECKING:
    from pipeline.settings import Settings

EXIT_OK, EXIT_USAGE, EXIT_INVALID_INPUT, EXIT_SOME_FAILED = 0, 2, 3, 4

WIDE = 160  # columns of a log file, where a terminal would tell its own
MOST_ROWS = 1000  # of a table; a terminal shows no more, and to lay out 100,000 takes a minute
out_console = Console(soft_wrap=True, width=None if sys.stdout.isatty() else WIDE)
err_console = Console(stderr=True, soft_wrap=True, width=None if sys.stderr.isatty() else WIDE)

ArchiveArgument = Annotated[Path, typer.Argument(metavar="ARCHIVE", help="Folder of scenes, or one scene.")]
OutArgument = Annotated[Path, typer.Argument(metavar="OUT", help="Where the products go.")]
SettingsOption = Annotated[Path | None, typer.Option("--settings", help="TOML file; `settings` prints one.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="One setting by its dotted name; repeatable."),
]
SinceOption = Annotated[
    str | None, typer.Option("--since", metavar="DATE", help="Scenes acquired on or after YYYY-MM-DD.")
]
UntilOption = Annotated[
    str | None, typer.Option("--until", metavar="DATE", help="Scenes acquired on or before YYYY-MM-DD.")
]
ShardOption = Annotated[
    str | None, typer.Option("--shard", metavar="K/N", help="The K-th of N equal shares of the archive.")
]
BudgetOption = Annotated[
    str | None, typer.Option("--budget", metavar="TIME", help="How long it may take: 6h, 90min, 1h30m.")
]
MaskSigmaOption = Annotated[
    float | None, typer.Option("--mask-sigma", metavar="K", help="Only pixels at most so uncertain.")
]
MaskFlagsOption = Annotated[
    str | None, typer.Option("--flags", metavar="0,2", help="Only pixels with one of these flags.")
]
DegradationOption = Annotated[
    str, typer.Option("--degradation", help="mtf, mtf:SIGMA (in coarse pixels), area or bicubic.")
]
NoiseOption = Annotated[
    float, typer.Option("--noise", min=0.0, help="Noise of what is made of the reference, in kelvin.")
]
SizeOption = Annotated[
    int, typer.Option("--size", min=64, help="Side of the part used, in reference pixels.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for other programs.")]


def settings_for(
    archive: Path | None,
    out: Path | None,
    file: Path | None,
    assignments: Sequence[str] | None,
    *,
    budget: str | None = None,
    **options: str | None,
) -> Settings:
    """The settings of a command; what its arguments name wins over the file.

    Args:
        archive: What the command reads; None for a command that reads no archive.
        out: Where products are; None for a command that has nothing to do with them.
        file: What `--settings` names.
        assignments: What `--set` says.
        budget: What `--budget` says; None where it is not given.
        options: Values of `--since`, `--until` and `--shard`; None where they are not given.

    Raises:
        SettingsError: A setting is wrong, the archive is not there, or OUT is no folder.
    """
    from pipeline.settings_sources import load_settings

    branch = {"since": "archive", "until": "archive", "shard": "run"}
    given = [f"{branch[name]}.{name}={json.dumps(value)}" for name, value in options.items() if value]
    if budget is not None:
        given.append(f"run.budget_s={_seconds(budget)}")
    settings = load_settings(file, [*(assignments or ()), *given])
    if archive is not None:
        try:
            root = archive.resolve()
        except (OSError, RuntimeError) as error:  # links that run in circles
            raise SettingsError(f"archive {one_line(archive)} cannot be followed: {error}") from error
        if not root.exists():
            raise SettingsError(f"archive {one_line(root)} does not exist")
        settings = settings.model_copy(update={"archive": settings.archive.model_copy(update={"root": root})})
    if out is not None:
        root = out.resolve()
        if root.exists() and not root.is_dir():
            raise SettingsError(f"OUT {root} is a file; a folder for the products is wanted")
        settings = settings.model_copy(update={"output": settings.output.model_copy(update={"root": root})})
    return settings


def _seconds(budget: str) -> float:
    try:
        return duration_s(budget)
    except ValueError as error:
        raise SettingsError(f"--budget: {error}") from error


def numbers_of(option: str, words: str) -> list[float]:
    """The numbers of an option, said with commas between them.

    Raises:
        SettingsError: Something else is said.
    """
    try:
        return [float(word) for word in words.split(",")]
    except ValueError:
        raise SettingsError(f"{option} {words}: numbers with commas between them are wanted") from None


def print_json(plain: Any) -> None:
    """To standard output, one document; a number that is not finite becomes null."""
    from pipeline.text import plain_json

    typer.echo(json.dumps(plain_json(plain), indent=1))

"""The command `thermal-sr`."""

import typer

app = typer.Typer()

"""Several nights over one archive at the same time: every scene is published once, every report adds up.

    python -m tests.fleet.many_nights --nights 8 --scenes 50

Every night is a process of its own, as it is when cron starts a second one before the first
has ended; they share one Prefect server on Postgres, as on a cluster.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from pipeline.products.layout import published_folders
from pipeline.products.publish import verify
from tests.fleet.postgres import postgres
from tests.fleet.prefect_server import prefect_server
from tests.fleet.tiny import CHEAP, cheap_settings, write_archive

THERMAL_SR = Path(sys.executable).with_name("thermal-sr")


def at_once(nights: int, archive: Path, out: Path, environment: Mapping[str, str]) -> list[dict[str, Any]]:
    """Reports of nights that were started together."""
    cheap = [word for setting in CHEAP for word in ("--set", setting)]
    command = [str(THERMAL_SR), "run", str(archive), str(out), "--json", *cheap]
    with ExitStack() as stack:
        heard = [stack.enter_context(tempfile.TemporaryFile("w+")) for _ in range(nights)]
        running = [
            subprocess.Popen(
                command,
                env={**os.environ, **environment, "OMP_NUM_THREADS": "1"},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
            for log in heard
        ]
        return [
            _report(process.communicate()[0], process, log)
            for process, log in zip(running, heard, strict=True)
        ]


def _report(answer: str, process: subprocess.Popen[str], log: IO[str]) -> dict[str, Any]:
    if process.returncode:
        log.seek(0)
        raise RuntimeError(f"a night ended with {process.returncode}: {log.read()[-3000:]}")
    return json.loads(answer)


def faults(reports: list[dict[str, Any]], archive: Path, out: Path, scenes: int) -> list[str]:
    """What is wrong after such a night, a line each."""
    settings = cheap_settings(archive, out)
    recipe = out / settings.recipe.label
    products = list(published_folders(recipe))
    for product in products:
        verify(product)
    wrong = []
    if len({product.name for product in products}) != scenes or len(products) != scenes:
        wrong.append(f"{len(products)} products of {scenes} scenes")
    if left := [path.name for path in recipe.rglob(".tmp-*")]:
        wrong.append(f"left behind: {', '.join(left)}")
    for number, report in enumerate(reports):
        if report["found"] != scenes:
            wrong.append(f"night {number} found {report['found']} of {scenes}")
        if sum(report["counts"].values()) != report["found"]:
            wrong.append(f"night {number}: the counts {report['counts']} are not {report['found']}")
        if report["counts"]["done"] + report["counts"]["already done"] != scenes:
            wrong.append(f"night {number}: {report['counts']}")
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nights", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--scenes", type=int, default=50)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nights-") as folder:
        work = Path(folder)
        work.chmod(0o755)  # Postgres runs as another user
        archive = write_archive(work / "archive", options.scenes)
        with (
            postgres(work / "postgres") as database,
            prefect_server(work / "server", {"PREFECT_SERVER_DATABASE_CONNECTION_URL": database}) as server,
        ):
            print("nights  scenes  products  seconds  wrong", flush=True)
            for nights in options.nights:
                out, start = work / f"out-{nights}", time.monotonic()
                reports = at_once(nights, archive, out, server.client)
                wrong = faults(reports, archive, out, options.scenes)
                made = len(list(published_folders(out / cheap_settings(archive, out).recipe.label)))
                seconds = time.monotonic() - start
                figures = f"{nights:>6}  {options.scenes:>6}  {made:>8}  {seconds:>7.0f}"
                print(f"{figures}  {'; '.join(wrong) or '-'}", flush=True)


if __name__ == "__main__":
    main()

"""A night goes on when its Prefect server is restarted, and ends in a report when it stays away."""

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from pipeline.commands.options import EXIT_SOME_FAILED
from pipeline.products.layout import published_folders
from tests.fleet.prefect_server import prefect_server
from tests.fleet.tiny import CHEAP, TRAINED, cheap_settings, write_archive
from tests.fleet.waiting import free_port, wait_for

SCENES, DOWN_S = 4, 8


@contextmanager
def night_of(command, environment):
    """A night that is killed at the end, if it still runs."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, text=True, **pipes) as night:
        try:
            yield night
        finally:
            night.kill()


def wait_for_a_product(recipe):
    what = "a first product"
    wait_for(lambda: list(published_folders(recipe)), within_s=300, what=what, every_s=0.1)


@pytest.mark.slow
def test_a_restart_of_the_server_costs_the_night_no_scene(tmp_path):
    archive, out, port = write_archive(tmp_path / "archive", SCENES), tmp_path / "out", free_port()
    training = [*TRAINED, "recipe.train.steps=100"]
    recipe = out / cheap_settings(archive, out, training).recipe.label
    words = [word for setting in (*CHEAP, *training) for word in ("--set", setting)]
    command = [Path(sys.executable).with_name("thermal-sr"), "run", archive, out, "--json", *words]
    with ExitStack() as stack:
        with prefect_server(tmp_path / "server", port=port) as server:
            environment = {**os.environ, **server.client, "OMP_NUM_THREADS": "1"}
            night = stack.enter_context(night_of(command, environment))
            wait_for_a_product(recipe)
        before = len(list(published_folders(recipe)))
        time.sleep(DOWN_S)
        with prefect_server(tmp_path / "server", port=port):
            _, told = night.communicate(timeout=200)
    assert before < SCENES, "the night was over before the server went"
    assert night.returncode == 0, told
    assert len(list(published_folders(recipe))) == SCENES


IMPATIENT = """
import sys
from flows import cli, in_place
in_place.PATIENCE_S = (0.5,)
sys.exit(cli.main())
"""


@pytest.mark.slow
def test_where_the_server_stays_away_the_night_ends_and_its_report_counts_what_is_left(tmp_path):
    archive, out = write_archive(tmp_path / "archive", SCENES), tmp_path / "out"
    training = [*TRAINED, "recipe.train.steps=100"]
    recipe = out / cheap_settings(archive, out, training).recipe.label
    words = [word for setting in (*CHEAP, *training) for word in ("--set", setting)]
    command = [sys.executable, "-c", IMPATIENT, "run", archive, out, *words]
    with ExitStack() as stack:
        with prefect_server(tmp_path / "server") as server:
            alone = {"OMP_NUM_THREADS": "1", "PREFECT_CLIENT_MAX_RETRIES": "0"}
            night = stack.enter_context(night_of(command, {**os.environ, **server.client, **alone}))
            wait_for_a_product(recipe)
        _, told = night.communicate(timeout=120)
    made = len(list(published_folders(recipe)))
    assert made < SCENES, "the night was over before the server went"
    assert night.returncode == EXIT_SOME_FAILED, told
    assert "the night ended early: no Prefect server" in told
    (file,) = (recipe / "reports").glob("night-*.json")
    report = json.loads(file.read_text())
    assert "no Prefect server" in report["faults"][0]
    assert sum(report["counts"].values()) == report["found"] == SCENES
    assert report["counts"]["left for the next run"] >= SCENES - made

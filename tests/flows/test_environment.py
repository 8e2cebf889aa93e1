"""Odd environments: a night in place needs nothing of the user's Prefect; the rest is said in one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fleet.nightly_service import THERMAL_SR
from tests.fleet.tiny import CHEAP, write_archive
from tests.fleet.waiting import free_port

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
WORDS = [word for setting in CHEAP for word in ("--set", setting)]


@pytest.fixture
def run(tmp_path):
    """Runs a night over one scene in an environment of its own."""
    command = [THERMAL_SR, "run", write_archive(tmp_path / "archive", 1), tmp_path / "out", *WORDS]

    def night(environment, *more, before=""):
        mine = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        return subprocess.run(
            ["bash", "-c", f'{before} exec "$@"', "-", *command, *more],
            env={**mine, "OMP_NUM_THREADS": "1", **environment},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=200,
        )

    return night


def test_a_prefect_of_the_user_that_is_broken_in_every_way_does_not_matter(run, tmp_path):
    (tmp_path / "profiles.toml").write_text('active = "x')
    answer = run(
        {
            "PREFECT_PROFILES_PATH": str(tmp_path / "profiles.toml"),
            "PREFECT_PROFILE": "nobody",
            "PREFECT_HOME": "/proc/nowhere",
            "PREFECT_LOGGING_LEVEL": "banana",
            "PREFECT_API_REQUEST_TIMEOUT": "soon",
            "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": "sqlite+aiosqlite:///:memory:",
            "PREFECT_API_URL": f"http://127.0.0.1:{free_port()}/api",
            "PYTHONIOENCODING": "ascii",
            "HOME": "/proc/nowhere",
            "XDG_CACHE_HOME": "",
        }
    )
    assert answer.returncode == 0, answer.stderr
    assert "1 found: 1 done" in answer.stdout
    assert answer.stderr.count("does not answer: ConnectError: this night is told to a server of its") == 1
    assert "Traceback" not in answer.stderr


def test_a_limit_on_the_size_of_files_is_a_line_with_the_mend(run):
    answer = run({"XDG_CACHE_HOME": "/proc/nowhere"}, before="ulimit -f 64;")
    assert answer.returncode == 3, answer.stderr
    assert "no limit on the size of files (ulimit -f)?" in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize(
    ("environment", "code", "said"),
    [
        ({}, 2, "setting run.dispatch is pool, and no server is named: set PREFECT_API_URL"),
        ({"PREFECT_API_URL": "http://127.0.0.1:9/api"}, 3, "does not answer: ConnectError; start that"),
        ({"PREFECT_API_REQUEST_TIMEOUT": "soon"}, 2, "your Prefect settings cannot be read"),
    ],
    ids=["none", "dead", "broken"],
)
def test_a_pool_without_a_server_is_a_line_with_the_mend(run, tmp_path, environment, code, said):
    answer = run({"PREFECT_HOME": str(tmp_path / "home"), **environment}, "--set", "run.dispatch=pool")
    assert answer.returncode == code, answer.stderr
    assert said in answer.stderr
    assert "Traceback" not in answer.stderr


def test_doctor_says_that_prefect_s_settings_are_broken_and_watch_needs_none_of_them(tmp_path):
    (tmp_path / "profiles.toml").write_text('active = "x')
    url = f"http://127.0.0.1:{free_port()}/api"
    broken = {**os.environ, "PREFECT_PROFILES_PATH": str(tmp_path / "profiles.toml"), "PREFECT_API_URL": url}
    asked = {"doctor": [], "watch": [tmp_path]}
    doctor, watch = (
        subprocess.run([THERMAL_SR, verb, *words], env=broken, capture_output=True, text=True, timeout=100)
        for verb, words in asked.items()
    )
    assert doctor.returncode == 2
    assert "thermal-sr: your Prefect settings cannot be read: " in doctor.stderr
    assert "mend it with `prefect config validate`" in doctor.stderr
    assert "Traceback" not in doctor.stderr
    assert watch.returncode == 0, watch.stderr
    assert "ConnectError: only nights below OUT are seen" in watch.stderr


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"PREFECT_PROFILES_PATH": "broken"}, "your Prefect settings cannot be read: "),
        ({"PREFECT_HOME": "home"}, "no server is named: set PREFECT_API_URL"),
        ({"PREFECT_API_URL": "http://127.0.0.1:9/api"}, "does not answer: ConnectError; start that server"),
    ],
    ids=["profile", "none", "dead"],
)
def test_automations_without_a_server_are_a_line_with_the_mend(tmp_path, environment, said):
    (tmp_path / "broken").write_text('active = "x')
    mine = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    answer = subprocess.run(
        [sys.executable, "-m", "flows.automations"],
        env={**mine, "PYTHONPATH": str(ROOT), **environment},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert answer.returncode == 1
    assert answer.stderr.splitlines()[-1].startswith("flows.automations: ")  # Prefect may have warned before
    assert said in answer.stderr
    assert "Traceback" not in answer.stderr

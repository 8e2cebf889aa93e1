"""Killed at any of sixteen points, a scene is neither lost, nor made twice, nor ever half visible."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fleet.kill_points import POINTS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def kills():
    """One kill at each point; `python -m tests.fleet.kill_points --times 5` does five."""
    answer = subprocess.run(
        [sys.executable, "-m", "tests.fleet.kill_points", "--times", "1", "--json"],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=800,
    )
    assert answer.stdout, answer.stderr
    return {row["point"]: row for row in json.loads(answer.stdout)}


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_a_night_after_a_kill_ends_as_if_there_had_been_none(kills, point):
    assert kills[point]["killed"], "the point was never passed"
    assert kills[point]["wrong"] == []

"""Where the daemons of the tests listen: two sessions on one machine never meet."""

import subprocess
import sys
from pathlib import Path

from tests.fleet.waiting import PORTS, free_port

ROOT = Path(__file__).parents[2]
CHOOSE = "from tests.fleet.waiting import free_port; print(*[free_port() for _ in range(200)]); input()"


def test_no_port_is_given_twice():
    ports = [free_port() for _ in range(500)]
    assert len(set(ports)) == 500
    assert set(ports) <= set(PORTS)


def test_sessions_that_choose_at_the_same_time_never_meet():
    sessions = [
        subprocess.Popen(
            [sys.executable, "-c", CHOOSE], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(8)
    ]
    ports = [port for session in sessions for port in session.stdout.readline().split()]
    for session in sessions:
        session.communicate("\n")
    assert len(ports) == len(set(ports)) == 8 * 200

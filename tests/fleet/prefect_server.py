"""A real Prefect server on this machine for the length of a test run, authentication on as in production."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.fleet.waiting import free_port, wait_for

AUTH = "night:canary-7f3a9c"  # must never be seen in a log, a product, a parameter or an answer
QUIET = {"DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}


@dataclass(frozen=True)
class PrefectServer:
    """A running server.

    Attributes:
        home: Its folder: database and log.
        client: Environment of a process that talks to it.
    """

    home: Path
    client: Mapping[str, str]

    def cli(
        self, *arguments: str, cwd: Path | None = None, environment: Mapping[str, str] | None = None
    ) -> str:
        """Standard output of `prefect ARGUMENTS`; a failing command is an error."""
        answer = subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
            env={**os.environ, **self.client, **(environment or {})},
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=300,
        )
        if answer.returncode:
            raise RuntimeError(
                f"prefect {' '.join(arguments)}: {answer.stderr.strip()} {answer.stdout.strip()}"
            )
        return answer.stdout


@contextmanager
def prefect_server(
    home: Path, settings: Mapping[str, str] | None = None, port: int | None = None
) -> Iterator[PrefectServer]:
    """A server on SQLite in `home`, stopped afterwards.

    Args:
        home: Its folder; what an earlier server left there is taken up.
        settings: Further PREFECT_ variables, e.g. another database.
        port: Where to listen, if not anywhere.
    """
    home.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    client = {
        **QUIET,
        "PREFECT_HOME": str(home / "client"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_API_AUTH_STRING": AUTH,
    }
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")},
        **QUIET,
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_API_AUTH_STRING": AUTH,
        "PREFECT_API_AUTH_STRING": AUTH,
        **(settings or {}),
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (home / "server.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        running = PrefectServer(home, client)
        wait_for(lambda: _answers(running, server), within_s=120, what="the Prefect server")
        yield running
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def _answers(server: PrefectServer, process: subprocess.Popen[bytes]) -> bool:
    if process.poll() is not None:
        log = (server.home / "server.log").read_text()[-1000:]
        raise RuntimeError(f"the Prefect server ended with {process.returncode}: {log}")
    try:
        return httpx.get(f"{server.client['PREFECT_API_URL']}/health", timeout=2).is_success
    except httpx.TransportError:
        return False

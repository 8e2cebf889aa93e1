"""A Prefect server of our own, on loopback: for one night, or for a service over all its nights.

It has its own database, its own password and nothing of the user's Prefect: no profile, no
variable. It ends with the process that started it, also when that is killed.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from urllib.request import urlopen

from flows import PREFECT_DEFAULTS
from flows.stopping import STOP
from pipeline.files import write_bytes
from pipeline.text import one_line

START_S = 120.0
PORT_S = 10.0  # a server whose owner was killed is gone within less
ADDRESS, LOG, DATABASE = "server.json", "server.log", "prefect.db"


@contextlib.contextmanager
def own_server(home: Path, *, lasting: bool) -> Iterator[Mapping[str, str]]:
    """A server that answers; ended afterwards.

    Args:
        home: Its folder. What an earlier server left there is taken up: port, password and database.
        lasting: With schedules, automations and pages for people; without, only for the runs of one night.

    Yields:
        The environment of whoever talks to it, which holds its password.

    Raises:
        OSError: It does not begin: no room, no port.
        StoppedError: The night was told to end meanwhile.
    """
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = not (home / DATABASE).exists()
    if new:
        _copy(_template(), home / DATABASE)
    port, password = _address(home / ADDRESS)
    with _bound(port, patience_s=PORT_S if lasting else 0.0) as place:
        port = place.getsockname()[1]
        if lasting:
            _remember(home / ADDRESS, port, password)
        client = client_environment(home, port, password)
        with (home / LOG).open("wb") as log:
            server = subprocess.Popen(
                [sys.executable, "-m", "flows.server_process", str(place.fileno())],
                env=_server_environment(home, port, password, lasting=lasting),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=[place.fileno()],
                start_new_session=True,  # Ctrl-C is for the night, which still has to tell how it ended
                cwd=Path(__file__).parents[1],
            )
    try:
        _wait_for(server, client["PREFECT_API_URL"], home / LOG)
        if new:
            _copy(home / DATABASE, _template())
        yield client
    finally:
        _end(server)


def client_environment(home: Path, port: int, password: str) -> dict[str, str]:
    """What a process needs to talk to the server at that port, and nothing of the user's Prefect."""
    return {
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_API_AUTH_STRING": password,
        "PREFECT_HOME": str(home),
        "PREFECT_PROFILES_PATH": str(home / "profiles.toml"),
    }


def cleaned(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment with our defaults for Prefect in place of the user's, but for how loud it logs."""
    kept = {name: value for name, value in environment.items() if not name.startswith("PREFECT_")}
    level = environment.get("PREFECT_LOGGING_LEVEL", "").upper()
    loud = {"PREFECT_LOGGING_LEVEL": level} if level in logging.getLevelNamesMapping() else {}
    return {**kept, **PREFECT_DEFAULTS, **loud}


def _server_environment(home: Path, port: int, password: str, *, lasting: bool) -> dict[str, str]:
    small = {} if lasting else {"PREFECT__SERVER_EPHEMERAL": "1", "PREFECT_UI_ENABLED": "0"}
    return {
        **cleaned(os.environ),
        **client_environment(home, port, password),
        **small,
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "PREFECT_SERVER_API_AUTH_STRING": password,
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(home / "ui"),  # its pages are copied there
        "PREFECT_UI_API_URL": f"http://127.0.0.1:{port}/api",
    }


def _address(file: Path) -> tuple[int, str]:
    """Port and password of the server that was here before; 0 and a new one where there was none."""
    try:
        plain = json.loads(file.read_text(encoding="utf-8"))
        port, password = int(plain["port"]), str(plain["password"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0, f"thermal-sr:{secrets.token_urlsafe(18)}"
    return (port if 0 < port < 65_536 else 0), password


def _remember(file: Path, port: int, password: str) -> None:
    write_bytes(file, json.dumps({"port": port, "password": password}).encode())
    file.chmod(0o600)


def _bound(port: int, patience_s: float) -> socket.socket:
    """A socket at that port of loopback, or at a free one where it is 0, or taken for longer than that."""
    tries = [port] * (1 + int(patience_s)) if port else []
    for wanted in (*tries, 0):
        place = socket.socket()
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            place.bind(("127.0.0.1", wanted))
        except OSError as error:
            place.close()
            fault = error
            STOP.get().sleep(1.0 if wanted else 0.0)
        else:
            return place
    raise OSError(
        f"no free port on 127.0.0.1 for the local Prefect server ({fault.strerror}): close a program that "
        "listens, or set PREFECT_API_URL to a server that runs"
    )


def _wait_for(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    until = time.monotonic() + START_S
    while server.poll() is None and time.monotonic() < until:
        STOP.get().check()
        with contextlib.suppress(OSError), urlopen(f"{url}/health", timeout=5):  # noqa: S310 - http, our own
            return
        STOP.get().sleep(0.1)
    said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    why = next((line for line in reversed(said) if "Error" in line), said[-1] if said else "it said nothing")
    how = f"ended with {server.returncode}" if server.returncode is not None else f"not up in {START_S:.0f} s"
    raise OSError(
        f"the local Prefect server in {log.parent}: {how} ({one_line(why, 200)}); is there room for its "
        "database, and no limit on the size of files (ulimit -f)?"
    )


def _end(server: subprocess.Popen[bytes]) -> None:
    assert server.stdin is not None
    server.stdin.close()
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _template() -> Path:
    """A database without a run, kept between nights: making one takes several seconds."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return cache / "thermal-sr" / f"prefect-{version('prefect')}.db"


def _copy(database: Path, copy: Path) -> None:
    """Copy a database that another process may be using, where there is one and no copy yet."""
    unfinished = copy.with_name(f"{copy.name}.{os.getpid()}")
    if copy.exists() or not database.exists():
        return
    with contextlib.suppress(OSError, sqlite3.Error):  # it only saves time
        copy.parent.mkdir(parents=True, exist_ok=True)
        source, target = sqlite3.connect(database), sqlite3.connect(unfinished)
        with contextlib.closing(source), contextlib.closing(target):
            source.backup(target)
        unfinished.replace(copy)
    unfinished.unlink(missing_ok=True)

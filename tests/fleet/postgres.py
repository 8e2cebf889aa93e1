"""A fresh Postgres on this machine for the length of a test run, as a shared Prefect server wants it.

On SQLite the server loses events when several workers talk at once ("database is locked"), and with a lost
heartbeat a dead run is never noticed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.fleet.packages import NotInstalledError, install
from tests.fleet.waiting import free_port

OWNER = "postgres"  # the server refuses to run as root


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """Address of an empty database, for SQLAlchemy.

    Raises:
        NotInstalledError: Postgres is not here and cannot be had.
    """
    programs = find_programs()
    folder.mkdir(mode=0o755)
    shutil.chown(folder, OWNER)
    data, port = folder / "data", free_port()

    def run(program: str, *arguments: str | Path) -> None:
        command = ["runuser", "--user", OWNER, "--", programs / program, *arguments]
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL)

    run("initdb", "--pgdata", data, "--auth", "trust", "--encoding", "UTF8", "--no-sync")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
    run("pg_ctl", "--pgdata", data, "--wait", "--log", folder / "log", "--options", options, "start")
    try:
        run("createdb", "--host", "127.0.0.1", "--port", str(port), "prefect")
        yield f"postgresql+asyncpg://{OWNER}@127.0.0.1:{port}/prefect"
    finally:
        run("pg_ctl", "--pgdata", data, "--mode", "immediate", "--wait", "stop")


def find_programs() -> Path:
    """Folder of Postgres' programs."""
    folders = Path("/usr/lib/postgresql")
    if os.geteuid() != 0:
        raise NotInstalledError("Postgres is started as its own user here, and this is not root")
    if not list(folders.glob("*/bin/initdb")):
        install("postgresql")
    found = sorted(folders.glob("*/bin/initdb"))
    if not found:
        raise NotInstalledError(f"no Postgres in {folders}")
    return found[-1].parent

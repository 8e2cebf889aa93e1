"""A Prefect server that ends with whoever started it: `python -m flows.server_process SOCKET`.

SOCKET is the number of an inherited file descriptor, bound to a port already. Standard input
is a pipe that the owner holds and never writes to: when the owner is gone, however it went,
the pipe ends, and so does the server.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable

GRACE_S = 5.0


def when_owner_ends(call: Callable[[], None]) -> None:
    """Call something once, in a thread, when the pipe at standard input ends."""

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 1024):
            pass
        call()

    threading.Thread(target=wait, name="owner", daemon=True).start()


def _end() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Serve until the owner is gone."""
    when_owner_ends(_end)
    import uvicorn
    from prefect.server.api.server import create_app

    config = uvicorn.Config(create_app(final=True), log_level="warning", lifespan="on")
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(sys.argv[1]))])


if __name__ == "__main__":
    main()

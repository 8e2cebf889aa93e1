"""A night that a schedule began: `python -m flows.scheduled RUN LOCK`; it ends with the service."""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path
from uuid import UUID

from flows.locks import locked
from flows.server_process import when_owner_ends
from flows.stopping import exit_code, leave, stoppable
from pipeline.commands.options import EXIT_INVALID_INPUT, EXIT_OK
from pipeline.errors import SettingsError
from pipeline.text import one_line

log = logging.getLogger(__name__)


def main() -> None:
    """Hold the night that the server's run of this id is."""
    when_owner_ends(lambda: os.kill(os.getpid(), signal.SIGTERM))
    run_id, lock = sys.argv[1:]
    leave(stoppable(lambda: _hold(run_id, Path(lock))))


def _hold(run_id: str, lock: Path) -> int:
    with locked(lock):
        try:
            return _night(run_id)
        except (SettingsError, OSError) as error:
            log.error("the night could not be held: %s", error)
            _tell(run_id, one_line(error))
            return EXIT_INVALID_INPUT


def _night(run_id: str) -> int:
    from prefect.flow_engine import load_flow_run
    from pydantic import ValidationError

    from flows.night import run_night
    from pipeline.settings import Settings

    try:
        settings = Settings.model_validate(load_flow_run(UUID(run_id)).parameters.get("settings"))
    except ValidationError as error:
        raise SettingsError(f"parameter settings of run {run_id}: {one_line(error)}") from error
    report = run_night(settings, run_id=run_id)
    return exit_code(report["ended_by"]) if report["ended_by"] else EXIT_OK


def _tell(run_id: str, reason: str) -> None:
    """Tell the server that the night has failed, where its flow could not."""
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.states import Failed

    try:
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(UUID(run_id)).state
            if state is None or not state.is_final():
                client.set_flow_run_state(UUID(run_id), Failed(message=reason), force=True)
    except httpx.HTTPError as error:
        log.warning("this is not told to the server: %s", one_line(error))


if __name__ == "__main__":
    main()

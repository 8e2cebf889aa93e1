"""The nightly service of one machine: it keeps an archive's schedule and holds its nights, one at a time.

The schedule lies on a Prefect server, where every night is a run that people can look at, start
and cancel. Each night is a process of its own, which ends with the service; whatever a killed
service left on the server is put right when it begins again.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, cast
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterParentFlowRunId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import FlowRunResponse, SetStateStatus
from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.schedules import Cron
from prefect.states import Cancelled, Crashed, Pending
from pydantic import ValidationError

from flows.ingest import ingest
from flows.locks import locked
from flows.notify import notifications
from flows.rules import install
from flows.states import MISSED
from flows.stopping import STOP
from flows.tags import night_tags, place_name, plain_name
from pipeline.errors import SettingsError
from pipeline.settings import Settings
from pipeline.text import one_line

log = logging.getLogger(__name__)

Missed = Literal["catch-up", "skip"]
LOOK_S = 10.0
CANCELED_S = 5  # between looks whether a night was canceled
LATE = timedelta(seconds=90)
GRACE_S = 25.0
NIGHT_LOCK = "night.lock"
_AT_WORK = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]


@dataclass(frozen=True)
class Service:
    """What is served.

    Attributes:
        settings: The whole tree, with archive and OUT.
        cron: When nights begin, in UTC.
        missed: What becomes of a night that could not begin in time: it is held once the service can
            (several are one), or it is skipped.
        state: Folder of locks.
    """

    settings: Settings
    cron: str
    missed: Missed
    state: Path

    @property
    def name(self) -> str:
        """Of the deployment: an archive and its products have one, on whatever server."""
        return plain_name(f"nightly-{place_name(self.settings)}")


def check_cron(cron: str) -> None:
    """Refuse what is no schedule.

    Raises:
        SettingsError: It is none.
    """
    try:
        CronSchedule(cron=cron, timezone="UTC")
    except (ValidationError, ValueError) as error:
        raise SettingsError(
            f"--cron {one_line(cron)!r} is no schedule; minute, hour, day, month and weekday are wanted, "
            'as in "15 2 * * *"'
        ) from error


def hold_nights(service: Service) -> None:
    """Hold every night of the schedule until told to end.

    Raises:
        SettingsError: The server has something else under this name.
        httpx.HTTPError: The server stays away.
    """
    with get_client(sync_client=True) as client:
        deployment = deploy(client, service)
        with locked(service.state / NIGHT_LOCK, patience_s=GRACE_S, end_holder=True):
            put_right(client, deployment)
        for line in install(client, notifications()):
            log.info(line)
        while not STOP.get().heard:
            now = datetime.now(UTC)
            soon = client.get_scheduled_flow_runs_for_deployments(
                [deployment], scheduled_before=now + timedelta(seconds=LOOK_S)
            )
            begins = [start for run in soon if (start := begin_of(run)) is not None]
            if (run := next_night(client, soon, now, service.missed)) is not None:
                _hold(client, run, service)
            else:
                until_s = (min(begins) - now).total_seconds() if begins else LOOK_S
                STOP.get().sleep(min(max(until_s, 0.2), LOOK_S))


def deploy(client: SyncPrefectClient, service: Service) -> UUID:
    """Write the schedule to the server; returns the deployment's id.

    Raises:
        SettingsError: A deployment of this name sends its runs to a work pool.
    """
    full = f"ingest/{service.name}"
    with contextlib.suppress(ObjectNotFound):
        if (pool := client.read_deployment_by_name(full).work_pool_name) is not None:
            raise SettingsError(
                f"the server has a deployment {full} already, which sends its nights to the pool {pool}; "
                f"delete it: prefect deployment delete {full}"
            )
    made = ingest.to_deployment(
        service.name,
        schedule=Cron(service.cron, timezone="UTC"),
        parameters={"settings": service.settings.model_dump(mode="json")},
        tags=night_tags(service.settings),
        description=f"Nights over {service.settings.archive.root}, held by `thermal-sr serve`.",
        enforce_parameter_schema=False,
    )
    identity = cast(RunnerDeployment, made).apply()
    assert isinstance(identity, UUID)
    return identity


def put_right(client: SyncPrefectClient, deployment: UUID) -> None:
    """Tell the server that nights are over whose process is gone, and so are their scenes."""
    state = FlowRunFilterState(type=FlowRunFilterStateType(any_=_AT_WORK))
    nights = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[deployment]), state=state)
    for night in client.read_flow_runs(flow_run_filter=nights):
        _bury(client, night, "its process was gone when the service began again")


def begin_of(run: FlowRunResponse | FlowRun) -> datetime | None:
    """When a run is to begin."""
    return run.next_scheduled_start_time or run.expected_start_time


def next_night(
    client: SyncPrefectClient, soon: Sequence[FlowRunResponse], now: datetime, missed: Missed
) -> FlowRunResponse | None:
    """The run to begin at this time, if any; nights that it replaces, or that are skipped, end as missed."""
    due = sorted(
        ((start, run) for run in soon if (start := begin_of(run)) is not None and start <= now),
        key=lambda pair: pair[0],
    )
    kept = [
        (start, run)
        for start, run in due
        if missed == "catch-up" or now - start <= LATE or not run.auto_scheduled
    ]
    chosen = kept[-1][1] if kept else None
    for start, run in due:
        if chosen is None or run.id != chosen.id:
            why = "a later night takes its scenes" if chosen else "nobody could hold it in time"
            log.warning("the night of %s is missed: %s", f"{start:%Y-%m-%d %H:%M}", why)
            client.set_flow_run_state(run.id, Cancelled(name=MISSED, message=why), force=True)
    return chosen


def _hold(client: SyncPrefectClient, run: FlowRunResponse, service: Service) -> None:
    """One night, in a process of its own."""
    if run.auto_scheduled:  # a night that was planned before the settings changed
        client.update_flow_run(run.id, parameters={"settings": service.settings.model_dump(mode="json")})
    if client.set_flow_run_state(run.id, Pending()).status != SetStateStatus.ACCEPT:
        return  # held by another service, or canceled
    log.info("a night begins: run %s", run.id)
    command = [sys.executable, "-m", "flows.scheduled", str(run.id), str(service.state / NIGHT_LOCK)]
    night = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    with _ended(night):
        for second in itertools.count(1):
            STOP.get().sleep(1.0)
            if night.poll() is not None or STOP.get().heard:
                break
            if second % CANCELED_S == 0 and _canceled(client, run.id):
                break
    log.info("the night has ended with exit code %s", night.returncode)
    after = client.read_flow_run(run.id)
    if after.state is not None and after.state.is_cancelling():
        client.set_flow_run_state(run.id, Cancelled(message="canceled; its report is written"), force=True)
    elif after.state is None or not after.state.is_final():
        _bury(client, after, f"its process ended with exit code {night.returncode}")


@contextlib.contextmanager
def _ended(night: subprocess.Popen[bytes]) -> Iterator[None]:
    """Afterwards the process has ended, by itself or told to."""
    try:
        yield
    finally:
        if night.poll() is None:
            night.terminate()
        try:
            night.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            night.kill()
            night.wait()
        assert night.stdin is not None
        night.stdin.close()


def _canceled(client: SyncPrefectClient, run: UUID) -> bool:
    """Whether somebody canceled the run, as far as the server answers."""
    try:
        state = client.read_flow_run(run).state
    except httpx.HTTPError:
        return False
    return state is not None and (state.is_cancelling() or state.is_cancelled())


def _bury(client: SyncPrefectClient, night: FlowRun, why: str) -> None:
    state = FlowRunFilterState(type=FlowRunFilterStateType(any_=_AT_WORK))
    below = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[night.id]), state=state)
    for run in (*client.read_flow_runs(flow_run_filter=below), night):
        log.warning("%s: %s", run.name, why)
        client.set_flow_run_state(run.id, Crashed(message=why), force=True)

"""How far the last night is, as the server knows it: its scenes may run on any machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterName,
    FlowRunFilterTags,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort, LogSort

from flows.heartbeat import AtWork
from flows.states import SCENE_STATES
from flows.watching import Sight
from pipeline.text import one_line
from pipeline.times import iso_utc

PAGE = 200  # the most that a server gives at once
LONGEST_NIGHT = timedelta(days=2)
_SCENES = FlowFilter(name=FlowFilterName(any_=["scene"]))
Item = TypeVar("Item")


def nights_of(recipe: str) -> Sight | None:
    """The scenes of a recipe that wait, run, or have ended since the last night began.

    Returns:
        None where none waits or runs.

    Raises:
        httpx.HTTPError: The server does not answer.
    """
    with get_client(sync_client=True) as client:
        begin = _last_night(client)
        tags = FlowRunFilter(tags=FlowRunFilterTags(all_=["thermal-sr", f"recipe:{recipe}"]))
        of_recipe: dict[str, Any] = {
            "flow_filter": _SCENES,
            "flow_run_filter": tags,
            "sort": FlowRunSort.END_TIME_DESC,
        }
        runs = _all(lambda offset: client.read_flow_runs(**of_recipe, limit=PAGE, offset=offset))
        open_runs, ended = [], Counter[str]()
        for run in runs:
            if run.state is None or not run.state.is_final():
                open_runs.append(run)
            elif run.end_time is not None and run.end_time >= begin:
                ended[_outcome(run)] += 1
        if not open_runs:
            return None
        running = [run for run in open_runs if run.state_type == StateType.RUNNING]
        return Sight(sum(ended.values()) + len(open_runs), dict(ended), _at_work(client, running))


def lines_of(scene_id: str) -> list[str]:
    """What the last run of a scene has logged, oldest first."""
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(
            flow_filter=_SCENES,
            flow_run_filter=FlowRunFilter(name=FlowRunFilterName(like_=scene_id)),
            sort=FlowRunSort.EXPECTED_START_TIME_DESC,
            limit=1,
        )
        if not runs:
            return []
        of_run = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[runs[0].id]))
        logs = _all(
            lambda offset: client.read_logs(of_run, sort=LogSort.TIMESTAMP_ASC, limit=PAGE, offset=offset)
        )
        return [f"{iso_utc(entry.timestamp)} {one_line(entry.message)}" for entry in logs]


def _last_night(client: SyncPrefectClient) -> datetime:
    nights = client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=["ingest"])),
        sort=FlowRunSort.START_TIME_DESC,
        limit=1,
    )
    begun = [night.start_time for night in nights if night.start_time is not None]
    return max([*begun, datetime.now(UTC) - LONGEST_NIGHT])


def _outcome(run: FlowRun) -> str:
    """The word of records for how a run ended, or what the server calls it."""
    words = {state: status for status, state in SCENE_STATES.items()}
    return words.get(run.state_name or "", (run.state_name or "over").lower())


def _at_work(client: SyncPrefectClient, running: Sequence[FlowRun]) -> AtWork:
    found: AtWork = {run.name: (0.0, "begins") for run in running}
    names = {run.id: run.name for run in running}
    of_runs = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=list(names)))
    for artifact in client.read_artifacts(artifact_filter=of_runs, limit=PAGE):
        if artifact.type == "progress" and artifact.flow_run_id in names:
            words = one_line(artifact.description or "").rpartition(": ")[2]
            found[names[artifact.flow_run_id]] = (float(str(artifact.data)), words)
    return found


def _all(page: Callable[[int], Sequence[Item]]) -> Iterator[Item]:
    offset = 0
    while items := page(offset):
        yield from items
        offset += len(items)

"""Handing scenes to others: to a Prefect pool that GPU workers serve, or to a SLURM array.

A scene's key on the server is its name, content, recipe and rule, so handing it out twice
makes one run. A key is never free again: a scene that still lacks a product although its run has
ended gets a new attempt under the next number.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound

from flows.tags import scene_name, scene_tags
from pipeline.archive.product_rules import rule_identity
from pipeline.errors import SettingsError
from pipeline.files import write_json
from pipeline.nights.forecast import Outlook, with_job_time
from pipeline.nights.night import turn
from pipeline.products import layout
from pipeline.scene import SceneRef
from pipeline.settings import Settings

log = logging.getLogger(__name__)

REDO, BACKFILL = "redo", "backfill"
WORKER_JOB = "thermal-sr-worker"
ATTEMPTS = 1000
SLURM_PATIENCE_S = 60.0
_REVIVAL = timedelta(hours=1)  # the automations bring a crashed run back within minutes, or nobody does
_LOST = timedelta(days=1)  # a run that began so long ago and has no product died unnoticed


@dataclass(frozen=True)
class Handed:
    """What was handed out.

    Attributes:
        scenes: Those that others will run now.
        runs: Their runs on the server, by scene_id; none where they went to a SLURM array.
        fault: What went wrong before all of them were, or before workers were asked for.
    """

    scenes: tuple[SceneRef, ...] = ()
    runs: Mapping[str, UUID] = field(default_factory=dict)
    fault: Exception | None = None


def dispatch(
    todo: Sequence[SceneRef], settings: Settings, ahead: Outlook, again: Mapping[str, str]
) -> Handed:
    """Hand every scene to whom `run.dispatch` names; nothing is raised, so that a report can be written.

    Args:
        todo: The scenes.
        settings: The whole tree.
        ahead: What the scenes are expected to take.
        again: Why scenes that have a product are to be done again, by scene_id.
    """
    handed: list[SceneRef] = []
    runs: dict[str, UUID] = {}
    try:
        if todo:
            settings = with_job_time(todo, settings, ahead)
        if todo and settings.run.dispatch == "array":
            submit_array(len(todo), settings)
            handed = list(todo)
        elif todo:
            for ref in todo:
                run = scene_run(ref, settings, again.get(ref.scene_id, ""))
                handed.append(ref)
                runs[ref.scene_id] = run.id
                log.info("%s: handed to %s, run %s", ref.scene_id, settings.run.deployment, run.id)
            ask_for_workers(settings)
    except (SettingsError, OSError, RuntimeError, ObjectNotFound) as error:
        return Handed(tuple(handed), runs, error)
    except httpx.HTTPError as error:
        away = OSError(f"the Prefect server: {type(error).__name__} {error}")
        return Handed(tuple(handed), runs, away)
    return Handed(tuple(handed), runs)


def scene_run(ref: SceneRef, settings: Settings, again: str = "") -> FlowRun:
    """The scene's run on the server: the one that waits or works, else a new attempt.

    Raises:
        SettingsError: The server has no such deployment.
        RuntimeError: All attempts have ended without a product.
    """
    parameters = {"ref": ref.to_json(), "settings": settings.model_dump(mode="json")}
    for attempt in range(1, ATTEMPTS):
        try:
            run = run_deployment(
                settings.run.deployment,
                parameters=parameters,
                timeout=0,
                as_subflow=False,
                idempotency_key=idempotency_key(ref, settings, attempt),
                flow_run_name=scene_name(ref),
                tags=scene_tags(ref, settings),
                work_queue_name=queue_of(settings, again),
            )
        except ObjectNotFound as error:
            raise SettingsError(
                f"setting run.deployment: the server has no deployment {settings.run.deployment!r}; "
                "run `prefect --no-prompt deploy --all`"
            ) from error
        assert isinstance(run, FlowRun)  # a coroutine only inside asynchronous flows
        if not is_over(run):
            return run
    raise RuntimeError(f"{ref.scene_id}: {ATTEMPTS} attempts have ended without a product")


def queue_of(settings: Settings, again: str = "") -> str | None:
    """The pool's queue for a scene: first what `redo` asks for, last a backfill and products of older code.

    The server makes a queue that it does not know, and puts it behind all others; `make_queues` makes REDO.
    """
    if turn(again) == 0:
        return REDO
    return BACKFILL if turn(again) == 2 or settings.archive.since or settings.archive.until else None


def make_queues(client: SyncPrefectClient, pool: str) -> list[str]:
    """Make a pool's queue for what `redo` asks for, before all others; what was done, a line each."""
    if REDO in {queue.name for queue in client.read_work_queues(work_pool_name=pool)}:
        return []
    client.create_work_queue(REDO, work_pool_name=pool, priority=1)
    return [f"created: queue {REDO} of pool {pool}, before all others"]


def idempotency_key(ref: SceneRef, settings: Settings, attempt: int) -> str:
    """What the server knows a scene by: name, content, recipe, its rule if any, number of the attempt."""
    rule = rule_identity(Path(ref.files[0]), settings.archive)
    return ":".join((ref.scene_id, ref.digest, settings.recipe.label, *filter(None, [rule]), str(attempt)))


def is_over(run: FlowRun) -> bool:
    """Whether no worker has this run, and none will take it."""
    state = run.state
    if state is None or state.is_scheduled() or state.timestamp is None:
        return False
    if state.is_crashed():
        return datetime.now(UTC) - state.timestamp > _REVIVAL
    return state.is_final() or datetime.now(UTC) - state.timestamp > _LOST


def ask_for_workers(settings: Settings) -> int:
    """Submit as many GPU workers as scenes wait, up to `run.slurm.workers`; returns how many.

    A worker that leaves has another name by then and is not counted.
    """
    most = settings.run.slurm.workers
    if most == 0:
        return 0
    if shutil.which("sbatch") is None:
        log.warning("no sbatch here: scenes wait until you start workers (deploy/slurm/README.md)")
        return 0
    with get_client(sync_client=True) as client:
        waiting = waiting_runs(client, settings.run.deployment)
    present = len(
        _slurm(
            ["squeue", "--me", "--array", "--noheader", f"--name={WORKER_JOB}", "--format=%i"]
        ).splitlines()
    )
    wanted = min(waiting, most - present)  # one too many leaves by itself, one too few lets a scene wait
    if wanted <= 0:
        return 0
    job = _submit(
        settings, settings.run.slurm.script, [f"--job-name={WORKER_JOB}", f"--array=1-{wanted}"], []
    )
    log.info("asked SLURM for %d workers: job %s", wanted, job)
    return wanted


def waiting_runs(client: SyncPrefectClient, deployment: str) -> int:
    """How many runs of a deployment wait for a worker."""
    identity = client.read_deployment_by_name(deployment).id
    scheduled = FlowRunFilterStateType(any_=[StateType.SCHEDULED])
    return client.count_flow_runs(
        flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=scheduled)),
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[identity])),
    )


def submit_array(scenes: int, settings: Settings) -> str:
    """Submit a SLURM array that shares the archive out; returns the job's id."""
    tasks = min(scenes, settings.run.slurm.workers or scenes)
    run = settings.run.model_copy(update={"dispatch": "in_place", "shard": ""})
    file = layout.scratch_root(settings.output.root) / f"array-{settings.recipe.label}.json"
    write_json(file, settings.model_copy(update={"run": run}).model_dump(mode="json"))
    arguments = [str(settings.archive.root), str(settings.output.root), "--settings", str(file)]
    job = _submit(settings, Path("deploy/slurm/run.sbatch"), [f"--array=1-{tasks}"], arguments)
    log.info("asked SLURM for %d tasks: job %s", tasks, job)
    return job


def _submit(settings: Settings, script: Path, options: Sequence[str], arguments: Sequence[str]) -> str:
    """Call sbatch without a shell: every word is an argument of its own, whatever a scene is called."""
    home = Path(os.environ.get("THERMAL_SR_HOME", Path(__file__).parents[1]))
    if not (home / script).is_file():
        raise SettingsError(f"setting run.slurm.script: {home / script} does not exist; set THERMAL_SR_HOME")
    logs = layout.below(settings.output.root, layout.SCRATCH, "logs")
    logs.mkdir(parents=True, exist_ok=True)
    slurm = settings.run.slurm
    site = [f"--partition={slurm.partition}"] if slurm.partition else []
    command = [
        "sbatch",
        "--parsable",
        f"--gres={slurm.gres}",
        f"--output={logs}/%x-%A_%a.log",
        *site,
        *options,
    ]
    return _slurm([*command, *slurm.options, str(home / script), *arguments], {"THERMAL_SR_HOME": str(home)})


def _slurm(command: Sequence[str], environment: dict[str, str] | None = None) -> str:
    """What a command of SLURM prints.

    Raises:
        OSError: It is not there, fails, or does not answer in time.
    """
    try:
        answer = subprocess.run(
            command,
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=SLURM_PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(f"{command[0]} did not answer within {SLURM_PATIENCE_S:.0f} s") from error
    if answer.returncode:
        raise OSError(f"{command[0]} ended with {answer.returncode}: {' '.join(answer.stderr.split())}")
    return answer.stdout.strip()

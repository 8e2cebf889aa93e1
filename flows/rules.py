"""What the shared server does when a node dies: it notices the silence and hands the scene to another worker.

A killed process cannot say that it is gone, so a run that falls silent is called
crashed, and a crashed scene waits for a worker again. Prefect's own example of such a
rule also crashes runs that merely wait; here every state in which a run may be silent is named.

The rule that brings scenes back has no limit: `flows.scene` gives up after `run.max_attempts`.
"""

from __future__ import annotations

from datetime import timedelta

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

from flows.dispatch import REDO
from flows.states import FINAL_NAMES

SILENCE_S = 90.0  # three heartbeats of 30 s, the shortest that Prefect allows
START_S = 300.0  # from a worker's claim to the first line of the flow, on a cold and busy file system
CANCEL_S = 120.0  # a worker that hears of it ends a run within half a minute

ENDED = (*FINAL_NAMES, "Cancelled", "Crashed", "TimedOut")
WAITING = (
    "AwaitingRetry",
    "AwaitingConcurrencySlot",
    "Scheduled",
    "Late",
    "Cancelling",
    "Paused",
    "Suspended",
)
WORKING = ("heartbeat", "Running", "Retrying")
_ALL_RUNS = ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]})


def automations(
    deployment: str, *, silence_s: float = SILENCE_S, start_s: float = START_S, cancel_s: float = CANCEL_S
) -> list[AutomationCore]:
    """The rules of a fleet.

    Args:
        deployment: "flow/name" of the deployment whose crashed runs go back to the pool.
        silence_s: A run without a heartbeat for longer is dead.
        start_s: A claimed run that does not begin for longer is dead.
        cancel_s: A canceled run that no worker ends for longer is ended by the server.
    """
    silent = _nothing_follows("heartbeat", ("heartbeat", *ENDED, *WAITING), silence_s)
    stuck = _nothing_follows("Pending", (*WORKING, *ENDED, *WAITING), start_s)
    unheard = _nothing_follows("Cancelling", (*WORKING, *ENDED, *(set(WAITING) - {"Cancelling"})), cancel_s)
    crashed = EventTrigger(
        expect={"prefect.flow-run.Crashed"},
        match=_ALL_RUNS,
        match_related=ResourceSpecification(
            {"prefect.resource.role": "deployment", "prefect.resource.name": deployment.rpartition("/")[2]}
        ),
        for_each={"prefect.resource.id"},
        posture=Posture.Reactive,
        threshold=1,
    )
    return [
        _rule(
            "a silent run has crashed",
            "Its node or its job was killed.",
            silent,
            ChangeFlowRunState(state=StateType.CRASHED, message=f"no heartbeat for {silence_s:.0f} s"),
        ),
        _rule(
            "a claimed run that never began has crashed",
            "Its worker was killed between the claim and the flow.",
            stuck,
            ChangeFlowRunState(
                state=StateType.CRASHED, message=f"claimed, but not begun within {start_s:.0f} s"
            ),
        ),
        _rule(
            "a canceled run that nobody ends has ended",
            "It waited for a worker, or its worker is gone: only workers end what is canceled.",
            unheard,
            ChangeFlowRunState(
                state=StateType.CANCELLED, message=f"canceled, and nobody ended it for {cancel_s:.0f} s"
            ),
        ),
        _rule(
            "a crashed scene goes back to the pool",
            "Safe any number of times; the flow itself gives up after run.max_attempts.",
            crashed,
            ChangeFlowRunState(
                state=StateType.SCHEDULED, name="AwaitingRetry", message="crashed; waits for a worker"
            ),
        ),
    ]


def _rule(name: str, why: str, trigger: EventTrigger, answer: ChangeFlowRunState) -> AutomationCore:
    return AutomationCore(name=f"thermal-sr: {name}", description=why, trigger=trigger, actions=[answer])


def install(client: SyncPrefectClient, wanted: list[AutomationCore]) -> list[str]:
    """Create the automations or replace those of the same name; returns what was done, a line each."""
    done = []
    for automation in wanted:
        existing = client.read_automations_by_name(automation.name)
        for extra in existing:
            client.delete_automation(extra.id)
        client.create_automation(automation)
        done.append(f"{'replaced' if existing else 'created'}: {automation.name}")
    return done


def missing(client: SyncPrefectClient, deployment: str) -> list[str]:
    """Names of automations that the server lacks or that are switched off, and the queue for `redo`."""
    names = [automation.name for automation in automations(deployment)]
    off = [
        name
        for name in names
        if not any(automation.enabled for automation in client.read_automations_by_name(name))
    ]
    pool = client.read_deployment_by_name(deployment).work_pool_name
    queues = {queue.name for queue in client.read_work_queues(work_pool_name=pool)} if pool else {REDO}
    return off if REDO in queues else [*off, f"queue {REDO} of pool {pool}"]


def _nothing_follows(event: str, expected: tuple[str, ...], within_s: float) -> EventTrigger:
    return EventTrigger(
        after={f"prefect.flow-run.{event}"},
        expect={f"prefect.flow-run.{name}" for name in expected},
        match=_ALL_RUNS,
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=timedelta(seconds=within_s),
    )

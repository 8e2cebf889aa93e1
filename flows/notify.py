"""Who is told when a night went wrong, or when there was none: rules on the server that send a message.

Where messages go is a secret (an address of mail or chat holds a password), so it is no setting: the
environment variable THERMAL_SR_NOTIFY has it, addresses of Apprise one after the other:

    mailtos://user:password@example.org?to=operator@example.org
    slack://token_a/token_b/token_c/#nights
    jsons://example.org/hook
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import timedelta
from typing import cast
from uuid import UUID

from prefect.blocks.notifications import SlackWebhook
from prefect.events.actions import SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from pydantic import SecretStr

from flows.states import NIGHT_STATES
from pipeline.errors import SettingsError

VARIABLE = "THERMAL_SR_NOTIFY"
QUIET_S = 26 * 3600.0  # a night a day, and two hours more
BAD = ("CompletedWithFailures", "Failed", "Crashed")
_NIGHTS = ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]})
_FLOW = ResourceSpecification({"prefect.resource.role": "flow", "prefect.resource.name": "ingest"})
_BODY = "{{ flow_run.name }} ended as {{ flow_run.state.name }}: {{ flow_run.state.message }}"


def notifications(*, quiet_s: float = QUIET_S) -> list[AutomationCore]:
    """The rules that send messages, and the addresses on the server; none where nobody is to be told.

    Args:
        quiet_s: A message is sent when no night has ended for so long.

    Raises:
        SettingsError: An address is none.
    """
    actions = [
        SendNotification(block_document_id=_saved(address, number), subject="thermal-sr", body="")
        for number, address in enumerate(os.environ.get(VARIABLE, "").split(), start=1)
    ]
    if not actions:
        return []
    ended = {f"prefect.flow-run.{name}" for name in NIGHT_STATES}
    bad = EventTrigger(
        expect={f"prefect.flow-run.{name}" for name in BAD},
        match=_NIGHTS,
        match_related=_FLOW,
        for_each={"prefect.resource.id"},
        posture=Posture.Reactive,
        threshold=1,
    )
    none = EventTrigger(
        expect=ended,
        match=_NIGHTS,
        match_related=_FLOW,
        posture=Posture.Proactive,
        threshold=1,
        within=timedelta(seconds=quiet_s),
    )
    words = f"No night has ended for {quiet_s / 3600:.0f} hours: look at the service and at its last run."
    return [
        _rule("tell of a night with failures", "Nights that failed, in part or in all.", bad, actions, _BODY),
        _rule("tell that no night has ended", "The service is down, or a night hangs.", none, actions, words),
    ]


def _rule(
    name: str, why: str, trigger: EventTrigger, actions: Sequence[SendNotification], body: str
) -> AutomationCore:
    told = [action.model_copy(update={"body": body}) for action in actions]
    return AutomationCore(name=f"thermal-sr: {name}", description=why, trigger=trigger, actions=list(told))


def _saved(address: str, number: int) -> UUID:
    """Keep an address on the server, encrypted; returns the block's id."""
    if "://" not in address:
        raise SettingsError(f"{VARIABLE}: address {number} is none; slack://..., mailtos://... are wanted")
    # A block that every server has: it hands what is no address of Slack to Apprise.
    block = SlackWebhook(url=SecretStr(address))
    return cast(UUID, block.save(f"thermal-sr-{number}", overwrite=True))

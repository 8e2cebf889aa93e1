"""The rules that need no worker, on a real server, with shorter waits."""

import time

import pytest
from prefect.states import AwaitingRetry, Cancelling

from flows.dispatch import scene_run
from flows.rules import CANCEL_S, automations, install
from pipeline.nights.night import plan_night
from tests.fleet.tiny import cheap_settings, write_archive
from tests.fleet.waiting import wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def impatient(client):
    """The server's rules with ten seconds, Prefect's shortest, for a cancellation; then as before."""
    install(client, automations("scene/gpu", cancel_s=10))
    yield
    install(client, automations("scene/gpu", cancel_s=CANCEL_S))


def test_a_run_that_is_canceled_while_it_waits_again_ends_and_is_handed_out_anew(client, impatient, tmp_path):
    """Prefect ends at once only what never had a process; the rest waits for a worker that may not come."""
    settings = cheap_settings(write_archive(tmp_path / "archive", 1), tmp_path / "out")
    (ref,) = plan_night(settings).todo
    run = scene_run(ref, settings)
    client.update_flow_run(run.id, infrastructure_pid="node-1:4711")
    client.set_flow_run_state(run.id, AwaitingRetry(), force=True)
    client.set_flow_run_state(run.id, Cancelling())
    assert client.read_flow_run(run.id).state.name == "Cancelling"
    wait_for(
        lambda: client.read_flow_run(run.id).state.name == "Cancelled",
        within_s=120,
        what="the canceled run to end",
    )
    time.sleep(1)  # no rule brings it back
    assert client.read_flow_run(run.id).state.name == "Cancelled"
    assert scene_run(ref, settings).id != run.id

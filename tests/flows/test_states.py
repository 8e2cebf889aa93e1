"""How nights and scenes end on the server: a name for each way."""

import pytest

from flows.rules import ENDED
from flows.states import FINAL_NAMES, SCENE_STATES, night_state, scene_state
from pipeline.scene import Record, SceneRef

REF = SceneRef("scene-00000000", "npz", ("a.npz",), "0" * 64)


def report(*, faults=(), ended_by="", **counts):
    names = ("done", "fell back", "skipped", "refused", "failed", "dispatched", "left for the next run")
    counts = {name: counts.get(name.replace(" ", "_"), 0) for name in names}
    return {
        "counts": counts,
        "found": sum(counts.values()),
        "faults": list(faults),
        "ended_by": ended_by,
        "dispatched": [{}] * counts["dispatched"],
        "left": [{}] * counts["left for the next run"],
    }


@pytest.mark.parametrize(
    ("made", "name", "kind"),
    [
        (report(), "NothingNew", "COMPLETED"),
        (report(done=3), "Completed", "COMPLETED"),
        (report(done=1, fell_back=1, skipped=1), "Completed", "COMPLETED"),
        (report(done=3, failed=1), "CompletedWithFailures", "COMPLETED"),
        (report(refused=2), "CompletedWithFailures", "COMPLETED"),
        (report(failed=2), "Failed", "FAILED"),
        (report(done=1, left_for_the_next_run=1, faults=["no server"]), "Failed", "FAILED"),
        (report(done=1, left_for_the_next_run=1, ended_by="SIGTERM"), "Stopped", "CANCELLED"),
        (report(dispatched=2), "Completed", "COMPLETED"),
    ],
)
def test_a_night_ends_in_a_state_that_tells(made, name, kind):
    state = night_state(made)
    assert (state.name, state.type.value) == (name, kind)
    assert f"{made['found']} found" in state.message


@pytest.mark.parametrize(("status", "name"), SCENE_STATES.items())
def test_a_scene_ends_in_a_state_that_tells(status, name):
    state = scene_state(Record(REF, status, "why", "recipe"))
    assert (state.name, state.message) == (name, "why")
    assert state.is_failed() is (status == "failed")


def test_the_rules_of_the_server_know_every_name_as_an_end():
    assert set(FINAL_NAMES) <= set(ENDED)

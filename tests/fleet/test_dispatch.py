"""A scene is one run however often it is handed out, until that run has ended without a product."""

import pytest
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.responses import SetStateStatus
from prefect.states import Completed, Crashed, Failed, Pending, Running

from flows.dispatch import make_queues, scene_run, waiting_runs
from flows.scene import scene
from flows.states import scene_state
from flows.tags import scene_tags
from flows.watching import Sight
from flows.watching_server import lines_of, nights_of
from pipeline.errors import SettingsError
from pipeline.nights.night import plan_night
from pipeline.outcomes import refused_record
from pipeline.times import now_utc
from tests.fleet.tiny import cheap_settings, write_archive

pytestmark = pytest.mark.slow


@pytest.fixture
def handed_out(tmp_path, client):
    """A scene, its settings, and its run."""
    settings = cheap_settings(write_archive(tmp_path / "archive", 1), tmp_path / "out")
    (ref,) = plan_night(settings).todo
    return ref, settings, scene_run(ref, settings)


def test_a_scene_that_waits_is_not_handed_out_again(client, handed_out):
    ref, settings, run = handed_out
    assert scene_run(ref, settings).id == run.id
    assert waiting_runs(client, settings.run.deployment) == 1


def test_a_run_is_named_after_its_scene(handed_out):
    ref, _, run = handed_out
    assert run.name == ref.scene_id


def test_a_backfill_waits_behind_the_scenes_of_the_night(client, handed_out, tmp_path):
    _, settings, run = handed_out
    write_archive(tmp_path / "old", 2)
    old = cheap_settings(tmp_path / "old", tmp_path / "out", ['archive.until="2026-01-01"'])
    earlier = scene_run(next(ref for ref in plan_night(old).todo if "001" in ref.scene_id), old)
    pool = client.read_deployment_by_name(settings.run.deployment).work_pool_name
    queues = {queue.name: queue for queue in client.read_work_queues(work_pool_name=pool)}
    assert (run.work_queue_name, earlier.work_queue_name) == ("default", "backfill")
    assert queues["default"].priority < queues["backfill"].priority


def test_what_redo_asks_for_comes_before_new_scenes_and_older_code_behind_them(client, tmp_path):
    settings = cheap_settings(write_archive(tmp_path / "archive", 3), tmp_path / "out")
    reasons = {"asked for by redo": "redo", "made by 0.1, older than 0.2": "backfill", "": "default"}
    refs = plan_night(settings).todo
    runs = [scene_run(ref, settings, again) for ref, again in zip(refs, reasons, strict=True)]
    assert [run.work_queue_name for run in runs] == list(reasons.values())
    pool = client.read_deployment_by_name(settings.run.deployment).work_pool_name
    assert make_queues(client, pool) == []  # they were made with the automations
    queues = {queue.name: queue.priority for queue in client.read_work_queues(work_pool_name=pool)}
    assert queues["redo"] < queues["default"] < queues["backfill"]


def test_a_second_night_waits_for_the_one_before(client):
    nightly = client.read_deployment_by_name("ingest/nightly").id
    first, second = (client.create_flow_run_from_deployment(nightly) for _ in range(2))
    assert client.set_flow_run_state(first.id, Pending()).status == SetStateStatus.ACCEPT
    client.set_flow_run_state(second.id, Pending())
    assert client.read_flow_run(second.id).state.name == "AwaitingConcurrencySlot"
    client.set_flow_run_state(first.id, Crashed(), force=True)
    client.set_flow_run_state(second.id, Pending())
    assert client.read_flow_run(second.id).state.name == "Pending"


@pytest.mark.parametrize(
    ("state", "same"), [(Running(), True), (Crashed(), True), (Failed(), False), (Completed(), False)]
)
def test_only_a_run_that_is_over_gets_a_new_attempt(client, handed_out, state, same):
    ref, settings, run = handed_out
    client.set_flow_run_state(run.id, state, force=True)
    assert (scene_run(ref, settings).id == run.id) is same


def test_a_deployment_that_is_not_there_names_the_setting(client, tmp_path):
    settings = cheap_settings(
        write_archive(tmp_path / "archive", 1), tmp_path / "out", ["run.deployment=scene/none"]
    )
    (ref,) = plan_night(settings).todo
    with pytest.raises(SettingsError, match=r"run\.deployment: the server has no deployment 'scene/none'"):
        scene_run(ref, settings)


@pytest.mark.parametrize(("run_count", "status"), [("2", "done"), ("3", "failed")])
def test_a_scene_whose_run_was_ended_too_often_is_given_up_until_the_next_night(
    client, tmp_path, monkeypatch, run_count, status
):
    monkeypatch.setenv(
        "PREFECT__RUNTIME__FLOW_RUN__RUN_COUNT", run_count
    )  # Prefect's own way to say so in a test
    settings = cheap_settings(
        write_archive(tmp_path / "archive", 1), tmp_path / "out", ["run.max_attempts=2"]
    )
    (ref,) = plan_night(settings).todo
    state = scene(ref.to_json(), settings.model_dump(mode="json"), return_state=True)
    record = state.result(raise_on_failure=False)
    assert record["status"] == status
    tasks = client.read_task_runs(
        flow_run_filter=FlowRunFilter(id={"any_": [state.state_details.flow_run_id]})
    )
    assert [set(scene_tags(ref, settings)) <= set(run.tags) for run in tasks] == [True] * (status == "done")
    assert ("ended 2 times" in record["reason"]) is (status == "failed")
    assert (plan_night(settings).todo == (ref,)) is (status == "failed")


def test_a_scene_on_the_server_is_watched_until_it_has_ended(client, handed_out):
    ref, settings, run = handed_out
    label = settings.recipe.label
    assert nights_of(label) == Sight(1, {}, {})
    client.set_flow_run_state(run.id, Running(), force=True)
    assert nights_of(label) == Sight(1, {}, {run.name: (0.0, "begins")})
    client.create_artifact(
        ArtifactCreate(type="progress", data=40.0, description=f"{run.name}: train", flow_run_id=run.id)
    )
    assert nights_of(label).at_work == {run.name: (40.0, "train")}
    said = {"name": "t", "level": 20, "message": f"{ref.scene_id}: said", "timestamp": now_utc()}
    client._client.post("/logs/", json=[{**said, "flow_run_id": str(run.id)}])
    assert lines_of(ref.scene_id)[-1].endswith(f" {ref.scene_id}: said")
    client.set_flow_run_state(run.id, scene_state(refused_record(ref, settings, "no units")), force=True)
    assert nights_of(label) is None

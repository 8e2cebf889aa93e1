"""A scene is one run however often it is handed out, until that run has ended without a product."""

import pytest
from prefect.client.schemas.actions import ArtifactCreate
from prefect.states import Completed, Crashed, Failed, Running

from flows.dispatch import scene_run, waiting_runs
from flows.scene import scene
from flows.states import scene_state
from flows.watching import Sight
from flows.watching_server import lines_of, nights_of
from pipeline.errors import SettingsError
from pipeline.night import plan_night
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

"""The nightly flow under Prefect's own test harness."""

import json
from itertools import groupby

import numpy as np
import pytest
from typer.testing import CliRunner

from flows.heartbeat import is_outcome
from pipeline.settings_sources import load_settings
from pipeline.trials.simulate import write_demo_archive
from tests.fleet.tiny import cheap_settings, write_archive

# Prefect's own client leaves sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

QUICK = ("recipe.detail=none", "recipe.scale=2", "archive.settle_s=0", "run.threads=1")


@pytest.fixture
def settings(tmp_path):
    write_demo_archive(tmp_path / "archive")
    roots = (f"archive.root={tmp_path / 'archive'}", f"output.root={tmp_path / 'products'}")
    return load_settings(assignments=[*QUICK, *roots], environment={})


@pytest.mark.slow
def test_a_night_counts_every_input_once_and_the_next_finds_nothing(prefect_server, settings):
    from prefect.artifacts import Artifact
    from prefect.client.orchestration import get_client

    from flows.ingest import ingest
    from flows.scene import artifact_key
    from pipeline.scene import SceneRef

    with get_client(sync_client=True) as client:
        before = {run.id for run in client.read_flow_runs()}
    state = ingest(settings.model_dump(mode="json"), return_state=True)
    report = state.result()
    assert report["found"] == sum(report["counts"].values()) == 4
    assert (report["counts"]["done"], report["counts"]["refused"]) == (3, 1)
    written = sorted((settings.output.root / settings.recipe.label / "reports").glob("*.json"))
    assert json.loads(written[-1].read_text()) == report
    catalog = json.loads((settings.output.root / "catalog.json").read_text())
    assert sum(link["rel"] == "item" for link in catalog["links"]) == 3
    assert "4 inputs: 3 done" in Artifact.get("night-report").data

    again = ingest(settings.model_dump(mode="json"), return_state=True)
    assert again.result()["scenes"] == []
    assert again.result()["found"] == sum(again.result()["counts"].values()) == 4

    with get_client(sync_client=True) as client:
        runs = [run for run in client.read_flow_runs() if run.id not in before]
    nights = [run for run in runs if run.name.startswith("night 20") and run.name.endswith(" archive")]
    assert sorted(run.state.name for run in nights) == ["CompletedWithFailures", "NothingNew"]
    scenes = {run.state.name: run for run in runs if run.parent_task_run_id}
    assert sorted(scenes) == ["Completed", "Refused"]
    assert sum(run.parent_task_run_id is not None for run in runs) == len(report["scenes"])
    tags = {"thermal-sr", "archive:archive", f"recipe:{settings.recipe.label}"}
    assert all(tags <= set(run.tags) for run in scenes.values())
    assert {tag.partition(":")[0] for tag in scenes["Refused"].tags} >= {"sensor"}
    refused = next(record for record in report["scenes"] if record["status"] == "refused")
    assert scenes["Refused"].state.message == refused["reason"]
    assert scenes["Refused"].name.endswith(refused["ref"]["scene_id"])
    for record in report["scenes"]:
        key = artifact_key("progress", SceneRef.from_json(record["ref"]))
        assert float(Artifact.get(key).data) == 100


@pytest.mark.slow
def test_a_scene_that_fails_is_reported_and_the_night_goes_on(prefect_server, settings, monkeypatch):
    from flows.ingest import ingest
    from pipeline import process

    whole = process.write_store

    def failing(enhancement, *arguments, **keywords):
        if enhancement.scene.ref.reader == "npz":
            raise OSError(28, "No space left on device")
        return whole(enhancement, *arguments, **keywords)

    monkeypatch.setattr(process, "write_store", failing)
    state = ingest(settings.model_dump(mode="json"), return_state=True)
    report = state.result()
    assert state.name == "CompletedWithFailures"
    assert (report["counts"]["done"], report["counts"]["failed"]) == (2, 1)
    failed = next(record for record in report["scenes"] if record["status"] == "failed")
    assert failed["reason"] == "OSError: [Errno 28] No space left on device"
    monkeypatch.undo()
    healed = ingest(settings.model_dump(mode="json"))
    assert healed["failed_before"][0]["reason"] == failed["reason"]
    assert healed["counts"]["done"] == 1
    assert healed["counts"]["already done"] == 2


@pytest.mark.slow
def test_a_limit_of_a_tag_holds_a_scene_back_until_another_has_ended(prefect_server, tmp_path):
    from prefect.client.orchestration import get_client

    from flows.ingest import ingest
    from flows.progress import LISTENER

    two = cheap_settings(write_archive(tmp_path / "limited", 2), tmp_path / "out", ["run.workers=2"])
    at_work = []

    def listen(scene_id, percent, words):
        if not is_outcome(percent, words):  # told when the next may have begun
            at_work.append(scene_id)

    listening = LISTENER.set(listen)
    try:
        with get_client(sync_client=True) as client:
            client.create_concurrency_limit("archive:limited", concurrency_limit=1)
            report = ingest(two.model_dump(mode="json"))
            client.delete_concurrency_limit_by_tag("archive:limited")
    finally:
        LISTENER.reset(listening)
    assert report["counts"]["done"] == 2
    assert len(list(groupby(at_work))) == 2  # one after the other


def invoke(*arguments):
    from flows.cli import app

    return CliRunner().invoke(app, list(map(str, arguments)))


def test_plan_says_why_each_file_is_taken_or_left(tmp_path):
    np.savez(tmp_path / "scene.npz", temperature=np.full((40, 40), 290, np.float32), units="K")
    (tmp_path / "late.tif.part").write_bytes(b"")
    answer = invoke("plan", tmp_path, tmp_path / "out", "--set", "archive.settle_s=0", "--json")
    rows = {row["file"]: row["action"] for row in json.loads(answer.stdout)["files"]}
    assert rows["scene.npz"] == "process"
    assert answer.exit_code == 0


def test_info_says_what_was_understood(tmp_path):
    np.savez(tmp_path / "scene.npz", temperature=np.full((40, 40), 290, np.float32), units="K")
    facts = json.loads(invoke("info", tmp_path / "scene.npz", "--json").stdout)
    assert facts["min_median_max_k"] == [290.0, 290.0, 290.0]
    assert facts["valid_fraction"] == 1.0


def test_an_empty_night_says_so_without_a_server_and_in_its_metrics(tmp_path):
    metrics = tmp_path / "metrics" / "night.prom"
    answer = invoke("run", tmp_path, tmp_path / "out", "--set", f"output.metrics={str(metrics)!r}")
    assert 'outcome="done"} 0' in metrics.read_text()
    assert answer.exit_code == 0
    assert "nothing to do: 0 found" in answer.stdout


def test_the_settings_command_prints_every_branch():
    answer = invoke("settings")
    for branch in ("[archive]", "[output]", "[run]", "[recipe]", "[recipe.train]"):
        assert branch in answer.stdout

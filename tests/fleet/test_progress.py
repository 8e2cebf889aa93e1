"""What is told to the server about a scene never ends the scene."""

import gc

import httpx
import pytest
from prefect.artifacts import Artifact
from prefect.exceptions import TerminationSignal

from flows.progress import SceneProgress, server_may_be_away
from flows.stopping import StoppedError
from tests.fleet.waiting import wait_for

pytestmark = pytest.mark.slow


# Prefect leaves the sockets of its clients to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore:Artifact creation outside:FutureWarning")
def test_a_server_that_has_lost_its_database_does_not_end_a_scene(client, caplog):
    progress = SceneProgress("scene", "progress-scene")
    progress("train", 0.5)
    client.delete_artifact(Artifact.get("progress-scene").id)
    progress("publish", 1.0)
    assert "not told to the server" in caplog.text
    gc.collect()  # while their warnings are not errors


# Prefect leaves the sockets of its clients to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore:Artifact creation outside:FutureWarning")
@pytest.mark.parametrize(
    ("error", "percent", "words"),
    [
        (OSError("no room"), 100, "failed"),
        (StoppedError("told to end"), 30, "left for the next run"),
        (TerminationSignal(15), 30, "train"),
    ],
)
def test_only_a_scene_that_has_ended_is_at_100_percent(client, error, percent, words):
    progress = SceneProgress("scene", "progress-ended")
    progress("train", 0.5)
    progress.__exit__(type(error), error, None)
    shown = Artifact.get("progress-ended")
    assert float(shown.data) == pytest.approx(percent, abs=1)
    assert shown.description == f"scene: {words}"
    gc.collect()  # while their warnings are not errors


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore:Artifact creation outside:FutureWarning")
def test_where_no_bar_shows_a_scene_the_log_says_now_and_then_how_far_it_is(client, caplog, monkeypatch):
    progress = SceneProgress("scene", "progress-logged")
    with caplog.at_level("INFO", logger="flows.progress"):
        for every_s, fraction in ((1000, 0.1), (0, 0.5), (1000, 0.6)):
            monkeypatch.setattr("flows.progress.SAY_EVERY_S", every_s)
            progress("train", fraction)
    assert [record.getMessage() for record in caplog.records] == ["scene: train, 30 %"]
    gc.collect()  # while their warnings are not errors


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore:Artifact creation outside:FutureWarning")
def test_a_stage_that_takes_long_is_told_of_meanwhile(client, caplog, monkeypatch):
    monkeypatch.setattr("flows.progress.SAY_EVERY_S", 0.05)
    with (
        caplog.at_level("INFO", logger="flows.progress"),
        SceneProgress("scene", "progress-long") as progress,
    ):
        progress("read", 0.0)
        before = len(caplog.records)
        wait_for(lambda: len(caplog.records) > before, within_s=10, what="a line", every_s=0.01)
    assert caplog.records[-1].getMessage() == "scene: read, 0 %"
    gc.collect()  # while their warnings are not errors


@pytest.mark.parametrize("status", [500, 503])
def test_an_error_of_the_server_does_not_end_a_scene(status, caplog):
    with server_may_be_away("scene"):
        httpx.Response(status, request=httpx.Request("POST", "http://server/api")).raise_for_status()
    assert str(status) in caplog.text

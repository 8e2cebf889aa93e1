"""What is told to the server about a scene never ends the scene."""

import gc

import httpx
import pytest
from prefect.artifacts import Artifact

from flows.progress import SceneProgress, server_may_be_away

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


@pytest.mark.parametrize("status", [500, 503])
def test_an_error_of_the_server_does_not_end_a_scene(status, caplog):
    with server_may_be_away("scene"):
        httpx.Response(status, request=httpx.Request("POST", "http://server/api")).raise_for_status()
    assert str(status) in caplog.text

"""Messages about nights reach whoever is to be told, from a real server to a listener on this machine."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.states import Completed

from flows.local_server import own_server
from flows.notify import VARIABLE, notifications
from flows.rules import install
from flows.which_server import talking_to
from pipeline.errors import SettingsError
from tests.fleet.waiting import wait_for

pytestmark = [
    pytest.mark.slow,
    # Prefect's own client leaves sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning"),  # Apprise
]


@pytest.fixture
def heard(monkeypatch):
    """Messages that arrive at the address to be told."""
    messages = []

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self):
            messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["message"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Listener) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv(VARIABLE, f"json://127.0.0.1:{server.server_address[1]}/")
        yield messages
        server.shutdown()
        thread.join()


def test_a_night_with_failures_is_told_and_so_is_the_lack_of_nights(tmp_path, heard):
    @flow(name="ingest", flow_run_name="night of the test")
    def night():
        return Completed(name="CompletedWithFailures", message="3 found: 2 done, 1 failed")

    with (
        own_server(tmp_path, lasting=True) as environment,
        talking_to(environment),
        get_client(sync_client=True) as client,
    ):
        install(client, notifications(quiet_s=10))
        night(return_state=True)
        wait_for(lambda: len(heard) >= 2, within_s=60, what="two messages")
    assert "night of the test ended as CompletedWithFailures: 3 found: 2 done, 1 failed" in heard
    assert any(message.startswith("No night has ended for") for message in heard)


def test_an_address_that_is_none_is_a_line_without_the_address(monkeypatch):
    monkeypatch.setenv(VARIABLE, "secret")
    with pytest.raises(SettingsError, match=r"^THERMAL_SR_NOTIFY: address 1 is none; slack") as raised:
        notifications()
    assert "secret" not in str(raised.value)

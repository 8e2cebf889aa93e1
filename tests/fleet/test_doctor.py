"""`thermal-sr doctor` sees what is wrong, says how to mend it, and shows no secret."""

import json
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from flows import doctor
from flows.doctor import examine, folders, raster_drivers, server_guards, site_file, slurm, torch_and_gpu
from pipeline.settings_sources import load_settings
from tests.fleet.prefect_server import AUTH

PLACES = ("archive", "output")


def settings_with(*assignments):
    return load_settings(None, assignments, environment={})


def only_fault(findings):
    (fault,) = [finding for finding in findings if finding.health == "fault"]
    assert fault.mend
    return fault


class OpenToAll(BaseHTTPRequestHandler):
    """A server that does what anybody says."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"0")

    do_POST = do_GET

    def log_message(self, *arguments):
        pass


@pytest.fixture
def open_server():
    """Address of a server without a password."""
    running = HTTPServer(("127.0.0.1", 0), OpenToAll)
    thread = Thread(target=running.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}/api"
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.mark.skipif("__import__('torch').cuda.is_available()", reason="there is a GPU here")
def test_a_gpu_that_is_asked_for_and_not_there_is_a_fault():
    assert "torch sees no GPU" in only_fault(torch_and_gpu(settings_with("run.device=cuda"))).found


@pytest.mark.skipif("__import__('torch').cuda.is_available()", reason="there is a GPU here")
def test_a_machine_that_only_hands_scenes_out_needs_no_gpu(monkeypatch):
    fleet_settings = settings_with("run.device=cuda", "run.dispatch=pool")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert [finding.health for finding in torch_and_gpu(fleet_settings)] == ["note"]
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    assert only_fault(torch_and_gpu(fleet_settings)).what == "device"


def test_the_raster_library_here_is_sound():
    assert [finding.health for finding in raster_drivers(settings_with())] == ["ok"]


def test_products_that_cannot_be_written_are_a_fault(tmp_path):
    (tmp_path / "file").touch()
    settings = settings_with(
        "output.root=/proc/products", f"archive.root={str(tmp_path)!r}", "run.scratch=/tmp"
    )
    assert only_fault(folders(settings)).what == "products"


def test_an_archive_that_is_not_there_is_a_fault(tmp_path):
    settings = settings_with("archive.root=/no/such/archive", f"output.root={str(tmp_path)!r}")
    assert only_fault(folders(settings)).what == "archive"


@pytest.mark.parametrize(("mode", "health"), [(0o600, "ok"), (0o640, "fault"), (0o604, "fault")])
def test_a_file_of_secrets_that_others_may_read_is_a_fault(tmp_path, monkeypatch, mode, health):
    path = tmp_path / "site.env"
    path.touch()
    path.chmod(mode)
    monkeypatch.setenv("THERMAL_SR_ENV", str(path))
    assert [finding.health for finding in site_file(settings_with())] == [health]


def test_a_pool_without_a_server_is_a_fault():
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        findings = examine(settings_with("run.dispatch=pool"))
    assert "none set" in next(finding.found for finding in findings if finding.what == "server")


def test_an_address_is_shown_without_its_password():
    with temporary_settings({PREFECT_API_URL: "http://night:hidden@127.0.0.1:9/api"}):
        findings = examine(settings_with())
    assert "http://127.0.0.1:9/api does not answer" in only_server(findings).found
    assert "hidden" not in repr(findings)


def only_server(findings):
    return next(finding for finding in findings if finding.what == "server")


def test_a_server_that_obeys_strangers_is_a_fault(open_server):
    password, forged = server_guards(open_server)
    assert (password.health, forged.health) == ("fault", "fault")
    assert "PREFECT_SERVER_API_AUTH_STRING" in password.mend


def test_a_missing_slurm_is_a_fault_only_where_it_is_needed(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert [finding.health for finding in slurm(settings_with())] == ["ok"]
    assert only_fault(slurm(settings_with("run.dispatch=array"))).what == "SLURM"


@pytest.mark.slow
def test_a_server_is_asked_as_a_stranger_even_where_the_address_holds_the_password(server):
    named = server.client["PREFECT_API_URL"].replace("//", f"//{AUTH}@")
    with temporary_settings({PREFECT_API_URL: named, PREFECT_API_AUTH_STRING: AUTH}):
        findings = {finding.what: finding for finding in doctor.server(settings_with())}
    assert findings["password"].health == "ok"
    assert AUTH.split(":")[1] not in repr(findings)


@pytest.mark.slow
def test_a_wrong_password_is_a_fault_and_is_not_shown(server):
    wrong = {PREFECT_API_URL: server.client["PREFECT_API_URL"], PREFECT_API_AUTH_STRING: "night:mistyped-8d"}
    with temporary_settings(wrong):
        findings = list(doctor.server(settings_with()))
    assert only_fault(findings).found == "the server answers 401 to our password"
    assert "mistyped" not in repr(findings)


@pytest.fixture
def deployment(client):
    """Creates a deployment of its own with a pool of its own; both are gone afterwards."""
    made = []

    def create(pool_type="process", **more):
        pool = client.create_work_pool(WorkPoolCreate(name="test-pool", type=pool_type))
        flow = client.create_flow_from_name("doctor")
        made.append(client.create_deployment(flow, "test", work_pool_name=pool.name, **more))
        return "doctor/test"

    yield create
    for identity in made:
        client.delete_deployment(identity)
    with suppress(ObjectNotFound):
        client.delete_work_pool("test-pool")


def found_of(name):
    """What the doctor says of one deployment."""
    findings = doctor.server(settings_with(f"run.deployment={name}"))
    return next(finding for finding in findings if finding.what == name)


@pytest.mark.slow
def test_a_deployment_whose_pool_was_deleted_is_a_fault(client, deployment):
    name = deployment()
    assert found_of(name).health == "ok"
    client.delete_work_pool("test-pool")
    assert (found_of(name).health, found_of(name).found) == ("fault", "it has no pool")


@pytest.mark.slow
def test_a_pool_of_another_kind_is_a_fault(deployment):
    assert "is of type docker, process is wanted" in found_of(deployment("docker")).found


@pytest.mark.slow
def test_a_paused_pool_is_a_fault_until_it_is_resumed(client, deployment):
    name = deployment()
    client.update_work_pool("test-pool", WorkPoolUpdate(is_paused=True))
    assert found_of(name).mend == "prefect work-pool resume test-pool"
    client.update_work_pool("test-pool", WorkPoolUpdate(is_paused=False))
    assert found_of(name).health == "ok"


@pytest.mark.slow
def test_a_deployment_that_is_not_there_is_a_fault(client):
    assert found_of("scene/none").found == "no such deployment"


@pytest.mark.slurm
@pytest.mark.slow
def test_a_fleet_that_is_set_up_has_no_fault_and_shows_no_secret(fleet, tmp_path):
    places = ["--set", f"archive.root={str(tmp_path)!r}", "--set", f"output.root={str(tmp_path)!r}"]
    shown = fleet.thermal_sr(
        "doctor", "--json", *places, "--set", "run.dispatch=pool", "--set", "run.slurm.workers=2"
    )
    findings = json.loads(shown)
    assert {finding["what"] for finding in findings} >= {
        "scene/gpu",
        "ingest/nightly",
        "automations",
        "SLURM",
    }
    assert AUTH.split(":")[1] not in shown

"""The cluster and the server that the tests of the fleet share; starting them takes the time."""

import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from tests.fleet.packages import NotInstalledError
from tests.fleet.postgres import postgres
from tests.fleet.prefect_server import AUTH, PrefectServer, prefect_server
from tests.fleet.slurm_cluster import SlurmCluster, slurm_cluster
from tests.leftovers import kept

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Fleet:
    """A server with everything deployed, a cluster, and the environment of whoever uses both."""

    server: PrefectServer
    cluster: SlurmCluster
    environment: dict

    def thermal_sr(self, *arguments, code=0):
        """Standard output of the command, run as an operator would; another exit code is an error."""
        answer = subprocess.run(
            [Path(sys.executable).with_name("thermal-sr"), *map(str, arguments)],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert answer.returncode == code, f"exit code {answer.returncode}: {answer.stdout} {answer.stderr}"
        return answer.stdout


@pytest.fixture(scope="session")
def server():
    """A Prefect server on Postgres with pools, deployments and automations, as an operator sets it up."""
    with ExitStack() as stack:
        with kept():
            running = _set_up(stack)
        yield running


def _set_up(stack):
    """The server; what is entered on the stack ends with the session."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="prefect-")))
    folder.chmod(0o755)  # Postgres runs as another user
    try:
        database = stack.enter_context(postgres(folder / "postgres"))
    except NotInstalledError as error:
        pytest.skip(f"no shared Prefect server: {error}")
    settings = {
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": database,
    }
    running = stack.enter_context(prefect_server(folder / "server", settings))
    for pool in ("cpu", "gpu"):
        running.cli("work-pool", "create", pool, "--type", "process")
    running.cli("deploy", "--all", cwd=ROOT)
    subprocess.run(
        [sys.executable, "-m", "flows.automations"],
        cwd=ROOT,
        env={**os.environ, **running.client},
        check=True,
        capture_output=True,
        timeout=300,
    )
    return running


@pytest.fixture(scope="session")
def asking(server):
    """To ask the server what it knows, over the whole session."""
    with ExitStack() as stack:
        with kept():
            url = server.client["PREFECT_API_URL"]
            client = stack.enter_context(SyncPrefectClient(url, auth_string=AUTH))
        yield client


@pytest.fixture
def client(server):
    """A client of the server; runs made meanwhile are gone afterwards, or workers would take them."""
    here = {PREFECT_API_URL: server.client["PREFECT_API_URL"], PREFECT_API_AUTH_STRING: AUTH}
    with temporary_settings(here), get_client(sync_client=True) as asking:
        before = {run.id for run in asking.read_flow_runs()}
        yield asking
        for run in asking.read_flow_runs():
            if run.id not in before:
                asking.delete_flow_run(run.id)


@pytest.fixture(scope="session")
def cluster():
    """A SLURM cluster; the tests that ask for it are skipped, saying so, where there can be none."""
    with ExitStack() as stack:
        try:
            with kept():
                running = stack.enter_context(slurm_cluster())
        except NotInstalledError as error:
            pytest.skip(f"no SLURM: {error}")
        yield running


@pytest.fixture(scope="module")
def fleet(whole_fleet, asking):
    """Server and cluster for a test file; its jobs and runs end with it, for a worker takes any run."""
    yield whole_fleet
    whole_fleet.cluster.end_jobs()
    while runs := asking.read_flow_runs():
        for run in runs:
            asking.delete_flow_run(run.id)


@pytest.fixture(scope="session")
def whole_fleet(cluster, server):
    """Both, and a site file that only its owner may read."""
    with tempfile.TemporaryDirectory(prefix="site-") as folder:
        site = Path(folder) / "site.env"
        lines = {
            **server.client,
            "PREFECT_API_AUTH_STRING": AUTH,
            "THERMAL_SR_VENV": sys.prefix,
            "THERMAL_SR_NEEDS_GPU": "no",
            "THERMAL_SR_LONGEST_SCENE_S": "20",
            "THERMAL_SR_IDLE_S": "15",
            "OMP_NUM_THREADS": "1",
        }
        site.touch(mode=0o600)
        site.write_text("".join(f"{name}='{value}'\n" for name, value in lines.items()))
        environment = {
            **server.client,
            **cluster.environment,
            "THERMAL_SR_HOME": str(ROOT),
            "THERMAL_SR_ENV": str(site),
            "OMP_NUM_THREADS": "1",
        }
        yield Fleet(server, cluster, environment)

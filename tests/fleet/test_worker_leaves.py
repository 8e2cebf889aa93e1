"""When a worker leaves: its job has no time for a scene, its time is over, its scene was canceled."""

import json
import re
import shutil
import time
from pathlib import Path

import pytest
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId

from flows.dispatch import WORKER_JOB
from tests.fleet.tiny import CHEAP, TRAINED, write_scene
from tests.fleet.waiting import wait_for

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

WORKER = Path(__file__).parents[2] / "deploy" / "slurm" / "gpu_worker.sbatch"
CHEAPLY = [word for setting in CHEAP for word in ("--set", setting)]
SHORT_JOB = ["--cpus-per-task=1", "--time=2", "--signal=B:TERM@30"]
LONG_JOB = ["--cpus-per-task=1", "--time=20"]


def wait_until_jobs_are_gone(cluster, within_s):
    wait_for(lambda: not cluster.active_jobs(), within_s=within_s, what="the worker to leave", every_s=1)


def test_a_worker_whose_job_is_nearly_over_takes_no_scene(fleet, tmp_path):
    site = tmp_path / "site.env"
    patient = {"THERMAL_SR_LONGEST_SCENE_S": "600", "THERMAL_SR_IDLE_S": "600"}
    told = Path(fleet.environment["THERMAL_SR_ENV"]).read_text()
    site.touch(mode=0o600)
    site.write_text(told + "".join(f"{name}={value}\n" for name, value in patient.items()))
    environment = {**fleet.environment, "THERMAL_SR_ENV": str(site)}
    job = fleet.cluster.submit("--time=5", WORKER, environment=environment, cwd=tmp_path)
    wait_until_jobs_are_gone(fleet.cluster, within_s=60)
    log = (tmp_path / f"thermal-sr-worker-{job}.log").read_text()
    assert "leaving: less time left than the longest scene needs" in log
    assert "Worker" not in log


def test_a_worker_that_cannot_load_the_software_takes_no_scene(fleet, tmp_path):
    shutil.copytree(WORKER.parent, tmp_path / "deploy" / "slurm")
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "__init__.py").touch()
    (tmp_path / "flows" / "scene.py").write_text("import no_such_module")
    environment = {**fleet.environment, "THERMAL_SR_HOME": str(tmp_path)}
    job = fleet.cluster.submit("--time=5", WORKER, environment=environment, cwd=tmp_path)
    wait_until_jobs_are_gone(fleet.cluster, within_s=90)
    log = (tmp_path / f"thermal-sr-worker-{job}.log").read_text()
    assert f"cannot load flows.scene from {tmp_path}" in log
    assert fleet.cluster.state(job) == "FAILED"
    assert "Worker" not in log


@pytest.fixture(scope="module")
def endless(fleet, asking, tmp_path_factory):
    """What became of a training that outlasts its worker's job, and is then canceled; times and steps."""
    work, client = tmp_path_factory.mktemp("endless"), asking
    archive, out, seen = work / "archive", work / "out", {}
    archive.mkdir()
    write_scene(archive / "endless.npz", 1)
    told = ["run.dispatch=pool", "run.checkpoint_s=5", "run.slurm.workers=1"]
    told += [*TRAINED, "recipe.train.steps=1000000"]
    told += [f"run.slurm.options={json.dumps(SHORT_JOB)}"]
    words = [*CHEAPLY, *(word for setting in told for word in ("--set", setting))]

    def run():
        return next(run for run in client.read_flow_runs() if run.name.startswith("endless-"))

    def state():
        return run().state.name

    def resumed():
        its_own = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run().id]))  # others resumed here too
        lines = [
            re.search(r"training goes on from step (\d+)", entry.message)
            for entry in client.read_logs(its_own)
        ]
        return [int(line[1]) for line in lines if line]

    fleet.thermal_sr("run", archive, out, *words)
    wait_for(lambda: list(out.glob(".scratch/*/*/training.safetensors")), within_s=240, what="the training")
    wait_for(lambda: state() == "AwaitingRetry", within_s=240, what="the end of the job's time")
    seen["workers at the limit"] = fleet.cluster.run("squeue", "--noheader", f"--name={WORKER_JOB}")
    seen["run count at the limit"] = run().run_count
    fleet.thermal_sr("run", archive, out, *words, "--set", f"run.slurm.options={json.dumps(LONG_JOB)}")
    seen["resumed at step"] = wait_for(resumed, within_s=240, what="another job to go on", every_s=1)
    seen["run count after it"] = run().run_count
    start = time.monotonic()
    fleet.server.cli("flow-run", "cancel", str(run().id))
    wait_for(lambda: state() == "Cancelled", within_s=180, what="the run to be canceled")
    seen["cancel to canceled"] = time.monotonic() - start
    wait_until_jobs_are_gone(fleet.cluster, within_s=240)
    wait_for(lambda: not fleet.cluster.processes(), within_s=90, what="the last process of its job to end")
    seen["state at the end"] = state()
    print(seen)  # shown by pytest -s
    return seen


def test_a_run_whose_job_reaches_its_time_limit_goes_on_in_another(endless):
    assert endless["workers at the limit"] == ""  # or the next night would ask for none, and wait for ever
    assert (endless["run count at the limit"], endless["run count after it"]) == (1, 2)
    assert endless["resumed at step"][0] >= 20


def test_a_run_that_is_canceled_stays_canceled_and_leaves_nothing_running(endless):
    assert endless["state at the end"] == "Cancelled"

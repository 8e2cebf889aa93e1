"""A real SLURM, a real Prefect server: workers inside jobs take scenes, and scenes survive the death of jobs.

All of it is one scenario, because waiting for a heartbeat that does not come takes a minute and a half.
"""

import json
import os
import re
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipeline.products.layout import published_folders
from pipeline.products.publish import verify
from tests.fleet.prefect_server import AUTH
from tests.fleet.tiny import CHEAP, TRAINED, write_scene
from tests.fleet.waiting import wait_for

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

NASTY = "a scene; touch INJECTED $(touch INJECTED) 'quoted'.npz"
STEPS = 600


@dataclass
class Night:
    """What was seen."""

    out: Path
    runs: dict = field(default_factory=dict)
    seconds: dict = field(default_factory=dict)
    kept: dict = field(default_factory=dict)
    attempts: dict = field(default_factory=dict)
    asked_twice: int = -1
    traces: list = field(default_factory=list)


def kill_whole_job(cluster, job):
    """What a power cut does: no process of the job gets to say anything."""
    for what in (signal.SIGSTOP, signal.SIGKILL):
        for pid in cluster.processes(job):
            with suppress(ProcessLookupError):  # it ended by itself meanwhile, as the worker's sleeps do
                os.kill(pid, what)


def secrets_in(*folders):
    """Files that hold the server's password, besides the one that is for it."""
    word = AUTH.split(":")[1].encode()
    files = (
        path for folder in folders for path in folder.rglob("*") if path.is_file() and not path.is_symlink()
    )
    return [path for path in files if path.name != "site.env" and word in path.read_bytes()]


@pytest.fixture(scope="module")
def night(fleet, asking, tmp_path_factory):
    """Two trainings, one ended by TERM and one by SIGKILL, and two more scenes."""
    work = tmp_path_factory.mktemp("night")
    long, short, out = work / "long", work / "short", work / "out"
    for folder in (long, short):
        folder.mkdir()
    write_scene(long / "one.npz", 1)
    write_scene(long / "two.npz", 2)
    write_scene(short / "plain.npz", 3)
    write_scene(short / NASTY, 4)
    cheap = [word for setting in CHEAP for word in ("--set", setting)]
    pool = [
        *cheap,
        "--set",
        "run.dispatch=pool",
        "--set",
        "run.slurm.workers=2",
        "--set",
        "run.checkpoint_s=0.5",
    ]
    pool += ["--set", 'run.slurm.options=["--cpus-per-task=1"]']
    training = [*pool, *(word for setting in TRAINED for word in ("--set", setting))]
    training += ["--set", f"recipe.train.steps={STEPS}"]
    seen, scene_deployment = Night(out), asking.read_deployment_by_name("scene/gpu").id

    def jobs():
        return sorted(int(line.split()[0].split("_")[0]) for line in fleet.cluster.active_jobs())

    def running_tasks():
        """(array task, job id) of workers: a signal to an array's own id would reach all its tasks."""
        listing = fleet.cluster.run("squeue", "--noheader", "--states=RUNNING", "--format=%i %A")
        return sorted((task, int(job)) for task, job in (line.split() for line in listing.splitlines()))

    def scene_of(task):
        """Name of the run that a worker has in hand, from its log."""
        log = (out / ".scratch" / "logs" / f"thermal-sr-worker-{task}.log").read_text()
        return re.findall(r"Beginning flow run '([^']+)'", log)[-1]

    def runs():
        return {run.name: run for run in asking.read_flow_runs() if run.deployment_id == scene_deployment}

    def in_state(*names):
        return [run for run in runs().values() if run.state.name in names]

    fleet.thermal_sr("run", long, out, *training)
    wait_for(
        lambda: len(list(out.glob(".scratch/*/*/training.safetensors"))) == 2, within_s=240, what="trainings"
    )
    (termed, _), (killed, killed_job) = running_tasks()
    seen.runs = {"termed": scene_of(termed), "killed": scene_of(killed)}
    start = time.monotonic()
    fleet.cluster.run("scancel", "--batch", "--signal=TERM", termed)
    kill_whole_job(fleet.cluster, killed_job)
    wait_for(
        lambda: runs()[seen.runs["termed"]].state.name == "AwaitingRetry",
        within_s=60,
        what="the run to be handed on",
    )
    seen.seconds["TERM to handed on"] = time.monotonic() - start
    fleet.thermal_sr("run", short, out, *pool)
    wait_for(lambda: len(in_state("Completed")) == 3, within_s=240, what="three scenes", every_s=1)
    seen.seconds["TERM to done"] = time.monotonic() - start
    lost = seen.runs["killed"]
    wait_for(
        lambda: runs()[lost].state.name not in ("Running", "Crashed"),
        within_s=210,
        what="the dead run to be brought back",
    )
    seen.seconds["kill to brought back"] = time.monotonic() - start
    wait_for(lambda: not jobs(), within_s=90, what="idle workers to leave", every_s=1)
    fleet.thermal_sr("run", long, out, *training)
    wait_for(lambda: len(in_state("Completed")) == 4, within_s=200, what="the revived run", every_s=1)
    seen.seconds["kill to done"] = time.monotonic() - start
    seen.asked_twice = len(runs())
    wait_for(lambda: not jobs(), within_s=90, what="workers to leave", every_s=1)
    seen.attempts = {name: run.run_count for name, run in runs().items()}
    seen.traces = secrets_in(out, fleet.cluster.root)
    log = asking.read_logs()
    seen.kept = [entry.message for entry in log if "training goes on from step" in entry.message]
    seen.traces += [entry.message for entry in log if AUTH.split(":")[1] in entry.message]
    seen.traces += [run.name for run in runs().values() if AUTH.split(":")[1] in str(run.parameters)]
    print(seen.seconds)  # shown by pytest -s
    return seen


def test_scenes_are_published_by_workers_inside_jobs(night):
    products = [product for recipe in night.out.glob("*-x*") for product in published_folders(recipe)]
    assert len(products) == 4
    for product in products:
        verify(product)


def test_a_run_ended_by_term_goes_on_in_another_job(night):
    assert night.attempts[night.runs["termed"]] == 2
    assert night.seconds["TERM to handed on"] < 30


def test_a_run_whose_job_was_killed_is_done_within_three_minutes(night):
    assert night.attempts[night.runs["killed"]] == 2
    assert night.seconds["kill to done"] < 180 + 60 * (os.cpu_count() < 4)


def test_both_trainings_go_on_from_their_checkpoint(night):
    steps = [int(message.split("step ")[1].split()[0]) for message in night.kept]
    assert len(steps) == 2
    assert min(steps) >= 20


def test_no_step_is_in_the_curve_twice(night):
    for name in night.runs.values():
        product = next(night.out.glob(f"*/undated/{name}"))
        record = json.loads((product / "record.json").read_text())
        curve = record["provenance"]["training"]["curve"]
        steps = [entry["step"] for entry in curve]
        assert steps == sorted(set(steps))
        assert steps[-1] == STEPS


def test_a_scene_that_is_handed_out_twice_is_one_run(night):
    assert night.asked_twice == 4


def test_a_scene_that_is_done_keeps_no_checkpoint(night):
    assert not list(night.out.glob(".scratch/*/*/training.safetensors"))


def test_a_scenes_name_never_reaches_a_shell(night):
    assert not list(Path.cwd().rglob("INJECTED"))
    assert not list(night.out.parent.rglob("INJECTED"))


def test_the_password_is_nowhere(night):
    assert night.traces == []

"""The ways to SLURM without a pool: an array that shares the archive out, and one job for each scene."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.products.layout import published_folders
from pipeline.products.publish import verify
from tests.fleet.tiny import CHEAP, TRAINED, cheap_settings, write_archive, write_scene
from tests.fleet.waiting import wait_for

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
SLURM = ROOT / "deploy" / "slurm"
CHEAPLY = [word for setting in CHEAP for word in ("--set", setting)]
TRAINING = [word for setting in TRAINED for word in ("--set", setting)]
SMALL_JOB = ["--cpus-per-task=1", "--time=10"]


@pytest.fixture
def site(cluster, tmp_path):
    """Environment of an operator without a server: the jobs find the project and may use the CPU."""
    file = tmp_path / "site.env"
    file.write_text(f"THERMAL_SR_VENV='{sys.prefix}'\nTHERMAL_SR_NEEDS_GPU=no\nOMP_NUM_THREADS=1\n")
    file.chmod(0o600)
    return {**cluster.environment, "THERMAL_SR_HOME": str(ROOT), "THERMAL_SR_ENV": str(file)}


def products(archive, out):
    """Published products, each as its manifest says."""
    found = list(published_folders(out / cheap_settings(archive, out).recipe.label))
    for product in found:
        verify(product)
    return found


def wait_until_jobs_are_gone(cluster, tmp_path):
    try:
        wait_for(lambda: not cluster.active_jobs(), within_s=240, what="the jobs to end", every_s=1)
    except TimeoutError as error:
        logs = [log.read_text()[-1500:] for log in tmp_path.glob("*.log")]
        raise AssertionError("\n".join([str(error), *logs])) from error


def test_an_array_does_every_scene_once(cluster, site, tmp_path):
    archive, out = write_archive(tmp_path / "archive", 4), tmp_path / "out"
    cluster.submit(
        "--array=1-2",
        *SMALL_JOB,
        SLURM / "run.sbatch",
        archive,
        out,
        *CHEAPLY,
        environment=site,
        cwd=tmp_path,
    )
    wait_until_jobs_are_gone(cluster, tmp_path)
    assert len(products(archive, out)) == 4


def test_push_submits_one_job_for_each_scene_whatever_its_name(cluster, site, tmp_path):
    archive, out = tmp_path / "archive", tmp_path / "out"
    archive.mkdir()
    write_scene(archive / "plain.npz", 1)
    write_scene(archive / "a; touch INJECTED $(touch INJECTED) `touch INJECTED`.npz", 2)
    command = [SLURM / "push.sh", archive, out, *CHEAPLY, "--", *SMALL_JOB]
    answer = subprocess.run(
        command, env={"PATH": "/usr/bin:/bin", **site}, cwd=tmp_path, capture_output=True, text=True
    )
    assert answer.stdout == "2 jobs submitted\n", answer.stderr
    wait_until_jobs_are_gone(cluster, tmp_path)
    assert len(products(archive, out)) == 2
    assert not list(tmp_path.rglob("INJECTED"))


def test_push_says_when_it_cannot_even_plan(cluster, site, tmp_path):
    command = [SLURM / "push.sh", tmp_path / "nowhere", tmp_path / "out"]
    answer = subprocess.run(
        command, env={"PATH": "/usr/bin:/bin", **site}, cwd=tmp_path, capture_output=True, text=True
    )
    assert answer.returncode != 0
    assert "nowhere" in answer.stderr
    assert "submitted" not in answer.stdout


def test_a_plain_job_that_gets_term_keeps_its_training_and_is_started_again(cluster, site, tmp_path):
    archive, out = write_archive(tmp_path / "archive", 1), tmp_path / "out"
    endless = [*TRAINING, "--set", "recipe.train.steps=200000", "--set", "run.checkpoint_s=5"]
    job = cluster.submit(
        *SMALL_JOB, SLURM / "run.sbatch", archive, out, *CHEAPLY, *endless, environment=site, cwd=tmp_path
    )
    wait_for(lambda: list(out.glob(".scratch/*/*/training.safetensors")), within_s=120, what="a training")
    (kept,) = out.glob(".scratch/*/*/training.safetensors")
    before_s = kept.stat().st_mtime
    time.sleep(2)  # in which newer states are taken into memory, and none is due to be written
    cluster.run("scancel", "--batch", "--signal=TERM", str(job))
    wait_for(lambda: cluster.state(job) == "PENDING", within_s=60, what="the job to be queued again")
    wait_for(lambda: not cluster.processes(), within_s=30, what="the last of its processes to end")
    cluster.run("scancel", str(job))
    assert kept.stat().st_mtime > before_s


def test_a_plain_job_that_is_canceled_keeps_its_training_and_stays_away(cluster, site, tmp_path):
    archive, out = write_archive(tmp_path / "archive", 1), tmp_path / "out"
    endless = [*TRAINING, "--set", "recipe.train.steps=200000", "--set", "run.checkpoint_s=1"]
    job = cluster.submit(
        *SMALL_JOB, SLURM / "run.sbatch", archive, out, *CHEAPLY, *endless, environment=site, cwd=tmp_path
    )
    wait_for(lambda: list(out.glob(".scratch/*/*/training.safetensors")), within_s=120, what="a training")
    cluster.run("scancel", str(job))
    wait_until_jobs_are_gone(cluster, tmp_path)
    assert cluster.state(job) == "CANCELLED"
    assert list(out.glob(".scratch/*/*/training.safetensors"))
    wait_for(lambda: not cluster.processes(), within_s=30, what="the last of its processes to end")

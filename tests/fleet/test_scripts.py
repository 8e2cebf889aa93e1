"""What can be said of the scripts and files of a fleet without running them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.settings_sources import load_settings

ROOT = Path(__file__).parents[2]
SLURM = ROOT / "deploy" / "slurm"
SCRIPTS = sorted([*SLURM.glob("*.sh"), *SLURM.glob("*.sbatch")])
SHELLCHECK = Path(sys.executable).with_name("shellcheck")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing(script):
    answer = subprocess.run(
        [SHELLCHECK, "--external-sources", f"--source-path={ROOT}", script], capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stdout


def test_the_example_settings_are_valid():
    settings = load_settings(SLURM / "site.toml.example", environment={})
    assert (settings.run.dispatch, settings.run.slurm.workers) == ("pool", 8)


def test_no_job_exports_the_callers_whole_environment():
    for script in SLURM.glob("*.sbatch"):
        assert re.search(
            r"^#SBATCH --export=THERMAL_SR_HOME,THERMAL_SR_ENV$", script.read_text(), re.MULTILINE
        ), script


def test_jobs_that_hand_scenes_back_to_the_pool_are_not_started_again_by_slurm():
    assert "\n#SBATCH --no-requeue\n" in (SLURM / "gpu_worker.sbatch").read_text()


@pytest.mark.parametrize("named", ["deploy/slurm/site.env", "deploy/docker/.env"])
def test_files_with_secrets_are_never_committed(named):
    answer = subprocess.run(["git", "check-ignore", "--quiet", named], cwd=ROOT)
    assert answer.returncode == 0

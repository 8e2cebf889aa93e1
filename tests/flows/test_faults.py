"""What goes wrong while scenes are handed out: the report is written and says it."""

import json
import os

import numpy as np
import pytest

from flows import dispatch
from flows.night import run_night
from pipeline.errors import SettingsError
from pipeline.settings_sources import load_settings

pytestmark = [
    pytest.mark.slow,
    # Prefect's own client leaves sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def night(tmp_path, monkeypatch):
    """Settings of an archive of two scenes, with more said."""
    monkeypatch.setenv("PREFECT_LOGGING_LEVEL", "WARNING")  # a quiet night sets it for its whole process
    (tmp_path / "archive").mkdir()
    for number in range(2):
        kelvin = np.full((40, 40), 290 + number, np.float32)
        np.savez(tmp_path / "archive" / f"{number}.npz", temperature=kelvin, units="K")
    roots = (f"archive.root={tmp_path / 'archive'}", f"output.root={tmp_path / 'products'}")
    return lambda *more: load_settings(assignments=[*roots, "archive.settle_s=0", *more], environment={})


@pytest.fixture
def sbatch(tmp_path, monkeypatch):
    """Puts a script in the place of sbatch."""

    def write(script):
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "sbatch").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bin" / "sbatch").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")

    return write


def written(settings):
    """The only report on the disk."""
    (file,) = (settings.output.root / settings.recipe.label / "reports").glob("night-*.json")
    return json.loads(file.read_text())


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ("echo 'Invalid account' >&2; exit 1", "sbatch ended with 1: Invalid account"),
        ("exec sleep 60", "sbatch did not answer within 1 s"),
    ],
)
def test_where_slurm_fails_the_report_says_it_and_counts_the_scenes_as_left(
    prefect_server, night, sbatch, monkeypatch, script, fault
):
    monkeypatch.setattr(dispatch, "SLURM_PATIENCE_S", 1.0)
    sbatch(script)
    settings = night("run.dispatch=array")
    report = run_night(settings, quiet=True)
    assert report == written(settings)
    assert report["faults"] == [fault]
    assert report["counts"]["left for the next run"] == report["found"] == 2


def test_a_night_that_nobody_can_be_handed_writes_its_report_too(prefect_server, night):
    settings = night("run.dispatch=pool", "run.deployment=scene/none")
    with pytest.raises(SettingsError, match=r"the server has no deployment 'scene/none'"):
        run_night(settings, quiet=True)
    assert "no deployment 'scene/none'" in written(settings)["faults"][0]

"""A scheduled night on a real SLURM in which scenes are done, fall back, are refused, skipped and fail."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from flows.states import SCENE_STATES
from pipeline.products.layout import published_folders
from pipeline.products.publish import verify
from pipeline.products.records import read_record, read_records
from tests.fleet.tiny import (
    CHEAP,
    TRAINED,
    TRANSFORM,
    cheap_settings,
    in_the_way,
    write_archive,
    write_empty_scene,
    write_scene,
)
from tests.fleet.waiting import wait_for

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

POOL = (*TRAINED, "recipe.train.steps=20", "run.dispatch=pool", "run.slurm.workers=2", "run.await_h=0.2")
OPTIONS = 'run.slurm.options=["--cpus-per-task=1"]'
EXPECTED = {"done": 2, "fell back": 1, "skipped": 1, "refused": 1, "failed": 1}


class Nights:
    """The archive, its products, and what the server knows of them."""

    def __init__(self, fleet, asking, work):
        self.fleet, self.asking = fleet, asking
        self.archive, self.out = write_archive(work / "archive", 2), work / "out"
        self.settings = cheap_settings(self.archive, self.out, (*POOL, OPTIONS))
        self.file = work / "site.toml"
        words = [word for setting in (*CHEAP, *POOL, OPTIONS) for word in ("--set", setting)]
        self.words = [*words, "--set", f"archive.root={str(self.archive)!r}"]
        places = ["--set", f"archive.root={str(self.archive)!r}", "--set", f"output.root={str(self.out)!r}"]
        self.file.write_text(fleet.thermal_sr("settings", *words, *places))

    def reports(self):
        """Reports on the disk, oldest first."""
        folder = self.out / self.settings.recipe.label / "reports"
        return [json.loads(path.read_text()) for path in sorted(folder.glob("night-*.json"))]

    def scene_states(self):
        """How often the server says that a scene ended in a state."""
        deployment = self.asking.read_deployment_by_name("scene/gpu").id
        label = f"recipe:{self.settings.recipe.label}"
        runs = [run for run in self.asking.read_flow_runs() if run.deployment_id == deployment]
        return Counter(run.state.name for run in runs if label in run.tags)

    def hold_scheduled(self):
        """A night as the schedule holds it: a run of the deployment, executed by a worker of the pool cpu."""
        run = self.asking.create_flow_run_from_deployment(
            self.asking.read_deployment_by_name("ingest/nightly").id
        )
        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "cpu", "--type", "process"]
        worker = subprocess.run(
            [*command, "--run-once", "--no-create-pool-if-not-found"],
            env={
                **os.environ,
                **self.fleet.environment,
                "THERMAL_SR_SETTINGS": str(self.file),
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            },
            capture_output=True,
            text=True,
            timeout=400,
        )
        return self.asking.read_flow_run(run.id), worker.stdout + worker.stderr


def show(nights, what):
    """Print the newest report and SLURM's jobs, for `pytest -s`."""
    report = nights.reports()[-1]
    counts = ", ".join(f"{count} {word}" for word, count in report["counts"].items() if count)
    lines = [f"{what}, {report['found']} found: {counts}; complete: {report['complete']}"]
    for record in report["scenes"]:
        name = record["ref"]["scene_id"].rpartition("-")[0]
        lines.append(f"  {name}: {record['status']}. {record['reason'].replace(str(nights.out), 'OUT')}")
    lines += [f"  {row['scene_id'].rpartition('-')[0]} failed before" for row in report["failed_before"]]
    jobs = nights.fleet.cluster.run("squeue", "--noheader", "--states=all", "--format=%i %j %T %M")
    print("\n".join(["", *lines, "jobs of SLURM:", *(f"  {job}" for job in jobs.splitlines())]))


@pytest.fixture(scope="module")
def nights(fleet, asking, tmp_path_factory):
    return Nights(fleet, asking, tmp_path_factory.mktemp("pool"))


@pytest.fixture(scope="module")
def night(nights):
    """The first night: its run on the server; a file lies where one product is to be."""
    kelvin = np.random.default_rng(0).normal(295, 3, (10, 10)).astype(np.float32)
    np.savez(nights.archive / "small.npz", temperature=kelvin, crs="EPSG:32633", transform=TRANSFORM)
    np.savez(nights.archive / "words.npz", names=np.array(["no", "temperature"]))
    write_empty_scene(nights.archive / "empty.npz")
    failing = write_scene(nights.archive / "failing.npz", 60)
    in_the_way(failing, nights.archive, nights.out, (*POOL, OPTIONS))
    since = time.monotonic()
    run, said = nights.hold_scheduled()
    assert run.state.is_final(), said
    show(nights, f"the night of {time.monotonic() - since:.0f} s")
    print(f"the server: {run.state.name}, {run.state.message}; scenes {dict(nights.scene_states())}")
    return run


def test_the_report_says_what_became_of_every_scene(night, nights):
    (report,) = nights.reports()
    assert report["complete"]
    assert {name: count for name, count in report["counts"].items() if count} == EXPECTED
    assert sum(report["counts"].values()) == report["found"] == 6
    reasons = {record["status"]: record["reason"] for record in report["scenes"]}
    assert "File exists" in reasons["failed"] or "Not a directory" in reasons["failed"]
    assert "10 x 10 pixels are too few" in reasons["fell back"]
    assert all(reasons[status] for status in ("refused", "skipped"))


def test_the_folder_the_records_and_the_server_say_the_same(night, nights):
    label = nights.settings.recipe.label
    products = list(published_folders(nights.out / label))
    for product in products:
        verify(product)
    told = Counter(read_record(product).status for product in products)
    told += Counter(record.status for record in read_records(nights.out, label))
    assert told == EXPECTED
    assert nights.scene_states() == {SCENE_STATES[status]: count for status, count in EXPECTED.items()}


def test_the_night_itself_ends_in_a_state_that_tells(night, nights):
    assert night.state.name == "CompletedWithFailures"
    assert night.name.startswith("night 20")


def test_the_next_nights_say_that_a_scene_failed_before_and_complete_what_was_open(night, nights):
    words = (nights.archive, nights.out, *nights.words)
    nights.fleet.thermal_sr("run", *words)
    second = nights.reports()[1]
    assert (second["complete"], second["counts"]["dispatched"]) == (False, 1)
    assert [row["scene_id"].partition("-")[0] for row in second["failed_before"]] == ["failing"]
    show(nights, "the next night, handed out by `run`")
    wait_for(lambda: nights.scene_states()["Failed"] == 2, within_s=150, what="the scene to fail again")
    nights.fleet.thermal_sr("run", *words)
    show(nights, "the night after it")
    second = nights.reports()[1]
    print(
        f"the report of the night before: {second['counts']['failed']} failed, complete: {second['complete']}"
    )
    assert second["complete"]
    assert (second["counts"]["dispatched"], second["counts"]["failed"]) == (0, 1)
    assert sum(second["counts"].values()) == second["found"] == 6

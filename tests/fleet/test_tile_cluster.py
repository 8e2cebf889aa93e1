"""The tiles of a scene on a dask cluster: the same pixels, and no cluster left behind."""

import gc
import os

import numpy as np
import pytest
from distributed import LocalCluster

from pipeline import tile_cluster
from pipeline.errors import SettingsError
from pipeline.nights.night import plan_night
from pipeline.process import process_scene
from tests.fleet.kill_points import pixels
from tests.fleet.tiny import cheap_settings, write_archive
from tests.fleet.waiting import free_port, wait_for


@pytest.fixture(autouse=True)
def environment_restored():
    """What distributed tells its workers it writes into our own environment."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.slow
def test_a_cluster_computes_the_pixels_that_threads_compute(tmp_path):
    archive, found = write_archive(tmp_path / "archive", 1), []
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        told = ["run.tiles=distributed", f"run.scheduler={cluster.scheduler_address!r}"]
        for name, assignments in (("threads", []), ("cluster", told)):
            settings = cheap_settings(archive, tmp_path / name, ["run.tile_px=32", *assignments])
            process_scene(plan_night(settings).todo[0], settings)
            found += pixels(settings).values()
    assert np.array_equal(*found)


def test_a_scheduler_that_does_not_answer_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(tile_cluster, "CONNECT_S", 1)
    address = f"tcp://127.0.0.1:{free_port()}"
    run = cheap_settings(tmp_path, tmp_path, ["run.tiles=distributed", f"run.scheduler={address!r}"]).run
    with (
        pytest.raises(SettingsError, match=rf"run\.scheduler: '{address}' does not answer"),
        tile_cluster.tile_scheduler(run, tmp_path),
    ):
        pass


# dask-jobqueue never closes the files of its keys
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.slurm
@pytest.mark.slow
def test_a_cluster_of_slurm_jobs_comes_and_goes_with_its_scene(cluster, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_CONF", cluster.environment["SLURM_CONF"])
    run = cheap_settings(tmp_path, tmp_path, ["run.tiles=distributed"]).run
    with tile_cluster.tile_scheduler(run, tmp_path / "keys") as client:
        assert client.scheduler.address.startswith("tls://")
        assert client.submit(os.getenv, "SLURM_JOB_ID").result()
    del client
    gc.collect()  # while the warning of those files is not an error
    wait_for(lambda: not cluster.active_jobs(), within_s=30, what="the cluster's jobs to end")

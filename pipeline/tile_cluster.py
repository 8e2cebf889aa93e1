"""Who computes the tiles of a scene: threads of this process, or a dask cluster for a giant one.

Whoever reaches the port of a dask scheduler can have any code run, so the cluster that is started
here speaks TLS with keys of its own, and one that is named should do so or be on a private network.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.errors import SettingsError
from pipeline.settings import RunSettings

CONNECT_S, WAIT_S = 60, 3600
WORKERS = 2
MEMORY = "4GB"


@contextmanager
def tile_scheduler(run: RunSettings, scratch: Path) -> Iterator[Any]:
    """What `write_store` wants as its scheduler.

    Args:
        run: Whether there is a cluster, and its address; without one SLURM jobs are started for this scene.
        scratch: A folder that all nodes see, for the keys of such a cluster.

    Raises:
        SettingsError: The scheduler at `run.scheduler` does not answer.
    """
    if run.tiles == "threads":
        yield "threads"
        return
    import distributed  # seconds to import, needed only here

    Client: Any = distributed.Client
    if run.scheduler:
        try:
            client = Client(run.scheduler, timeout=CONNECT_S, set_as_default=False)
        except (OSError, ValueError) as error:
            found = f"{run.scheduler!r} does not answer: {error}"
            raise SettingsError(f"setting run.scheduler: {found}") from error
        with client:
            yield client
        return
    with _slurm_cluster(run, scratch) as cluster, Client(cluster, set_as_default=False) as client:
        client.wait_for_workers(1, timeout=WAIT_S)
        yield client


def _slurm_cluster(run: RunSettings, scratch: Path) -> Any:
    """As many one-core jobs as `run.slurm.workers` says, two if it says none."""
    from dask_jobqueue.slurm import SLURMCluster

    scratch.mkdir(parents=True, exist_ok=True)
    return SLURMCluster(
        n_workers=run.slurm.workers or WORKERS,
        cores=1,
        memory=MEMORY,
        queue=run.slurm.partition or None,
        job_extra_directives=list(run.slurm.options),
        protocol="tls",
        security=True,
        shared_temp_directory=str(scratch),
        log_directory=str(scratch),
        dashboard_address=None,
    )

"""What is wrong with this installation, and how to mend it.

Every check looks at the thing itself: a file is written, the server is asked, with and
without the password. No secret is shown, also not one that is part of an address.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import httpx
import numpy as np
import rasterio
import torch
from affine import Affine
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import get_current_settings
from rasterio.errors import RasterioError

from flows.rules import missing
from pipeline.errors import SettingsError
from pipeline.nights.upkeep import products_below
from pipeline.outcomes import set_aside
from pipeline.process import resolve_device
from pipeline.products.publish import redo_reason
from pipeline.products.records import read_records
from pipeline.settings import Settings
from pipeline.text import one_line

Health = Literal["ok", "note", "fault"]
LEAST_FREE_GB = 5.0
SLURM_COMMANDS = ("sbatch", "squeue", "scancel", "scontrol", "sinfo")
PLACES = {"site.env": "deploy/slurm/site.env"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        what: The thing.
        health: ok, note (works, but know it) or fault.
        found: What was seen, in one line.
        mend: What to do; empty where nothing is wrong.
    """

    what: str
    health: Health
    found: str
    mend: str = ""


def examine(settings: Settings) -> list[Finding]:
    """All findings, in the order in which a newcomer would mend them."""
    checks: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
        torch_and_gpu,
        raster_drivers,
        folders,
        kept,
        site_file,
        server,
        slurm,
    )
    return [finding for check in checks for finding in check(settings)]


def torch_and_gpu(settings: Settings) -> Iterator[Finding]:
    """torch, and whether the device of the settings computes."""
    try:
        device = resolve_device(settings.run.device)
        torch.ones(8, device=device).sum().item()
    except (SettingsError, RuntimeError) as error:
        if settings.run.dispatch != "in_place" and "SLURM_JOB_ID" not in os.environ:
            yield Finding(
                "device",
                "note",
                f"{one_line(error)}; scenes are handed out, none runs here",
                "look on a node too: srun --gres=gpu:1 thermal-sr doctor",
            )
            return
        mend = "set run.device to auto or cpu, or install the driver and the CUDA build of torch"
        yield Finding("device", "fault", one_line(error), mend)
        return
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{os.cpu_count()} CPU cores"
    yield Finding("device", "ok", f"torch {torch.__version__} on {device.type}, {name}")


def raster_drivers(settings: Settings) -> Iterator[Finding]:
    """GDAL writes and reads back what products are made of."""
    profile = {"driver": "GTiff", "height": 64, "width": 64, "count": 1, "dtype": "float32", "tiled": True}
    profile["transform"] = Affine.scale(2)  # without one rasterio warns
    with rasterio.Env() as environment:
        lacking = sorted({"GTiff", "COG"} - set(environment.drivers()))
    compression = settings.output.cog_compression
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = Path(folder) / "probe.tif"
            with rasterio.open(
                path, "w", **profile, compress=compression, blockxsize=64, blockysize=64
            ) as file:
                file.write(np.zeros((1, 64, 64), np.float32))
            with rasterio.open(path) as file:
                file.read()
        except RasterioError as error:
            mend = "set output.cog_compression to deflate, or install rasterio's own wheels"
            yield Finding("GDAL", "fault", one_line(error), mend)
            return
    if lacking:
        yield Finding(
            "GDAL", "fault", f"no driver {', '.join(lacking)}", "install rasterio's own wheels with pip"
        )
    else:
        yield Finding("GDAL", "ok", f"GDAL {rasterio.__gdal_version__}, GTiff and COG with {compression}")


def folders(settings: Settings) -> Iterator[Finding]:
    """The archive can be listed; products can be written, and there is room."""
    archive, out = settings.archive.root, settings.output.root
    if os.access(archive, os.R_OK):
        yield Finding("archive", "ok", str(archive))
    else:
        yield Finding(
            "archive", "fault", f"cannot read {archive}", "set archive.root, mount it, or ask for rights"
        )
    for what, folder in (("products", out), ("scratch", settings.run.scratch or out)):
        existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
        if not os.access(existing, os.W_OK | os.X_OK):
            yield Finding(what, "fault", f"cannot write to {existing}", f"ask for rights, or move {folder}")
            continue
        free_gb = shutil.disk_usage(existing).free / 1e9
        short = free_gb < LEAST_FREE_GB
        yield Finding(
            what,
            "fault" if short else "ok",
            f"{folder}, {free_gb:.1f} GB free",
            f"make room: {LEAST_FREE_GB:.0f} GB at least" if short else "",
        )


def kept(settings: Settings) -> Iterator[Finding]:
    """Products that wait to be made again, and scenes that are set aside; no product is read."""
    out = settings.output.root
    again = [reason for product in products_below(out) if (reason := redo_reason(product))]
    damaged = sum(reason.startswith("damaged") for reason in again)
    if again:
        found = f"{len(again)} are to be made again, {damaged} of them damaged"
        yield Finding("kept", "note", found, f"thermal-sr ls {out} --state redo; the next run makes them")
    records = read_records(out, settings.recipe.label)
    if aside := [record for record in records if set_aside(record, settings)]:
        found = f"{len(aside)} scenes failed too often and are set aside, the last: {aside[-1].reason}"
        mend = f"thermal-sr ls {out} --state failed; mend the cause, then thermal-sr redo {out} -"
        yield Finding("scenes", "note", one_line(found), mend)
    if not again and not aside:
        yield Finding("kept", "ok", "no product waits to be made again, no scene is set aside")


def site_file(_settings: Settings) -> Iterator[Finding]:
    """The file with the site's secrets can be read by its owner only."""
    named = (
        os.environ.get("THERMAL_SR_ENV") or f"{os.environ.get('THERMAL_SR_HOME', '.')}/{PLACES['site.env']}"
    )
    path = Path(named)
    if not path.is_file():
        return
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield Finding("site.env", "fault", f"others may read {path}", f"chmod 600 {path}")
    else:
        yield Finding("site.env", "ok", f"{path}, for its owner only")


def server(settings: Settings) -> Iterator[Finding]:
    """The Prefect server: there, guarded, with everything that the fleet needs."""
    url, pool = get_current_settings().api.url, settings.run.dispatch == "pool"
    if not url:
        found = "none set: runs on one machine have a Prefect server of their own"
        mend = (
            "set PREFECT_API_URL and PREFECT_API_AUTH_STRING, see deploy/slurm/site.env.example"
            if pool
            else ""
        )
        yield Finding("server", "fault" if pool else "ok", found, mend)
        return
    shown = _without_secrets(url)
    try:
        httpx.get(f"{shown}/health", timeout=10).raise_for_status()
    except httpx.HTTPError as error:
        found = f"{shown} does not answer: {type(error).__name__}"
        yield Finding(
            "server", "fault", found, "start it (deploy/docker/compose.yaml), or mend PREFECT_API_URL"
        )
        return
    yield Finding("server", "ok", shown)
    yield from server_guards(shown)  # without the password that an address may hold: as a stranger
    with get_client(sync_client=True) as client:
        try:
            yield from _deployments(client, settings)
        except PrefectHTTPStatusError as error:
            found = f"the server answers {error.response.status_code} to our password"
            yield Finding("password", "fault", found, "set PREFECT_API_AUTH_STRING to the server's")


def slurm(settings: Settings) -> Iterator[Finding]:
    """SLURM's commands, the controller, the partition; needed only where scenes go to SLURM from here."""
    needed = settings.run.dispatch == "array" or settings.run.slurm.workers > 0
    lacking = [command for command in SLURM_COMMANDS if shutil.which(command) is None]
    if lacking:
        mend = "install slurm-client, or run on a login node; without it start workers elsewhere"
        found = f"no {', '.join(lacking)} here"
        yield (
            Finding("SLURM", "fault", found, mend)
            if needed
            else Finding("SLURM", "ok", f"{found}, none needed")
        )
        return
    partition = settings.run.slurm.partition
    command = [
        "sinfo",
        "--noheader",
        "--format=%P %G %T",
        *([f"--partition={partition}"] if partition else []),
    ]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    lines = answer.stdout.split("\n")
    if answer.returncode:
        health: Health = "fault" if needed else "note"
        yield Finding("SLURM", health, one_line(answer.stderr), "is slurmctld up? is SLURM_CONF right?")
    elif partition and not any(lines):
        yield Finding(
            "SLURM", "fault", f"no partition {partition!r}", "set run.slurm.partition; sinfo lists them"
        )
    elif "gpu" in settings.run.slurm.gres and not any("gpu" in line for line in lines):
        yield Finding(
            "SLURM", "fault" if needed else "note", "no node with a GPU", "set run.slurm.gres, or gres.conf"
        )
    else:
        yield Finding("SLURM", "ok", "; ".join(line for line in lines if line))


def server_guards(url: str) -> Iterator[Finding]:
    """Whether the server lets strangers in: whoever reaches it could have any code run."""
    if httpx.get(f"{url}/version", timeout=10).status_code == httpx.codes.UNAUTHORIZED:
        yield Finding("password", "ok", "the server asks for one")
    else:
        mend = "set PREFECT_SERVER_API_AUTH_STRING on the server and PREFECT_API_AUTH_STRING here"
        yield Finding("password", "fault", "the server takes orders from anybody", mend)
    if httpx.post(f"{url}/flow_runs/count", json={}, timeout=10).status_code == httpx.codes.FORBIDDEN:
        yield Finding("forged requests", "ok", "the server refuses them")
    else:
        mend = "set PREFECT_SERVER_CSRF_PROTECTION_ENABLED=true on the server"
        yield Finding("forged requests", "fault", "a web page could give orders in your name", mend)
    address = urlsplit(url)
    if address.scheme == "http" and address.hostname not in ("localhost", "127.0.0.1", "::1"):
        mend = "keep it inside a private network, or put TLS before it"
        yield Finding("encryption", "note", "the password travels unencrypted", mend)


def _deployments(client: SyncPrefectClient, settings: Settings) -> Iterator[Finding]:
    wanted = (settings.run.deployment, "ingest/nightly")
    for name in wanted:
        try:
            deployment = client.read_deployment_by_name(name)
        except ObjectNotFound:
            yield Finding(name, "fault", "no such deployment", "prefect --no-prompt deploy --all")
            continue
        yield _deployment(client, name, deployment)
    lacking = missing(client, settings.run.deployment)
    if lacking:
        mend = "python -m flows.automations"
        yield Finding("automations", "fault", f"missing: {'; '.join(lacking)}", mend)
    else:
        yield Finding("automations", "ok", "runs of dead nodes are noticed and go back to the pool")


def _deployment(client: SyncPrefectClient, name: str, deployment: DeploymentResponse) -> Finding:
    """Whether a deployment's runs reach a worker."""
    pool_name = deployment.work_pool_name
    if pool_name is None:  # what is left of a deployment whose pool was deleted
        mend = (
            "prefect work-pool create cpu --type process, the same for gpu; prefect --no-prompt deploy --all"
        )
        return Finding(name, "fault", "it has no pool", mend)
    pool = client.read_work_pool(pool_name)
    if pool.type != "process":
        mend = f"prefect work-pool delete {pool_name}; prefect work-pool create {pool_name} --type process"
        found = f"its pool {pool_name} is of type {pool.type}, process is wanted"
        return Finding(name, "fault", found, f"{mend}; prefect --no-prompt deploy --all")
    if pool.is_paused:
        mend = f"prefect work-pool resume {pool_name}"
        return Finding(name, "fault", f"its pool {pool_name} is paused", mend)
    if deployment.paused:
        return Finding(name, "fault", "it is paused", "resume it on its page in the UI")
    if deployment.schedules and not any(schedule.active for schedule in deployment.schedules):
        mend = f"prefect deployment schedule ls {name}; prefect deployment schedule resume {name} ID"
        return Finding(name, "note", "its schedule is switched off: no night begins by itself", mend)
    return Finding(name, "ok", f"on pool {pool_name}")


def _without_secrets(url: str) -> str:
    address = urlsplit(url)
    host = address.hostname or ""
    return f"{address.scheme}://{host}{f':{address.port}' if address.port else ''}{address.path}"

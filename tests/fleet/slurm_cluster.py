"""A real SLURM on this machine for the length of a test run: one controller, one node, two pretend GPUs.

The GPUs are /dev/null and /dev/zero: SLURM counts device files, it does not open them.
Daemons are stopped by the process ids in their own pid files.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.fleet.packages import NotInstalledError, install
from tests.fleet.waiting import free_port, wait_for

COMMANDS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "sinfo", "scontrol")
DAEMONS = ("slurmd", "slurmctld", "munged")  # the order in which they are stopped
NODE_CPUS = 8  # pretended too, so that jobs do not wait for each other on a small machine

SLURM_CONF = """\
ClusterName=testing
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={root}/munge.socket
CryptoType=crypto/munge
SlurmctldPort={controller_port}
SlurmdPort={node_port}
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
ReturnToService=2
KillWait=10
MinJobAge=600
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=16000 Gres=gpu:2 State=UNKNOWN
PartitionName=gpu Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""
GRES_CONF = "NodeName={host} Name=gpu File=/dev/null,/dev/zero\n"


@dataclass(frozen=True)
class SlurmCluster:
    """A running cluster.

    Attributes:
        root: Its configuration, state and logs.
        environment: What a process needs to talk to it, on top of its own environment.
    """

    root: Path
    environment: Mapping[str, str]

    def run(
        self, *command: str | Path, environment: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> str:
        """Standard output of a command that talks to this cluster; a failing one is an error."""
        answer = subprocess.run(
            [str(part) for part in command],
            env={**os.environ, **self.environment, **(environment or {})},
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=60,
        )
        if answer.returncode:
            raise RuntimeError(f"{command[0]} ended with {answer.returncode}: {answer.stderr.strip()}")
        return answer.stdout.strip()

    def submit(
        self, *arguments: str | Path, environment: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> int:
        """Job id of a script handed to sbatch."""
        answer = self.run("sbatch", "--parsable", *arguments, environment=environment, cwd=cwd)
        return int(answer.split(";")[0])

    def state(self, job: int) -> str:
        """A job's state in SLURM's word, e.g. "RUNNING"; of an array, its first task's."""
        shown = self.run("scontrol", "show", "job", "--oneliner", str(job))
        return next(word for word in shown.split() if word.startswith("JobState=")).removeprefix("JobState=")

    def processes(self, job: int | None = None) -> list[int]:
        """Ids of the processes of a job of this cluster, or of all, told by their environment."""
        cluster, found = f"SLURM_CONF={self.root}/slurm.conf\0".encode(), []
        mark = b"SLURM_JOB_ID=" if job is None else f"SLURM_JOB_ID={job}\0".encode()
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                environment = (folder / "environ").read_bytes()
            except OSError:  # gone already
                continue
            if cluster in environment and mark in environment:
                found.append(int(folder.name))
        return found

    def active_jobs(self) -> list[str]:
        """Jobs that wait, run or are being cleaned up: "12 RUNNING" and the like."""
        return self.run("squeue", "--noheader", "--format=%i %T").splitlines()

    def end_jobs(self) -> None:
        """Cancel all jobs, and wait until they are gone."""
        self.run("scancel", f"--user={os.geteuid()}")
        wait_for(lambda: not self.active_jobs(), within_s=120, what="the cluster to be empty", every_s=0.5)


def make_sure_slurm_is_installed() -> None:
    """Find SLURM, or install it where root may.

    Raises:
        NotInstalledError: It is not there and cannot be had.
    """
    if os.geteuid() != 0:
        raise NotInstalledError("SLURM's daemons are started as root here, and this is not root")
    if any(shutil.which(command) is None for command in COMMANDS):
        install("slurm-wlm", "munge")
    if missing := [command for command in COMMANDS if shutil.which(command) is None]:
        raise NotInstalledError(f"no {', '.join(missing)}, although slurm-wlm and munge are installed")


@contextmanager
def slurm_cluster() -> Iterator[SlurmCluster]:
    """A cluster with an idle node; its daemons and its folder are gone afterwards.

    Raises:
        NotInstalledError: SLURM is not here and cannot be had.
        RuntimeError: It is here and does not come up within 30 s: a fault, no reason to skip a test.
    """
    make_sure_slurm_is_installed()
    root = Path(tempfile.mkdtemp(prefix="slurm-"))  # short: the path of a socket has to fit into 108 bytes
    environment = {"SLURM_CONF": str(root / "slurm.conf")}
    try:
        _configure(root)
        _start(root, environment)
        cluster = SlurmCluster(root, environment)
        _wait_until_idle(cluster)
        yield cluster
        cluster.run("scancel", "--user", "root")
        wait_for(lambda: not cluster.active_jobs(), within_s=60, what="jobs to leave the queue")
    finally:
        for daemon in DAEMONS:
            _stop(root / f"{daemon}.pid")
        for pid in SlurmCluster(root, environment).processes():  # this SLURM has no cgroup to hold them
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(root, ignore_errors=True)


def _configure(root: Path) -> None:
    root.chmod(0o755)
    for folder in ("state", "spool"):
        (root / folder).mkdir()
    words = {
        "host": socket.gethostname().split(".")[0],
        "root": root,
        "cpus": NODE_CPUS,
        "controller_port": free_port(),
        "node_port": free_port(),
    }
    (root / "slurm.conf").write_text(SLURM_CONF.format(**words))
    (root / "gres.conf").write_text(GRES_CONF.format(**words))
    key = root / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)


def _start(root: Path, environment: Mapping[str, str]) -> None:
    munge = {
        "key-file": "munge.key",
        "socket": "munge.socket",
        "pid-file": "munged.pid",
        "log-file": "munged.log",
        "seed-file": "munged.seed",
    }
    for command in (
        ["munged", "--force", *(f"--{name}={root / file}" for name, file in munge.items())],
        ["slurmctld", "-f", str(root / "slurm.conf")],
        ["slurmd", "-f", str(root / "slurm.conf")],
    ):
        answer = subprocess.run(
            command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=30
        )
        if answer.returncode:
            raise RuntimeError(f"{command[0]} ended with {answer.returncode}: {answer.stderr.strip()[-300:]}")


def _wait_until_idle(cluster: SlurmCluster) -> None:
    def idle() -> bool:
        try:
            return "idle" in cluster.run("sinfo", "--noheader", "--format=%T")
        except RuntimeError:  # the controller does not answer yet
            return False

    try:
        wait_for(idle, within_s=30, what="an idle node", every_s=0.1)
    except TimeoutError as error:
        log = (cluster.root / "slurmctld.log").read_text()[-500:]
        raise RuntimeError(f"{error}; the controller's log ends: {log}") from error


def _stop(pid_file: Path) -> None:
    try:
        pid = int(pid_file.read_text())
        os.kill(pid, signal.SIGTERM)
    except (OSError, ValueError):
        return
    try:
        wait_for(lambda: not Path(f"/proc/{pid}").exists(), within_s=15, what=pid_file.stem, every_s=0.05)
    except TimeoutError:
        os.kill(pid, signal.SIGKILL)

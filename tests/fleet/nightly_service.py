"""The nightly service of one machine as a real process, on a schedule of every minute."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient

from tests.fleet.stop_points import marked
from tests.fleet.tiny import CHEAP, cheap_settings
from tests.fleet.waiting import wait_for

THERMAL_SR = Path(sys.executable).with_name("thermal-sr")


class NightlyService:
    """A service over an archive; it can be started, told to end, killed and started again.

    Attributes:
        out: Its products.
        state: Its own folder.
        log: What it said, over all its lives.
        process: The one that was started last.
    """

    def __init__(self, folder: Path, archive: Path, assignments: tuple[str, ...] = (), cron="* * * * *"):
        self.out, self.state, self.log = folder / "out", folder / "state", folder / "log"
        self._mark = uuid.uuid4().hex
        words = [word for setting in (*CHEAP, *assignments) for word in ("--set", setting)]
        self.command = [THERMAL_SR, "serve", archive, self.out, "--cron", cron, "--state", self.state, *words]
        self._label = cheap_settings(archive, self.out, assignments).recipe.label

    def start(self, environment: Mapping[str, str] | None = None, *more: str) -> None:
        """Begin, or begin again."""
        mine = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [*self.command, *more],
                env={**mine, "OMP_NUM_THREADS": "1", "MARK": self._mark, **(environment or {})},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def end(self, number: signal.Signals, within_s: float = 60.0) -> int:
        """Send a signal to the service alone and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(within_s)

    def reports(self) -> list[dict]:
        """Reports on the disk, oldest first."""
        folder = self.out / self._label / "reports"
        return [json.loads(path.read_text()) for path in sorted(folder.glob("night-*.json"))]

    def behind(self) -> list[int]:
        """Processes of the service that are still there."""
        return marked(self._mark)

    def nights(self) -> list:
        """The nights that the server knows and that have begun, oldest first."""
        with self.client() as client:
            runs = [run for run in client.read_flow_runs() if run.deployment_id and run.start_time]
        return sorted(runs, key=lambda run: run.start_time)

    @contextlib.contextmanager
    def client(self) -> Iterator[SyncPrefectClient]:
        """To ask its server."""
        address = json.loads((self.state / "server.json").read_text())
        url = f"http://127.0.0.1:{address['port']}/api"
        with SyncPrefectClient(url, auth_string=address["password"]) as client:
            yield client

    def wait_for_reports(self, count: int, within_s: float = 150.0) -> list[dict]:
        """Reports on the disk, once there are that many."""
        wait_for(lambda: len(self.reports()) >= count, within_s=within_s, what=f"{count} reports")
        return self.reports()


@contextlib.contextmanager
def nightly_service(
    folder: Path, archive: Path, assignments: tuple[str, ...] = ()
) -> Iterator[NightlyService]:
    """A service that was not started yet; nothing of it is left afterwards."""
    service = NightlyService(folder, archive, assignments)
    try:
        yield service
    finally:
        for process in service.behind():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

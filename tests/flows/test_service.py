"""The nightly service of one machine: real processes, a schedule of every minute, its own Prefect server."""

import json
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.responses import FlowRunResponse
from prefect.settings import get_current_settings
from prefect.states import Scheduled

from flows.service import Service, deploy, next_night
from flows.systemd import calendar_of
from tests.fleet.nightly_service import THERMAL_SR, nightly_service
from tests.fleet.tiny import cheap_settings, write_archive, write_scene
from tests.fleet.waiting import free_port, wait_for


@pytest.mark.slow
def test_it_fires_every_minute_is_killed_and_goes_on_where_it_was(tmp_path):
    archive = write_archive(tmp_path / "archive", 1)
    with nightly_service(tmp_path, archive) as service:
        service.start()
        (first,) = service.wait_for_reports(1)
        assert first["counts"]["done"] == first["found"] == 1
        wait_for(lambda: service.nights()[0].state.is_final(), within_s=30, what="the first night to end")
        (night,) = service.nights()
        assert (night.state.name, night.start_time.second < 20) == ("Completed", True)
        port = json.loads((service.state / "server.json").read_text())["port"]

        write_scene(archive / "late.npz", 99)
        assert service.end(signal.SIGKILL) == -signal.SIGKILL
        wait_for(lambda: not service.behind(), within_s=30, what="the killed service's processes to go")
        service.start()
        second = service.wait_for_reports(2)[1]
        assert second["counts"]["done"] == second["counts"]["already done"] == 1
        assert second["scenes"][0]["ref"]["files"][0].endswith("late.npz")
        wait_for(lambda: len(service.nights()) == 2, within_s=30, what="the second night")
        assert json.loads((service.state / "server.json").read_text())["port"] == port
        assert service.nights()[0].id == night.id

        again = subprocess.run(service.command, capture_output=True, text=True, timeout=60)
        assert again.returncode == 2, again.stderr
        assert f"held by process {service.process.pid}, which serves this archive already" in again.stderr

        assert service.end(signal.SIGTERM) == 0
        wait_for(lambda: not service.behind(), within_s=10, what="the service's processes to go")
        assert "Traceback" not in service.log.read_text()


def test_a_server_that_is_named_and_does_not_answer_is_a_line_with_the_mend(tmp_path):
    service_of_nobody = f"http://127.0.0.1:{free_port()}/api"
    with nightly_service(tmp_path, write_archive(tmp_path / "archive", 1)) as service:
        service.start({"PREFECT_API_URL": service_of_nobody})
        assert service.process.wait(60) == 3
        said = service.log.read_text()
    assert "does not answer: ConnectError; start that server, or unset PREFECT_API_URL" in said
    assert len(said.strip().splitlines()) == 1


def test_a_server_that_is_named_is_not_told_with_the_password_of_our_own(tmp_path, prefect_server):
    url = get_current_settings().api.url
    with nightly_service(tmp_path, write_archive(tmp_path / "archive", 1)) as service:
        service.state.mkdir()
        (service.state / "server.json").write_text("{}")  # of an earlier life, with a server of its own
        service.start({"PREFECT_API_URL": url}, "--cron", "0 0 1 1 *")
        wait_for(lambda: "Ctrl-C" in service.log.read_text(), within_s=60, what="the service to begin")
        assert service.end(signal.SIGTERM) == 0
        assert f"on {url.removesuffix('/api')}; stop with Ctrl-C" in " ".join(service.log.read_text().split())


@pytest.mark.parametrize(("missed", "held"), [("catch-up", 1), ("skip", None)])
def test_nights_that_were_missed_are_one_night_or_are_skipped(tmp_path, prefect_server, missed, held):
    settings = cheap_settings(write_archive(tmp_path / "archive", 1), tmp_path / "out")
    now = datetime.now(UTC)
    with get_client(sync_client=True) as client:
        identity = deploy(client, Service(settings, "0 0 1 1 *", missed, tmp_path))
        due = [now - timedelta(hours=49), now - timedelta(hours=25), now + timedelta(hours=1)]
        runs = []
        for start in due:
            made = client.create_flow_run_from_deployment(identity, state=Scheduled(scheduled_time=start))
            told = {"auto_scheduled": True, "next_scheduled_start_time": start}
            runs.append(FlowRunResponse.model_validate({**made.model_dump(), **told}))
        chosen = next_night(client, runs, now, missed)
        names = [client.read_flow_run(run.id).state.name for run in runs]
        client.delete_deployment(identity)
    assert (chosen and chosen.id) == (held and runs[held].id)
    assert names == ["Missed", "Scheduled" if held else "Missed", "Scheduled"]


def test_a_schedule_s_folder_that_cannot_be_made_is_a_line_with_the_mend(tmp_path):
    with nightly_service(tmp_path, write_archive(tmp_path / "archive", 1)) as service:
        service.start(None, "--state", "/proc/nowhere")
        assert service.process.wait(60) == 2
        said = " ".join(service.log.read_text().split())
    assert said.endswith(
        "the schedule's folder /proc/nowhere cannot be made: No such file or directory; "
        "name another with --state"
    )


def test_a_schedule_that_is_none_is_a_line(tmp_path):
    cron = "61 2 * * *"
    (tmp_path / "archive").mkdir()
    command = [THERMAL_SR, "serve", tmp_path / "archive", tmp_path / "out", "--cron", cron]
    answer = subprocess.run(
        [*command, "--state", tmp_path / "state"], capture_output=True, text=True, timeout=60
    )
    assert answer.returncode == 2
    assert answer.stderr.startswith(f"thermal-sr: --cron {cron!r} is no schedule")
    assert len(answer.stderr.strip().splitlines()) == 1


def test_the_systemd_unit_is_accepted_and_names_every_word(tmp_path):
    archive = tmp_path / "an archive of 100 % and $HOME"
    archive.mkdir()
    command = [THERMAL_SR, "serve", archive, tmp_path / "out", "--systemd", "--state", tmp_path / "state"]
    unit = subprocess.run(
        [*command, "--set", 'output.institution="a \\"b\\""'], capture_output=True, text=True, check=True
    ).stdout
    assert f'ExecStart={Path(sys.executable).with_name("thermal-sr")} "serve"' in unit
    assert str(archive).replace("%", "%%").replace("$", "$$") in unit
    assert shutil.which("systemd-analyze"), (
        "systemd-analyze is in the Debian package systemd; .ci/run installs it"
    )
    file = tmp_path / "thermal-sr-test.service"
    file.write_text(unit)
    verified = subprocess.run(["systemd-analyze", "verify", file], capture_output=True, text=True)
    assert (verified.returncode, verified.stderr) == (0, "")
    night, timer = (file.with_name(f"thermal-sr-test-night.{kind}") for kind in ("service", "timer"))
    for written, mark in ((night, "#night "), (timer, "#timer ")):
        lines = [line.removeprefix(mark) for line in unit.splitlines() if line.startswith(mark)]
        written.write_text("\n".join(lines) + "\n")
    assert '"run"' in night.read_text()
    verified = subprocess.run(["systemd-analyze", "verify", night, timer], capture_output=True, text=True)
    assert (verified.returncode, verified.stderr) == (0, "")


@pytest.mark.parametrize(
    ("cron", "begins"),
    [
        ("15 2 * * *", "*-*-* 02:15:00 UTC"),
        ("*/5 * * * *", "*-*-* *:00/5:00 UTC"),
        ("0 6-20/2 * * 1-5", "Mon..Fri *-*-* 06..20/2:00:00 UTC"),
        ("30 1,3 1 */2 *", "*-01/2-01 01,03:30:00 UTC"),
        ("0 4 * * 7", "Sun *-*-* 04:00:00 UTC"),
    ],
)
def test_a_schedule_is_the_same_in_the_words_of_systemd(cron, begins):
    said = subprocess.run(["systemd-analyze", "calendar", calendar_of(cron)], capture_output=True, text=True)
    assert f"Normalized form: {begins}\n" in said.stdout


@pytest.mark.parametrize("cron", ["0 0 1 * 1", "@daily", "0 0 * * MON", "60"])
def test_what_no_timer_can_say_is_given_no_timer(cron):
    assert calendar_of(cron) is None

"""TERM and Ctrl-C end a night on one machine within seconds, with its report and nobody left behind."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows.stopping import STOP, StoppedError, stoppable
from tests.fleet.stop_points import SCENES, stopped
from tests.fleet.waiting import wait_for


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_night_that_is_told_to_end_keeps_its_training_and_writes_its_report(tmp_path, number):
    ended = stopped(tmp_path, number, in_training=True)
    assert ended.code == 128 + number, ended.said
    assert ended.seconds < 20
    assert ended.behind == []
    (report,) = ended.reports
    assert report["ended_by"] == number.name
    assert report["counts"]["left for the next run"] == report["found"] == SCENES
    assert sum(report["counts"].values()) == SCENES
    assert ended.kept == 1
    assert "left for the next run" in ended.said
    assert "Traceback" not in ended.said


@pytest.mark.slow
def test_a_night_that_is_told_to_end_before_its_server_is_up_writes_its_report_too(tmp_path):
    ended = stopped(tmp_path, signal.SIGINT, after_s=5.0)
    assert ended.code == 128 + signal.SIGINT, ended.said
    assert ended.seconds < 20
    assert ended.behind == []
    assert "Traceback" not in ended.said


COMMAND = "from flows.start import main; main()"


@pytest.mark.parametrize("after_s", [0.0, 0.15, 0.4, 0.8])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_command_that_is_told_to_end_while_it_is_imported_ends_without_a_word(number, after_s, tmp_path):
    words = ["plan", tmp_path, tmp_path / "out"]
    command = [sys.executable, "-c", COMMAND, *words]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        status = Path(f"/proc/{process.pid}/status")
        wait_for(lambda: hears_term(status.read_text()), within_s=20, what="the handlers", every_s=0.005)
        time.sleep(after_s)
        process.send_signal(number)
        said = process.stderr.read()
    assert (process.returncode, said) == (128 + number, b"")


def hears_term(status):
    """Whether a process has a handler for TERM, by its file in /proc."""
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def test_work_that_does_not_end_by_itself_is_left_with_its_last_words(tmp_path):
    script = (
        "import os, signal, time\n"
        "from pathlib import Path\n"
        "from flows.stopping import STOP, stoppable\n"
        "def work():\n"
        f"    STOP.get().last_words = lambda: Path({str(tmp_path / 'said')!r}).write_text('left')\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    time.sleep(60)\n"
        "stoppable(work, grace_s=0.5)\n"
    )
    answer = subprocess.run([sys.executable, "-c", script], timeout=30, capture_output=True)
    assert answer.returncode == 128 + signal.SIGTERM
    assert (tmp_path / "said").read_text() == "left"


def test_who_works_hears_that_it_is_told_to_end():
    def work():
        signal.raise_signal(signal.SIGINT)
        STOP.get().sleep(10)
        STOP.get().check()

    with pytest.raises(StoppedError, match="told to end by SIGINT"):
        stoppable(work)


def test_what_a_night_raises_is_raised_where_it_was_called():
    def work():
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        stoppable(work)


def test_a_command_that_is_told_to_end_when_it_has_ended_keeps_its_exit_code():
    late = (
        "import os, signal\n"
        "class Late:\n"
        "    def __del__(self): os.kill(os.getpid(), signal.SIGTERM)\n"
        "import builtins; builtins.late = Late()\n"
    )
    command = [sys.executable, "-c", late + COMMAND, "networks", "--help"]
    assert subprocess.run(command, capture_output=True, timeout=60).returncode == 0

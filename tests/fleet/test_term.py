"""TERM in the middle of a training: its state is on the disk within ten seconds."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fleet.tiny import CHEAP, TRAINED, write_scene
from tests.fleet.waiting import wait_for

GRACE_S = 10
EVERY_S = 15  # from one state on the disk to the next; ten times as often one is taken into memory
END_S = 20  # what is promised of a whole night, its report included


@pytest.mark.slow
def test_term_writes_the_trainings_state_within_ten_seconds(server, tmp_path):
    (tmp_path / "archive").mkdir()
    archive, out = write_scene(tmp_path / "archive" / "termed.npz", 1).parent, tmp_path / "out"
    told = [*CHEAP, *TRAINED, "recipe.train.steps=200000", f"run.checkpoint_s={EVERY_S}"]
    words = [word for setting in told for word in ("--set", setting)]
    night = subprocess.Popen(
        [Path(sys.executable).with_name("thermal-sr"), "run", archive, out, *words],
        env={**os.environ, **server.client, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: written_ns(out) is not None, within_s=180, what="the first state", every_s=0.1)
        first_ns = written_ns(out)
        time.sleep(EVERY_S / 4)
        assert written_ns(out) == first_ns
        night.send_signal(signal.SIGTERM)
        what = "the newest state, which is not due yet"
        wait_for(lambda: written_ns(out) != first_ns, within_s=GRACE_S, what=what, every_s=0.1)
        assert night.wait(END_S) != 0
    finally:
        night.kill()
        night.wait()


def written_ns(out):
    """When the state of the one training was written; None where it is not."""
    return next((path.stat().st_mtime_ns for path in out.glob(".scratch/*/*/training.safetensors")), None)

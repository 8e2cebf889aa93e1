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
END_S = 20  # what is promised of a whole night, its report included


@pytest.mark.slow
def test_term_writes_the_trainings_state_within_ten_seconds(server, client, tmp_path):
    (tmp_path / "archive").mkdir()
    archive, out = write_scene(tmp_path / "archive" / "termed.npz", 1).parent, tmp_path / "out"
    # Taken into memory every ten seconds, due on the disk after a hundred: before that, only TERM writes it.
    told = [*CHEAP, *TRAINED, "recipe.train.steps=200000", "run.checkpoint_s=100"]
    words = [word for setting in told for word in ("--set", setting)]
    night = subprocess.Popen(
        [Path(sys.executable).with_name("thermal-sr"), "run", archive, out, *words],
        env={**os.environ, **server.client, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: stage(client, "termed") == "train", within_s=120, what="the training")
        time.sleep(30)  # on a busy machine the first steps take long
        assert list(out.glob(".scratch/*/*/training.safetensors")) == []
        night.send_signal(signal.SIGTERM)
        wait_for(
            lambda: list(out.glob(".scratch/*/*/training.safetensors")),
            within_s=GRACE_S,
            what="the training's state",
            every_s=0.1,
        )
        assert night.wait(END_S) != 0
    finally:
        night.kill()
        night.wait()


def stage(client, name):
    """Last word of what the server was told of a scene's progress."""
    told = [artifact.description or "" for artifact in client.read_latest_artifacts()]
    return next((text.split(": ")[-1] for text in told if text.startswith(f"{name}-")), "")

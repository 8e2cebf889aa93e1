"""What `run` says before a night begins."""

import os
import re
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from typer.testing import CliRunner

from flows.cli import app
from pipeline.errors import SettingsError


def test_a_folder_that_cannot_be_written_is_said_once_before_the_night(tmp_path):
    (tmp_path / "archive").mkdir()
    (tmp_path / "file").write_text("")
    words = ["run", str(tmp_path / "archive"), str(tmp_path / "file" / "out")]
    with pytest.raises(SettingsError, match=r"OUT .*out cannot be written: Not a directory; name a folder"):
        CliRunner().invoke(app, words, catch_exceptions=False)


@pytest.mark.slow
def test_term_keeps_the_training_and_leaves_no_server_behind(tmp_path):
    truth = np.random.default_rng(0).normal(295, 3, (96, 96)).astype(np.float32)
    np.savez(tmp_path / "scene.npz", temperature=truth, units="K")
    words = ["run", str(tmp_path / "scene.npz"), str(tmp_path / "out"), "--set", "recipe.prior=none"]
    words += [
        "--set",
        "archive.settle_s=0",
        "--set",
        "recipe.train.steps=100000",
        "--set",
        "run.checkpoint_s=1",
    ]
    log = tmp_path / "log"
    told = {
        **os.environ,
        "PREFECT_LOGGING_LEVEL": "INFO",
    }  # a quiet night in this process may have turned it down
    with log.open("w") as said:
        run = subprocess.Popen(
            [sys.executable, "-m", "flows.cli", *words], stdout=said, stderr=said, env=told
        )
        try:
            deadline = time.monotonic() + 120
            while not list((tmp_path / "out").rglob("training.safetensors")) and time.monotonic() < deadline:
                time.sleep(0.5)
            run.send_signal(signal.SIGTERM)
            run.wait(60)
        finally:
            run.kill()
    assert run.returncode == 128 + signal.SIGTERM, log.read_text()
    assert list((tmp_path / "out").rglob("training.safetensors"))
    port = re.search(r"temporary server on http://127\.0\.0\.1:(\d+)", log.read_text())
    assert port is not None
    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", int(port.group(1)))) != 0

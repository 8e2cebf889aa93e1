"""TERM and Ctrl-C to a night on one machine at random moments: the report is written, nobody stays behind.

    python -m tests.fleet.stop_points --times 10

Every scene trains for longer than the night is left alone. Ctrl-C goes to the whole process
group, as a terminal sends it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from tests.fleet.tiny import CHEAP, TRAINED, cheap_settings, write_archive
from tests.fleet.waiting import wait_for

THERMAL_SR = Path(sys.executable).with_name("thermal-sr")
TRAINING = (*TRAINED, "recipe.train.steps=100000", "run.checkpoint_s=5")
SCENES = 3


@dataclass(frozen=True)
class Ended:
    """How a night ended that was told to.

    Attributes:
        code: Exit code of the process.
        seconds: From the signal to the end of the process.
        reports: What it wrote, as plain JSON.
        kept: Training checkpoints on the disk.
        behind: Processes that were still there 10 s later.
        said: What it printed.
    """

    code: int
    seconds: float
    reports: list[dict]
    kept: int
    behind: list[int]
    said: str


def stopped(folder: Path, number: int, after_s: float = 0.0, *, in_training: bool = False) -> Ended:
    """A night in `folder` that gets a signal so many seconds after its start, or when a scene trains."""
    archive, out, mark = write_archive(folder / "archive", SCENES), folder / "out", uuid.uuid4().hex
    words = [word for setting in (*CHEAP, *TRAINING) for word in ("--set", setting)]
    label = cheap_settings(archive, out, TRAINING).recipe.label
    mine = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    with (folder / "log").open("w+") as log:
        night = subprocess.Popen(
            [THERMAL_SR, "run", archive, out, *words],
            env={**mine, "MARK": mark, "OMP_NUM_THREADS": "1"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            if in_training:
                wait_for(
                    lambda: list(out.glob(".scratch/*/*/training.safetensors")),
                    within_s=120,
                    what="a training",
                )
            time.sleep(after_s)
            since = time.monotonic()
            if number == signal.SIGINT:
                os.killpg(night.pid, number)
            else:
                night.send_signal(number)
            code = night.wait(60)
            seconds = time.monotonic() - since
        finally:
            night.kill()
        log.seek(0)
        said = log.read()
    reports = [json.loads(path.read_text()) for path in (out / label / "reports").glob("night-*.json")]
    kept = len(list(out.glob(".scratch/*/*/training.safetensors")))
    with contextlib.suppress(TimeoutError):
        wait_for(lambda: not marked(mark), within_s=10, what="the night's processes to go", every_s=0.2)
    return Ended(code, seconds, reports, kept, marked(mark), said)


def marked(mark: str) -> list[int]:
    """Processes whose environment holds the mark."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"MARK={mark}\0".encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:  # gone already
            continue
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--latest", type=float, default=45.0, help="seconds after the start, at most")
    parser.add_argument("--seed", type=int, default=8)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    print("signal    after s  gone in s  code  reports  left  kept  behind", flush=True)
    for turn in range(options.times):
        number, after_s = (signal.SIGTERM, signal.SIGINT)[turn % 2], draw.uniform(0, options.latest)
        with tempfile.TemporaryDirectory(prefix="stop-") as folder:
            ended = stopped(Path(folder), number, after_s)
        left = ",".join(str(report["counts"]["left for the next run"]) for report in ended.reports) or "-"
        print(
            f"{number.name:<8}{after_s:>9.1f}{ended.seconds:>11.1f}{ended.code:>6}{len(ended.reports):>9}"
            f"{left:>6}{ended.kept:>6}{len(ended.behind):>8}",
            flush=True,
        )
        if ended.code != 128 + number:
            print(ended.said[-3000:], flush=True)


if __name__ == "__main__":
    main()

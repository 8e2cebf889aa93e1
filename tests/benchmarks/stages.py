"""What a scene costs, stage by stage: seconds, process seconds and peak memory.

    python -m tests.benchmarks.stages [--side 512] [--scale 4] [--set recipe.prior=none ...]

Two scenes are run, the second of twice the side, so that the growth can be read off: seconds should
grow fourfold, memory should not grow with the product.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil

from pipeline.archive.discover import discover
from pipeline.process import process_scene
from pipeline.settings_sources import load_settings
from pipeline.trials.simulate import synthetic_truth

OURS = "/pipeline/"


class Watch:
    """Notes when a stage begins and the largest memory seen during it, MiB, also without pages of files.

    Changes itself. `rows` has seconds, process seconds and both peaks by stage; `where` the lines of our code
    that the main thread was in at the peak; `reader` the bytes of the largest process that reads.
    """

    def __init__(self, tell: Callable[[str], None] = lambda _: None) -> None:
        self.stage, self.began = "start", (time.monotonic(), time.process_time())
        self.tenth = 0.0
        self.rows: dict[str, list[float]] = {}
        self.where: dict[str, str] = {}
        self.tell, self.main = tell, threading.get_ident()
        self.peak, self.own, self.reader, self.stop = 0, 0, 0, threading.Event()
        self.sampler = threading.Thread(target=self._sample, daemon=True)
        self.sampler.start()

    def _sample(self) -> None:
        process = psutil.Process()
        while not self.stop.wait(0.01):
            memory = process.memory_info()
            if memory.rss > self.peak:
                self.peak, self.where[self.stage] = memory.rss, self._place()
            self.own = max(self.own, memory.rss - memory.shared)
            if self.stage in ("start", "read"):
                self.reader = max([self.reader, *map(_resident, process.children(recursive=True))])

    def _place(self) -> str:
        frames = traceback.extract_stack(sys._current_frames()[self.main])
        ours = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames if OURS in frame.filename]
        return " ".join(ours[-3:])

    def __call__(self, stage: str, fraction: float) -> None:
        """A `Progress`."""
        now = time.monotonic(), time.process_time()
        if stage == self.stage:
            if 10 * fraction // 1 > self.tenth:
                self.tenth = 10 * fraction // 1
                self.tell(f"{stage} {fraction:.0%}: {now[1] - self.began[1]:.1f} process s")
            return
        row = self.rows.setdefault(self.stage, [0.0, 0.0, 0.0, 0.0])
        row[0], row[1] = row[0] + now[0] - self.began[0], row[1] + now[1] - self.began[1]
        row[2], row[3] = max(row[2], self.peak / 2**20), max(row[3], self.own / 2**20)
        told = f"{row[0]:.1f} s, {row[1]:.1f} process s, {row[2]:.0f} MiB, {row[3]:.0f} own"
        self.tell(f"{self.stage}: {told}, {self.where.get(self.stage, '')}")
        self.stage, self.began, self.peak, self.own, self.tenth = stage, now, 0, 0, 0.0


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def run(side_px: int, assignments: list[str]) -> dict[str, list[float]]:
    """Rows by stage for one made scene."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        scene = synthetic_truth(side_px, np.random.default_rng(0))
        np.savez(
            root / "scene.npz",
            temperature=scene,
            units="K",
            crs="EPSG:32633",
            transform=[70, 0, 5e5, 0, -70, 5e6],
        )
        roots = [f"archive.root={root / 'scene.npz'}", f"output.root={root / 'out'}", "archive.settle_s=0"]
        settings = load_settings(assignments=[*roots, *assignments], environment={})
        watch = Watch()
        process_scene(discover(settings.archive).scenes[0], settings, progress=watch)
        watch("end", 1.0)
        watch.stop.set()
        return watch.rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    assignments = [f"recipe.scale={arguments.scale}", *arguments.set]
    small, large = (run(side, assignments) for side in (arguments.side, 2 * arguments.side))
    print(f"x{arguments.scale}, {arguments.side} and {2 * arguments.side} pixels a side\n")
    print("| stage | s | process s | peak MiB | s, twice the side | process s | peak MiB | growth |")
    print("|---|---|---|---|---|---|---|---|")
    for stage, row in small.items():
        other = large.get(stage, [0.0, 0.0, 0.0])
        growth = other[1] / row[1] if row[1] > 0.05 else float("nan")
        cells = [
            f"{row[0]:.2f}",
            f"{row[1]:.2f}",
            f"{row[2]:.0f}",
            f"{other[0]:.2f}",
            f"{other[1]:.2f}",
            f"{other[2]:.0f}",
        ]
        print(f"| {stage} | {' | '.join(cells)} | x{growth:.1f} |")


if __name__ == "__main__":
    main()

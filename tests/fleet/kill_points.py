"""Kill a scene's run at every point where it could hurt, run it again, and look what is left.

    python -m tests.fleet.kill_points --times 5

A child process runs one night over two scenes and dies of SIGKILL at the n-th time that it
passes the point. Points are found by Python's own audit events (a file is opened, a name is
changed) and by the progress that the pipeline tells, so nothing of it is replaced. Then a second
night runs to its end, and the products have to be those of a night that nobody disturbed.

The surprise: children are forked from one process that has imported everything, which
makes a night take a second; a fresh interpreter would need ten.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from pipeline.nights.night import plan_night
from pipeline.process import process_scene
from pipeline.products.layout import published_folders
from pipeline.products.publish import sweep, verify
from pipeline.products.records import read_records
from pipeline.products.store.zarr_store import open_store, temperature_name
from pipeline.settings import Settings
from tests.fleet.tiny import TRAINED, cheap_settings, write_empty_scene, write_scene

STEPS = 60
Event = Callable[[str, str], bool]
"""Whether something that happens, (kind, subject), is the point."""


def opening(part: str) -> Event:
    return lambda kind, subject: kind == "open" and part in subject


def renaming(part: str) -> Event:
    return lambda kind, subject: kind == "rename" and part in subject


def stage(name: str, least: float = 0.0) -> Event:
    return lambda kind, subject: kind == name and float(subject) >= least


POINTS: dict[str, Event] = {
    "discover": opening("/archive/"),
    "claim": stage("claim"),
    "read": stage("read"),
    "normalize": stage("normalize"),
    "train start": stage("train"),
    "train middle": stage("train", 0.5),
    "checkpoint write": lambda kind, subject: (
        kind in ("open", "rename") and "training.safetensors" in subject
    ),
    "train end": stage("train", 1.0),
    "infer": stage("judge"),
    "zarr metadata": opening("zarr.json"),
    "zarr chunk": lambda kind, subject: (
        kind in ("open", "rename") and ".zarr/" in subject and "/c/" in subject
    ),
    "cog": stage("cog"),
    "pictures": stage("pictures"),
    "manifest": lambda kind, subject: kind in ("open", "rename") and "MANIFEST" in subject,
    "rename": lambda kind, subject: (
        kind in ("rename", "rmdir") and "/.tmp-" in subject and "MANIFEST" not in subject
    ),
    "record": lambda kind, subject: (
        kind in ("open", "rename") and ("records/" in subject or "record.json" in subject)
    ),
}
# Inside compiled code nothing can be told apart: die some milliseconds into it.
DELAYED_S = {"cog": 0.03, "pictures": 0.01, "infer": 0.05, "train start": 0.02}


class Killer:
    """Dies at the n-th passing of a point; counts passings where n is 0."""

    def __init__(self, point: str, n: int) -> None:
        self._is_it, self._n, self.passed = POINTS[point], n, 0
        self._delay_s = DELAYED_S.get(point, 0.0) * n

    def __call__(self, kind: str, subject: str) -> None:
        if not self._is_it(kind, subject):
            return
        self.passed += 1
        if self.passed == self._n or (self._delay_s and self.passed == 1 and self._n):
            if self._delay_s:
                threading.Timer(self._delay_s, os.kill, (os.getpid(), signal.SIGKILL)).start()
            else:
                os.kill(os.getpid(), signal.SIGKILL)

    def hear(self, event: str, arguments: tuple[object, ...]) -> None:
        """An audit hook."""
        if event in ("open", "os.rename", "os.rmdir") and isinstance(arguments[0], (str, os.PathLike)):
            self(event.removeprefix("os."), str(arguments[0]))

    def progress(self, name: str, fraction: float) -> None:
        """Told of the progress; the views are told apart by their share of the stage."""
        if name == "views":
            name = ("cog", "pictures", "card")[min(2, round(fraction * 3))]
        self(name, str(fraction))


def night(settings: Settings, killer: Killer) -> None:
    """What ingest does, without an orchestrator: plan, then scene by scene."""
    sys.addaudithook(killer.hear)
    for ref in plan_night(settings).todo:
        killer("claim", "0")
        process_scene(ref, settings, progress=killer.progress)


def in_child(settings: Settings, point: str, n: int) -> int:
    """Exit code of a night in a process of its own, negative for a signal."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            night(settings, Killer(point, n))
            code = 0
        except Exception:  # noqa: BLE001 - whatever it is, the parent must learn of it
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def count_passes(settings: Settings, file: Path) -> dict[str, int]:
    """How often an undisturbed night passes each point."""
    pid = os.fork()
    if pid == 0:
        killers = {point: Killer(point, 0) for point in POINTS}
        for killer in killers.values():
            sys.addaudithook(killer.hear)

        def progress(name: str, fraction: float) -> None:
            for killer in killers.values():
                killer.progress(name, fraction)

        for ref in plan_night(settings).todo:
            progress("claim", 0.0)
            process_scene(ref, settings, progress=progress)
        file.write_text(json.dumps({point: killer.passed for point, killer in killers.items()}))
        os._exit(0)
    os.waitpid(pid, 0)
    return {
        point: 99 if point in DELAYED_S else passed for point, passed in json.loads(file.read_text()).items()
    }


def visible(settings: Settings) -> list[Path]:
    """Everything that an analyst would take for a product."""
    folder = settings.output.root / settings.recipe.label
    return sorted(path for path in folder.glob("undated/*") if not path.name.startswith("."))


def pixels(settings: Settings) -> dict[str, np.ndarray]:
    """Temperatures of all published products by scene."""
    found = {}
    for product in published_folders(settings.output.root / settings.recipe.label):
        with open_store(next(product.glob("*.zarr"))) as store:
            found[product.name] = store[temperature_name(store)].values
    return found


def disturb(
    point: str, n: int, archive: Path, work: Path, expected: dict[str, np.ndarray]
) -> dict[str, object]:
    """One kill and the night after it; what was found wrong is listed under "wrong"."""
    settings = settings_for(archive, work / "out")
    start, wrong = time.monotonic(), []
    code = in_child(settings, point, n)
    for product in visible(settings):
        verify(product)  # raises where a half product can be seen
    again = time.monotonic()
    if in_child(settings, "claim", 0) != 0:
        wrong.append("the night after it failed")
    resumed_s = time.monotonic() - again
    found = pixels(settings)
    for product in visible(settings):
        verify(product)
    if found.keys() != expected.keys():
        wrong.append(f"products {sorted(found)}, wanted {sorted(expected)}")
    wrong += [
        f"{name}: other pixels"
        for name in found.keys() & expected.keys()
        if not same(found[name], expected[name])
    ]
    if len(visible(settings)) != len(expected):
        wrong.append(f"{len(visible(settings))} folders for {len(expected)} products")
    records = read_records(settings.output.root, settings.recipe.label)
    if [record.status for record in records] != ["skipped"]:
        wrong.append(f"records {[record.status for record in records]}, wanted one skipped scene")
    left = sweep(settings.output.root, settings.recipe.label, 0.0)
    shutil.rmtree(work / "out")
    return {
        "point": point,
        "n": n,
        "killed": code == -signal.SIGKILL,
        "left_behind": len(left),
        "resumed_s": round(resumed_s, 2),
        "seconds": round(time.monotonic() - start, 2),
        "wrong": wrong,
    }


def same(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and one.tobytes() == other.tobytes()


def settings_for(archive: Path, out: Path) -> Settings:
    return cheap_settings(archive, out, [*TRAINED, f"recipe.train.steps={STEPS}", "run.checkpoint_s=0.001"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=5, help="kills at each point")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    torch.set_num_threads(1)  # a process with threads must not be forked
    with tempfile.TemporaryDirectory(prefix="kill-") as folder:
        work = Path(folder)
        archive = work / "archive"
        archive.mkdir()
        write_scene(archive / "b_scene.npz", 1)
        write_empty_scene(archive / "a_empty.npz")
        undisturbed = settings_for(archive, work / "undisturbed")
        if in_child(undisturbed, "claim", 0) != 0:
            sys.exit("the undisturbed night failed")
        expected = pixels(undisturbed)
        passes = count_passes(settings_for(archive, work / "counted"), work / "passes")
        rows = [
            disturb(point, turn % passes[point] + 1, archive, work, expected)
            for point in POINTS
            for turn in range(options.times)
        ]
    if options.json:
        print(json.dumps(rows))
    else:
        print_table(rows)
    sys.exit(any(row["wrong"] for row in rows))


def print_table(rows: list[dict[str, object]]) -> None:
    print(f"{'point':18} killed  left behind  slowest resume  wrong")
    for point in POINTS:
        mine = [row for row in rows if row["point"] == point]
        sums = Counter({name: sum(int(row[name]) for row in mine) for name in ("killed", "left_behind")})
        slowest = max(float(row["resumed_s"]) for row in mine)
        wrong = "; ".join(str(row["wrong"]) for row in mine if row["wrong"]) or "-"
        killed = f"{sums['killed']:>2}/{len(mine)}"
        print(f"{point:18} {killed}  {sums['left_behind']:>11}  {slowest:>12.1f} s  {wrong}")


if __name__ == "__main__":
    main()

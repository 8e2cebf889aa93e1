"""Nights over an archive of hostile files, as `thermal-sr run` holds them; what became of every file.

    python -m tests.archive.hostile_night                   # 80 cases, three nights, some minutes
    python -m tests.archive.hostile_night --cases 1500      # fuzzing

The files of `hostile_cases`, sound scenes among them, and what is no file at all: pipes, devices, links out
of the archive, folders with a scene's name, pickled programs. Ends with 1 if a night leaves no report, says a
traceback, hangs, changes a file outside OUT, runs a pickled program, or publishes what `verify` refuses.
"""

import argparse
import json
import os
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from pipeline.archive.discover import discover
from pipeline.settings import ArchiveSettings
from tests.archive.hostile_cases import make_cases
from tests.fleet.tiny import CHEAP, write_archive

THERMAL_SR = Path(sys.executable).with_name("thermal-sr")
NIGHTS = 3
LONGEST_S = 3600.0


class _Program:
    def __init__(self, canary):
        self._canary = canary

    def __reduce__(self):
        return os.system, (f"touch {self._canary}",)


def write_odd_entries(folder, canary):
    """What has a scene's name and is none; name of each to its kind."""
    kinds = {}
    for number, name in enumerate(("pipe.tif", "pipe.nc", "LC80400282014193LGN00_MTL.txt")):
        place = folder / f"odd_{number}"
        place.mkdir()
        os.mkfifo(place / name)
        kinds[f"odd_{number}/{name}"] = "pipe"
    write_archive(folder / "odd_3", 1)
    (folder / "odd_3" / "zero.tif").symlink_to("/dev/zero")
    (folder / "odd_3" / "password.nc").symlink_to("/etc/passwd")
    (folder / "odd_3" / "round").symlink_to(folder)
    (folder / "odd_3" / "folder.npz").mkdir()
    kinds |= {"odd_3/zero.tif": "link", "odd_3/password.nc": "link", "odd_3/scene_000.npz": "sound"}
    (folder / "slow_MTL.txt").write_text("GROUP = " + "A = " * 500_000)
    np.savez(folder / "objects.npz", temperature=np.array([_Program(canary)], dtype=object))
    (folder / "bare.npz").write_bytes(pickle.dumps(_Program(canary)))
    return kinds | {"objects.npz": "pickle", "bare.npz": "pickle"}


def outside(root):
    """Names, sizes and times of all files but those of OUT."""
    return {
        str(path): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in sorted(root.rglob("*"))
        if "out" not in path.relative_to(root).parts[:1] and not path.is_dir()
    }


def kinds_by_scene(archive, kinds):
    """What kind of file each scene is, by its name: records do not say in which folder it lay."""
    found = discover(ArchiveSettings(root=archive, settle_s=0))
    refs = [*found.scenes, *(ref for ref, _ in found.refused)]
    names = {ref.scene_id: Path(ref.files[0]).relative_to(archive).as_posix() for ref in refs}
    return {scene_id: kinds[name] for scene_id, name in names.items()}


def counted(report, kinds):
    """How the scenes of each kind ended in a night."""
    counts = defaultdict(Counter)
    for record in report["scenes"]:
        counts[kinds[record["ref"]["scene_id"]]][record["status"]] += 1
    return counts


def night(archive, out):
    """One night: its report, seconds, exit code and what it printed as errors."""
    words = [word for setting in CHEAP for word in ("--set", setting)]
    began_s = time.monotonic()
    ended = subprocess.run(
        [THERMAL_SR, "run", archive, out, "--json", *words],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=LONGEST_S,
    )
    report = json.loads(ended.stdout)
    return report, time.monotonic() - began_s, ended.returncode, ended.stderr


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=80)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    faults = []
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        archive, out, canary = root / "archive", root / "out", root / "canary"
        archive.mkdir()
        kinds = make_cases(archive, given.cases, given.seed) | write_odd_entries(archive, canary)
        kinds, before = kinds_by_scene(archive, kinds), outside(root)
        for number in range(1, NIGHTS + 1):
            report, took_s, code, said = night(archive, out)
            counts = ", ".join(f"{count} {word}" for word, count in report["counts"].items() if count)
            print(f"night {number}: {report['found']} found: {counts}; {took_s:.0f} s, exit code {code}")
            for kind, found in sorted(counted(report, kinds).items()):
                print(f"  {kind}: {', '.join(f'{count} {word}' for word, count in found.most_common())}")
            long = [each["reason"] for each in report["scenes"] if not each["reason"].isprintable()]
            faults += [f"night {number}: a reason of more than a line: {reason!r}" for reason in long]
            faults += ["a traceback"] * said.count("Traceback")
            faults += ["the sums differ"] * (sum(report["counts"].values()) != report["found"])
        verified = subprocess.run(
            [THERMAL_SR, "verify", out], capture_output=True, text=True, timeout=LONGEST_S
        )
        print(f"verify: exit code {verified.returncode}, {verified.stdout.strip().splitlines()[-1]}")
        faults += ["a published product is damaged"] * bool(verified.returncode)
        faults += ["a pickled program ran"] * canary.exists()
        faults += ["a file outside OUT was changed"] * (outside(root) != before)
    peak_mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"most memory of one process: {peak_mib:.0f} MiB; faults: {faults or 'none'}")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()

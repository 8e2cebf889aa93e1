"""Hostile files by the hundred, made from a seed and read as a night reads them; what came of them.

    python -m tests.archive.hostile_cases                     # 320 cases, about a minute
    python -m tests.archive.hostile_cases --cases 5000 --seed 7     # fuzzing: other and more cases

Sound files of every reader are cut short, flipped, overwritten, mixed and stretched; bombs, crashes and
reference systems that open files are made by hand. Memory is the most that the process that asks and the one
that reads took, 220 MiB before they open anything. Ends with 1 if a case raises what is no outcome, says more
than a line, or gives temperatures that are none.
"""

import argparse
import resource
import sys
import tempfile
import time
from collections import Counter, defaultdict
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from pipeline.archive.apart import end_reading, read_apart
from pipeline.archive.discover import discover
from pipeline.errors import EndedReadingError, SkippedSceneError, UnreadableInputError, UnusableInputError
from pipeline.memory import peak_mib
from pipeline.settings import ArchiveSettings
from tests.archive.hostile_files import BOMBS, SOUND, szip_that_divides_by_zero
from tests.archive.twins import TWINS, UTM

OUTCOMES = ("read", "refused", "not foreseen", "skipped", "unreadable", "reader ended", "wrong")
TEXTS = {
    "reference system": [
        "+proj=utm +zone=11 +nadgrids=/dev/zero",
        "+init=/dev/zero:1",
        "+proj=pipeline",
        "EPSG:99999999",
        "(" * 5000,
        "GEOGCS[" * 2000,
        "PROJCS[" + "9" * 5000 + "]",
        "http://example.com/",
        "/vsicurl/http://example.com/x.prj",
        'GEOGCRS["x",DATUM["y",ELLIPSOID["z",0,0]],CS[ellipsoidal,2],AXIS["a",north],AXIS["b",east]]',
        "\0\n\r\x1b[31m",
        "+proj=geos +h=1e308 +R=nan",
        "+proj=tmerc +a=-1",
        'LOCAL_CS["x"]',
        "EPSG:4326; rm -rf /",
    ],
    "meta": [
        "[" * 50_000,
        '{"sensor": ' + "9" * 5000 + "}",
        '{"sensor": {}}',
        '{"quantity": ["x"]}',
        "null",
        "\ud7ff",
    ],
    "units": ["K" * 5000, "kelvin\n", "=cmd()", "\x1b[2J", "degC", "0", "furlong", ""],
    "time": ["9" * 5000, "2023-13-45T99:99:99Z", "now", "1e308", "-1"],
}
NUMBERS = {
    "transform": [
        np.full(6, np.nan),
        np.full(6, 1e308),
        np.zeros(6),
        np.arange(7),
        np.array("x"),
        np.zeros((2, 3, 4)),
    ],
    "fill_value": [np.inf, np.nan, -1e308, np.arange(20), np.array("none")],
    "scale": [0, np.nan, np.inf, 1e308, -1, np.array(["a"]), np.arange(3)],
    "mask": [
        np.zeros((3, 3)),
        np.zeros(3),
        np.full((64, 64), np.nan),
        np.array("x"),
        np.ones((64, 64), complex),
    ],
    "lat": [np.zeros(64), np.full(64, np.nan), np.arange(63), np.zeros((64, 64, 64)), np.array("x")],
}


def make_cases(folder, cases, seed):
    """Files below the folder; name of each to its kind."""
    kinds = {}
    for name, write in BOMBS.items():
        kinds[write(folder / name).name] = "bomb"
    kinds[szip_that_divides_by_zero(folder / "szip.nc").name] = "crash"
    for what, values in {**TEXTS, **NUMBERS}.items():
        for number, value in enumerate(values):
            path = folder / f"{what.replace(' ', '_')}_{number}.npz"
            key = "crs" if what == "reference system" else what
            told = {"units": "K", "lon": np.arange(64.0), key: value}
            if what != "lat":
                told = {"transform": list(UTM)[:6], **told}
            np.savez(path, data=SOUND, **told)
            kinds[path.name] = what
    rng, seeds = np.random.default_rng(seed), sound_files(folder / ".sound")
    changes = {
        "cut short": cut,
        "flipped": flip,
        "overwritten": overwrite,
        "mixed": mix,
        "stretched": stretch,
    }
    while len(kinds) < cases:
        key = list(seeds)[int(rng.integers(len(seeds)))]
        kind = list(changes)[int(rng.integers(len(changes)))]
        name, content = seeds[key]
        path = folder / f"{len(kinds)}" / name  # its own folder, because readers go by names
        path.parent.mkdir()
        path.write_bytes(changes[kind](rng, content, [other for _, other in seeds.values()]))
        kinds[f"{path.parent.name}/{name}"] = kind
    return kinds


def sound_files(folder):
    """Name and bytes of a sound file of every reader."""
    folder.mkdir()
    made = {}
    for key, write in TWINS.items():
        (folder / key).mkdir()
        path, _ = write(folder / key)
        made[key] = path.name, path.read_bytes()
    return made


def cut(rng, content, _others):
    return content[: int(rng.integers(1, len(content)))]


def flip(rng, content, _others):
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 6))):
        # headers decide more than pixels do
        place = int(rng.integers(len(changed) if rng.random() < 0.3 else min(2000, len(changed))))
        changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def overwrite(rng, content, _others):
    changed = bytearray(content)
    start, size = int(rng.integers(len(changed))), int(rng.integers(1, 64))
    value = int(rng.choice([0, 255, 127, 128]))
    changed[start : start + size] = bytes([value]) * len(changed[start : start + size])
    return bytes(changed)


def mix(rng, content, others):
    other = others[int(rng.integers(len(others)))]
    return content[: int(rng.integers(1, len(content)))] + other[int(rng.integers(len(other))) :]


def stretch(rng, content, _others):
    start = int(rng.integers(len(content)))
    return content[:start] + bytes(int(rng.integers(1, 5000))) + content[start:]


def outcome_of(ref, settings):
    """One of `OUTCOMES`, and its words."""
    try:
        scene = read_apart(ref, settings)
    except EndedReadingError as error:
        outcome, words = "reader ended", str(error)
    except UnusableInputError as error:
        outcome, words = "refused", str(error)
        if "not foreseen" in words:
            outcome = "not foreseen"
    except SkippedSceneError as error:
        outcome, words = "skipped", str(error)
    except UnreadableInputError as error:
        outcome, words = "unreadable", str(error)
    except Exception as error:  # noqa: BLE001 - that there is none is what is looked for
        return "wrong", repr(error)
    else:
        kelvin = scene.temperature[scene.valid]
        if kelvin.size and not (kelvin.min() >= 100 and kelvin.max() <= 1500):
            return "wrong", f"{kelvin.min()} to {kelvin.max()} K"
        return "read", ""
    return (outcome, words) if words.isprintable() and len(words) < 700 else ("wrong", words[:200])


def run(folder, cases, seed):
    """Outcomes by kind, what was wrong or not foreseen, and the seconds of the slowest case."""
    kinds = make_cases(folder, cases, seed)
    counts, words, slowest_s = defaultdict(Counter), [], 0.0
    for kind, refs in by_kind(folder, kinds).items():
        found, said, took_s = outcomes_of(refs, folder)
        counts[kind], slowest_s = found, max(slowest_s, took_s)
        words += [f"{kind} {line}" for line in said]
    end_reading()
    return with_unread(counts, kinds), words, slowest_s


def by_kind(folder, kinds):
    """What discovery finds below the folder, by kind of damage."""
    found = defaultdict(list)
    for ref in discover(ArchiveSettings(root=folder, settle_s=0)).scenes:
        found[kinds[Path(ref.files[0]).relative_to(folder).as_posix()]].append(ref)
    return found


def outcomes_of(refs, folder):
    """How often each outcome was, what was wrong or not foreseen, and the seconds of the slowest."""
    settings = ArchiveSettings(root=folder, settle_s=0, read_s=30.0)
    counts, words, slowest_s = Counter(), [], 0.0
    for ref in refs:
        began_s = time.monotonic()
        outcome, said = outcome_of(ref, settings)
        counts[outcome] += 1
        slowest_s = max(slowest_s, time.monotonic() - began_s)
        if outcome in ("wrong", "not foreseen", "reader ended"):
            words.append(f"{outcome}: {said}")
    return counts, words, slowest_s


def with_unread(counts, kinds):
    """The counts with the files that discovery refused, or whose content stands under another name."""
    for kind, number in Counter(kinds.values()).items():
        if unread := number - sum(counts[kind].values()):
            counts[kind]["refused"] += unread
    return counts


def measured(refs, folder):
    """What `outcomes_of` tells, and the most memory of this process and of those that read for it, in MiB.

    For a process of its own: what one has taken at most it never forgets.
    """
    told = outcomes_of(refs, folder)
    end_reading()
    children_kb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return told, (peak_mib() + children_kb / 1024)


def table(counts, peaks):
    """Markdown: a row a kind, with the most memory that a case of it took."""
    head = ["kind", "cases", *OUTCOMES, "MiB"]
    lines = [f"| {' | '.join(head)} |", "| --- |" + " --- |" * (len(head) - 1)]
    total = sum(counts.values(), Counter())
    for kind, found in [*counts.items(), ("all", total)]:
        numbers = [sum(found.values()), *(found[outcome] for outcome in OUTCOMES)]
        peak = max(peaks.values()) if kind == "all" else peaks.get(kind, 0.0)
        lines.append(f"| {kind} | {' | '.join(map(str, numbers))} | {peak:.0f} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=320)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    began_s, counts, peaks, words, slowest_s = time.monotonic(), defaultdict(Counter), {}, [], 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kinds = make_cases(folder, arguments.cases, arguments.seed)
        for kind, refs in by_kind(folder, kinds).items():
            with get_context("spawn").Pool(1) as pool:
                (counts[kind], said, took_s), peaks[kind] = pool.apply(measured, (refs, folder))
            words += [f"{kind} {line}" for line in said]
            slowest_s = max(slowest_s, took_s)
    with_unread(counts, kinds)
    print(table(counts, peaks))
    print(f"\n{time.monotonic() - began_s:.0f} s; slowest case {slowest_s:.1f} s; seed {arguments.seed}\n")
    print("\n".join(f"- {line}" for line in words))
    sys.exit(any(found["wrong"] for found in counts.values()))


if __name__ == "__main__":
    main()

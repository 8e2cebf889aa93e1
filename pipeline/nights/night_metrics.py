"""The last night in numbers, as a text file for Prometheus, by node exporter's textfile collector."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.files import write_bytes
from pipeline.times import from_iso

MEANINGS = {
    "thermal_sr_night_end_seconds": "When the last night ended, in seconds since the epoch.",
    "thermal_sr_night_seconds": "How long it took.",
    "thermal_sr_night_inputs": "Its inputs by outcome.",
    "thermal_sr_night_faults": "What ended it early, if anything did.",
    "thermal_sr_scene_seconds_sum": "Seconds of its scenes together.",
    "thermal_sr_scene_peak_memory_bytes": "Most memory that one of its scenes took.",
}


def write_metrics(report: Mapping[str, Any], archive: str, path: Path) -> Path:
    """Write the file, so that its reader finds the old one or the new one; its name has to end in .prom.

    Args:
        report: A night's report, plain JSON.
        archive: Name of the archive, a label of every number.
        path: Where the collector looks.
    """
    own = {"archive": archive, "recipe": report["recipe"]}
    begin, end = from_iso(report["started"]).timestamp(), from_iso(report["finished"]).timestamp()
    scenes: Sequence[Mapping[str, Any]] = report["scenes"]
    memory_mib = [float(scene["figures"].get("peak_memory_mib") or 0) for scene in scenes]
    values = {
        "thermal_sr_night_end_seconds": [(own, end)],
        "thermal_sr_night_seconds": [(own, end - begin)],
        "thermal_sr_night_inputs": [
            ({**own, "outcome": re.sub(r"\W+", "_", name)}, count) for name, count in report["counts"].items()
        ],
        "thermal_sr_night_faults": [(own, len(report["faults"]))],
        "thermal_sr_scene_seconds_sum": [(own, sum(sum(scene["timings_s"].values()) for scene in scenes))],
        "thermal_sr_scene_peak_memory_bytes": [(own, max(memory_mib, default=0.0) * 2**20)],
    }
    lines = []
    for name, samples in values.items():
        lines += [f"# HELP {name} {MEANINGS[name]}", f"# TYPE {name} gauge"]
        lines += [f"{name}{{{_labels(labels)}}} {value:.10g}" for labels, value in samples]
    return write_bytes(path, ("\n".join(lines) + "\n").encode())


def _labels(labels: Mapping[str, str]) -> str:
    def escaped(value: str) -> str:
        return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")

    return ",".join(f'{name}="{escaped(value)}"' for name, value in labels.items())

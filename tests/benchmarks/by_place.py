"""Tables of what the referee recorded: means over places, every place, every sensor.

    python -m tests.benchmarks.by_place RECORD.jsonl...

Ratios of RMSE to self-tuned Tikhonov; geometric means, first over the scenes of a place.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Outcome = Mapping[str, Any]
REFERENCE = "tikhonov_bench"


def mean_of(outcomes: Sequence[Outcome], reference: str = REFERENCE) -> float:
    """Geometric mean over places, each counted once."""
    places = {outcome["place"] for outcome in outcomes}
    logs = [
        np.mean([math.log(one["ratios"][reference]) for one in outcomes if one["place"] == place])
        for place in places
    ]
    return math.exp(float(np.mean(logs)))


def means(outcomes: Sequence[Outcome]) -> Iterable[str]:
    """One row for every scale, noise and method."""
    yield "| scale, noise K | method | places | vs Tikhonov | vs bicubic | worst scene | above 1.002 | s |"
    yield "|" + "---|" * 8
    for scale, noise_k, method in sorted({_setting(one) for one in outcomes}):
        chosen = [one for one in outcomes if _setting(one) == (scale, noise_k, method)]
        worst = max(chosen, key=lambda one: one["ratios"][REFERENCE])
        above = sum(one["ratios"][REFERENCE] > 1.002 for one in chosen)
        yield (
            f"| x{scale}, {noise_k:g} | {method} | {len({one['place'] for one in chosen})} "
            f"| {mean_of(chosen):.4f} | {mean_of(chosen, 'bicubic'):.3f} "
            f"| {worst['ratios'][REFERENCE]:.4f} ({worst['place']}) | {above} of {len(chosen)} "
            f"| {np.median([one['seconds'] for one in chosen]):.1f} |"
        )


def parted(outcomes: Sequence[Outcome], part: str) -> Iterable[str]:
    """One row for every place or sensor, one column for every setting."""
    settings = sorted({_setting(one) for one in outcomes})
    yield f"| {part} | {' | '.join(f'x{scale}, {noise:g}, {method}' for scale, noise, method in settings)} |"
    yield "|" + "---|" * (1 + len(settings))
    for name in sorted({one[part] for one in outcomes}):
        cells = []
        for setting in settings:
            chosen = [one for one in outcomes if one[part] == name and _setting(one) == setting]
            cells.append(f"{mean_of(chosen):.4f}" if chosen else "")
        yield f"| {name} | {' | '.join(cells)} |"


def _setting(outcome: Outcome) -> tuple[int, float, str]:
    return outcome["scale"], outcome["nedt_k"], outcome["method"]


def main() -> None:
    """Print them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("records", nargs="+", type=Path)
    arguments = parser.parse_args()
    lines = [line for path in arguments.records for line in path.read_text().splitlines()]
    outcomes = [json.loads(line) for line in lines]
    for table in (means(outcomes), parted(outcomes, "place"), parted(outcomes, "sensor")):
        print("\n".join(table), end="\n\n")


if __name__ == "__main__":
    main()

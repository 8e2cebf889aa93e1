"""How far the nights are that run, by what they write below OUT."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flows.heartbeat import AtWork
from pipeline.files import read_small
from pipeline.products import layout
from pipeline.text import one_line
from pipeline.times import from_iso

log = logging.getLogger(__name__)

SILENT_S = 60.0  # a night writes every other second


@dataclass(frozen=True)
class Sight:
    """How far the nights are together.

    Attributes:
        scenes: Scenes that are to end.
        ended: Those that have, by outcome.
        at_work: How far others are.
    """

    scenes: int
    ended: dict[str, int]
    at_work: AtWork


def nights_here(out: Path) -> Sight | None:
    """The nights that run now and write below an output root; None where there is none."""
    beats = list(_beats(layout.below(out, layout.SCRATCH, layout.NIGHTS)))
    if not beats:
        return None
    ended: Counter[str] = Counter()
    at_work: AtWork = {}
    for beat in beats:
        ended.update({str(status): int(number) for status, number in beat["ended"].items()})
        at_work |= {
            one_line(name): (float(done), one_line(words)) for name, (done, words) in beat["at_work"].items()
        }
    return Sight(sum(int(beat["scenes"]) for beat in beats), dict(ended), at_work)


def _beats(folder: Path) -> Iterator[dict[str, Any]]:
    for file in sorted(folder.glob("*.json")):
        try:
            plain = json.loads(read_small(file))
            silent_s = (datetime.now(UTC) - from_iso(plain["beat"])).total_seconds()
            if silent_s < SILENT_S and {"scenes", "ended", "at_work"} <= plain.keys():
                yield plain
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.debug("%s: %s", file.name, one_line(error))  # it has just ended, or is none of ours


def lines_here(out: Path, scene_id: str) -> list[str]:
    """What the logs of nights below an output root say of a scene, oldest first."""
    found: list[str] = []
    for file in sorted(layout.below(out, layout.SCRATCH, layout.NIGHTS).glob("*.log")):
        said = read_small(file).decode("utf-8", "replace").splitlines()
        found += [one_line(line) for line in said if scene_id in line]
    return found

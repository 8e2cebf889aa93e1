"""The stages of a scene, in one list: it drives the clock, the progress and the percentages."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pipeline.memory import forget_peak, give_back, peak_mib


@dataclass(frozen=True)
class Stage:
    """One part of a scene's way to its product.

    Attributes:
        name: How progress, records and logs call it.
        meaning: What happens in it.
        end_percent: Share of a typical scene's time that has passed when it ends, 0 to 100.
    """

    name: str
    meaning: str
    end_percent: float


STAGES = (
    Stage("read", "the files become a scene in kelvin", 3),
    Stage("normalize", "holes are filled, blur and noise are stated, the base is fitted", 5),
    Stage("train", "a network is trained, or a prior is loaded", 55),
    Stage("judge", "tests decide how much detail is added, and how uncertain the pixels are", 60),
    Stage("write", "all pixels are computed and stored", 85),
    Stage("check", "the written pixels are compared with the scene", 88),
    Stage("views", "rasters, pictures and the card are made of the store", 99),
    Stage("publish", "the manifest is written and the folder gets its name", 100),
)


def stage_limit_s(stage: str, limit_s: float) -> float:
    """Seconds that a stage may take of a scene's limit: twice its typical share, a fifth at least."""
    position = [known.name for known in STAGES].index(stage)
    start = STAGES[position - 1].end_percent if position else 0.0
    return limit_s * min(max(2 * (STAGES[position].end_percent - start) / 100, 0.2), 1.0)


def percent_done(stage: str, fraction: float) -> float:
    """0 to 100 over the whole scene, when `fraction` (0 to 1) of the stage of that name is done."""
    position = [known.name for known in STAGES].index(stage)
    start = STAGES[position - 1].end_percent if position else 0.0
    return start + (STAGES[position].end_percent - start) * min(max(fraction, 0.0), 1.0)


class Clock:
    """Seconds by stage, and the most memory of them all; changes itself.

    It is told of the progress and passes it on: a stage lasts until another one is named, and what it freed
    is given back. A scene that takes longer than `limit_s` ends at the next call; 0 lets it take any time.
    """

    def __init__(self, progress: Callable[[str, float], None], limit_s: float = 0.0) -> None:
        self._progress, self._limit_s = progress, limit_s
        self._stage, self._began_s = "", 0.0
        self._seconds: dict[str, float] = {}
        forget_peak()

    def __call__(self, stage: str, fraction: float) -> None:
        """Name the stage that is worked on and how much of it is done, 0 to 1.

        Raises:
            TimeoutError: The scene or its stage took longer than its limit.
        """
        if self._limit_s and self._stage:
            self._refuse_late()
        if stage != self._stage:
            give_back()
            self._seconds, self._stage, self._began_s = self._measured(), stage, time.monotonic()
        self._progress(stage, fraction)

    @property
    def seconds(self) -> Mapping[str, float]:
        """Seconds by stage until now, to the millisecond."""
        return {name: round(value, 3) for name, value in self._measured().items()}

    @property
    def peak_mib(self) -> int:
        """Most memory since this clock began, in MiB."""
        return peak_mib()

    def _refuse_late(self) -> None:
        measured = self._measured()
        for what, took_s, limit_s in (
            (f"stage {self._stage}", measured[self._stage], stage_limit_s(self._stage, self._limit_s)),
            ("the scene", sum(measured.values()), self._limit_s),
        ):
            if took_s > limit_s:
                raise TimeoutError(f"{what} took {took_s:.0f} s, {limit_s:.0f} s are allowed (run.limit_s)")

    def _measured(self) -> dict[str, float]:
        if not self._stage:
            return self._seconds
        since = self._seconds.get(self._stage, 0.0) + time.monotonic() - self._began_s
        return {**self._seconds, self._stage: since}

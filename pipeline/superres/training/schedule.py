"""How the learning rate runs over a training.

`one_cycle` rises and falls; `cosine` is the original's; `step` divides by ten once, as the ZSSR for PyTorch
does; `linear_fit` is that of ZSSR's authors: divide by ten when the losses fall slower than they scatter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pipeline.recipe_settings import TrainSettings

WARM_UP = 0.3  # share of one_cycle's steps in which the rate rises
FIRST_SHARE = 1 / 25  # of the peak, at one_cycle's first step
FIT_EVERY, FIT_WINDOW, FIT_RATIO = 60, 256, 1.5  # linear_fit, as in the code of ZSSR's authors


def learning_rate(settings: TrainSettings, step: int, drops: int = 0) -> float:
    """The rate of a step; `drops` counts what linear_fit has divided by ten."""
    highest, steps = settings.learning_rate, settings.steps or 1
    lowest = min(settings.min_learning_rate, highest)
    if settings.schedule == "linear_fit":
        return max(highest * 0.1**drops, lowest)
    if settings.schedule == "step":  # after 10,000 of 15,000 steps in ZSSR for PyTorch
        return highest if 3 * step < 2 * steps else max(highest / 10, lowest)
    warm = int(WARM_UP * steps) if settings.schedule == "one_cycle" else 0
    if step < warm:
        first = highest * FIRST_SHARE
        return first + (highest - first) * _half_cosine(step / warm)
    return highest + (lowest - highest) * _half_cosine((step - warm) / max(steps - warm, 1))


def ready_to_drop(losses: Sequence[float]) -> bool:
    """Whether a line through the last losses falls slower than they scatter around it."""
    if len(losses) % FIT_EVERY or len(losses) < FIT_WINDOW:
        return False
    recent, steps = np.array(losses[-FIT_WINDOW:]), np.arange(FIT_WINDOW)
    slope, start = np.polyfit(steps, recent, 1)
    return bool(-FIT_RATIO * slope < np.std(recent - (slope * steps + start)))


def _half_cosine(share: float) -> float:
    """0 to 1, flat at both ends."""
    return 0.5 * (1 - math.cos(math.pi * share))

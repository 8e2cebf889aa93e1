"""Streams of randomness: what is drawn for one purpose never shifts what is drawn for another.

The draws of a training step come from the seed and the number of the step, so that a killed training goes on.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """What random numbers are for. The numbers are part of every product: none may change."""

    SHIFTS = 1  # of the patches that a network is applied to
    BASE = 2  # the trials that tune the base
    SELF_TEST = 3  # noise of the self-test
    PAIRS = 4  # the training's pyramid, and which pixels are held out
    AT_X2 = 6  # noise of the self-test at x2
    BLUR = 7  # windows and noise of an estimated blur

    def generator(self, seed: int, *more: int) -> np.random.Generator:
        """A fresh generator; same seed and numbers, same draws."""
        return np.random.default_rng([seed, self.value, *more])

"""How a number grows with the pixels of a scene: a constant, and so much a pixel.

Machines are loaded, mended and replaced, so the newest records count most, and single odd ones little.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

LEAST_RECORDS = 3
HALF_AGE = 7.0  # records
JUDGED = 20  # newest scenes whose forecasts are compared with what they took


@dataclass(frozen=True)
class Line:
    """A number that is a constant and so much a pixel of the scene."""

    constant: float
    per_pixel: float

    def __call__(self, pixels: float) -> float:
        """The number for a scene of so many pixels."""
        return self.constant + self.per_pixel * pixels


def fit(pixels: Float64[NDArray[np.float64], " n"], found: Float64[NDArray[np.float64], " n"]) -> Line:
    """The line that is near most of the numbers, near in proportion; neither of its terms is negative.

    Args:
        pixels: Of scenes, the newest first; each counts half as much as one that is `HALF_AGE` newer.
        found: What they took.
    """
    known = (found > 0) & (pixels > 0)
    if not known.any():
        return Line(0.0, 0.0)
    weights = 0.5 ** (np.arange(len(found)) / HALF_AGE)[known]
    x, y = pixels[known], found[known]
    order = np.argsort(y)
    usual = float(y[order][np.searchsorted(np.cumsum(weights[order]), weights.sum() / 2)])
    if len(np.unique(x)) == 1:
        return Line(0.0, usual / float(x[0]))
    x_usual = float(np.median(x))

    def off(terms: Float64[NDArray[np.float64], 2]) -> Float64[NDArray[np.float64], " m"]:
        off_by: Float64[NDArray[np.float64], " m"] = np.sqrt(weights) * np.log(
            (terms[0] + terms[1] * x / x_usual + 1e-9) * usual / y
        )
        return off_by

    from scipy.optimize import least_squares  # only where there are records

    terms = least_squares(off, (0.5, 0.5), bounds=(0, np.inf), loss="soft_l1", f_scale=0.1).x
    return Line(float(terms[0] * usual), float(terms[1] * usual / x_usual))


def error_fraction(
    pixels: Float64[NDArray[np.float64], " n"], found: Float64[NDArray[np.float64], " n"]
) -> float:
    """Mean of |forecast / found - 1| of the newest scenes, each forecast from those before it.

    NaN below three.
    """
    newest = min(len(found) - LEAST_RECORDS + 1, JUDGED)
    off = [
        abs(fit(pixels[age + 1 :], found[age + 1 :])(pixels[age]) / found[age] - 1) for age in range(newest)
    ]
    return float(np.mean(off)) if off else float("nan")

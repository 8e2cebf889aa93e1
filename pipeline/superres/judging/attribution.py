"""Which scene pixels an answer leans on: local attribution by integrated gradients.

The scene is blurred and made sharp again step by step. On this way, what each pixel changes in the answer's
feature is summed up: that is the pixel's share. The shares of all pixels add up to the whole change of the
feature (completeness).

Source: Gu & Dong 2021, Interpreting Super-Resolution Networks with Local Attribution Maps; their feature
is the gradients inside a box. For one pixel the feature is its temperature.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float32, Float64
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from pipeline.grid import Window

STEPS = 64  # of the way from blurred to sharp
BLUR_PX = 5.0  # standard deviation at the start of the way, in scene pixels
SMOOTH_K = 1e-3  # below this a gradient counts as its square, so that it has a slope at zero

Enlarge: TypeAlias = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Attribution:
    """What each scene pixel has to do with a feature of the answer.

    Attributes:
        shares: What each pixel contributes, in the feature's unit.
        start: The feature of the blurred scene's answer.
        end: The feature of the scene's answer.
    """

    shares: Float64[NDArray[np.float64], "y x"]
    start: float
    end: float

    @property
    def missing_fraction(self) -> float:
        """Distance of the shares' sum from the feature's change, over the sum of their absolute values."""
        missing = abs(float(self.shares.sum()) - (self.end - self.start))
        return missing / max(float(np.abs(self.shares).sum()), 1e-9)

    @property
    def diffusion_index(self) -> float:
        """0 where one pixel has all, 100 where all pixels have alike: (1 - Gini coefficient) * 100."""
        sorted_shares = np.sort(np.abs(self.shares).ravel())
        total = float(sorted_shares.sum())
        if total == 0:
            return 100.0
        count = sorted_shares.size
        ranks = np.arange(1, count + 1)
        gini = 2 * float((ranks * sorted_shares).sum()) / (count * total) - (count + 1) / count
        return (1 - gini) * 100


def box_feature(box: Window) -> Enlarge:
    """Sum of the gradients' lengths inside a box of fine pixels."""

    def feature(answer: Tensor) -> Tensor:
        rows, columns = box.slices
        part = answer[rows, columns]
        down, right = part[1:, :-1] - part[:-1, :-1], part[:-1, 1:] - part[:-1, :-1]
        return ((down**2 + right**2 + SMOOTH_K**2).sqrt() - SMOOTH_K).sum()

    return feature


def pixel_feature(row: int, column: int) -> Enlarge:
    """The temperature of one fine pixel."""
    return lambda answer: answer[row, column]


def attribute(
    lr: Float32[NDArray[np.float32], "y x"], enlarge: Enlarge, feature: Enlarge, *, steps: int = STEPS
) -> Attribution:
    """How much of a feature comes from each pixel.

    Args:
        lr: The scene, or a part of it, without NaN.
        enlarge: (y, x) to (scale*y, scale*x), differentiable.
        feature: The enlarged scene to one number.
        steps: Of the way; more are more exact.
    """
    exact = lr.astype(np.float64)
    # The blur falls with the square of what is left of the way: most happens below one pixel.
    left = [1 - k / (2 * steps) for k in range(2 * steps)]
    way = [ndimage.gaussian_filter(exact, BLUR_PX * part**2, mode="reflect") for part in left] + [exact]
    shares = np.zeros_like(exact)
    for k in range(steps):
        here = torch.from_numpy(way[2 * k + 1].astype(np.float32)).requires_grad_()
        (slope,) = torch.autograd.grad(feature(enlarge(here)), here)
        shares += slope.double().numpy() * (way[2 * k + 2] - way[2 * k])
    with torch.no_grad():
        start, end = (
            float(feature(enlarge(torch.from_numpy(picture.astype(np.float32)))))
            for picture in (way[0], exact)
        )
    return Attribution(shares, start, end)

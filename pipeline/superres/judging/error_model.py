"""How far a pixel may be off, in kelvin: one standard error, calibrated on the scene.

The error of a finer pixel grows with the contrast around it and with the disagreement of the
network's passes. How these compare, the scene's own self-test says; how large errors are at the published
scale, which no self-test sees, the scene's finest octaves (`next_octave`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray
from scipy.optimize import nnls

from pipeline.superres.judging.next_octave import ONE_SIGMA, Octaves
from pipeline.superres.judging.selftest import Mask, Plane, SelfTest

MIN_PIXELS = 64
# Without a self-test: the error of a recovered pixel relative to local contrast, on the cautious side.
CAUTIOUS_SHARE = 0.6
MOST_CARRIED = 6.0  # no larger ratio was found on real scenes


@dataclass(frozen=True)
class ErrorModel:
    """From local contrast and the passes' spread to one standard error.

    sigma^2 = factor^2 * v with v = floor^2 + (activity_share * activity)^2; where the network is on, half of
    v is replaced by half of (spread_share * spread)^2. Where it is off, contrast alone decides.

    Attributes:
        floor: In working units.
        activity_share: Per unit of local contrast.
        spread_share: Per unit of the passes' spread.
        factor: What makes 68.27 % of the compared pixels' errors lie within one sigma.
        coverage: That share on tiles left out of the calibration; NaN where it could not be tested.
        carried: What the factor was multiplied by for the published scale; 1 where that could not be told.
        carried_spread: Standard deviation of that multiplier's logarithm, at places left out of its fit.
        calibrated: Whether the scene's self-test stands behind it.
    """

    floor: float
    activity_share: float
    spread_share: float = 0.0
    factor: float = 1.0
    coverage: float = math.nan
    calibrated: bool = True
    carried: float = 1.0
    carried_spread: float = math.nan

    def sigma(
        self, activity: Float32[NDArray[np.float32], "*shape"], spread: Float32[NDArray[np.float32], "*shape"]
    ) -> Float32[NDArray[np.float32], "*shape"]:
        """(y, x) one standard error, in working units."""
        variance = self.floor**2 + (self.activity_share * activity) ** 2
        agreed = 0.5 * variance + 0.5 * (self.spread_share * spread) ** 2
        variance = np.where(spread > 0, agreed, variance)
        return np.asarray(self.factor * np.sqrt(variance), dtype=np.float32)

    def carry(
        self, octaves: Octaves | None, scale: int, contrast: Float32[NDArray[np.float32], "*pixels"]
    ) -> ErrorModel:
        """The model for the published scale.

        Args:
            octaves: Of the scene; None leaves the model as it is.
            scale: Linear enlargement.
            contrast: Local contrast of the scene's valid pixels, working units.
        """
        typical = self.sigma(contrast, np.zeros_like(contrast)).mean(dtype=np.float64)
        if octaves is None or typical <= 0:
            return self
        expected, spread, usual = octaves.expected_error(scale)
        carried = float(np.clip(expected / typical, 1 / MOST_CARRIED, MOST_CARRIED))
        return replace(
            self,
            factor=self.factor * carried,
            calibrated=self.calibrated and usual,
            carried=carried,
            carried_spread=spread,
        )


def fit_errors(test: SelfTest | None, noise: float) -> ErrorModel:
    """The error model of a scene, at the self-test's scale.

    Args:
        test: The self-test of what is published; None, or without pixels to compare, gives a cautious model
            that says it is not calibrated.
        noise: Standard deviation of the scene's noise, floor of a cautious model. The self-test's truth holds
            it too and it is left in: sigma speaks of another measurement as noisy as this one.
    """
    if test is None or test.compared.sum() < MIN_PIXELS:
        return ErrorModel(floor=noise, activity_share=CAUTIOUS_SHARE, calibrated=False)
    error = np.abs(test.product - test.truth)
    rows = np.arange(test.compared.shape[0])[:, None] // 8
    columns = np.arange(test.compared.shape[1])[None] // 8
    even = (rows + columns) % 2 == 0
    coverages = [
        _coverage(_fit(test, error, test.compared & part), test, error, test.compared & ~part)
        for part in (even, ~even)
        if (test.compared & part).sum() >= MIN_PIXELS and (test.compared & ~part).any()
    ]
    model = _fit(test, error, test.compared)
    coverage = float(np.mean(coverages)) if coverages else math.nan
    return replace(model, coverage=coverage)


def _fit(test: SelfTest, error: Plane, pixels: Mask) -> ErrorModel:
    """Non-negative least squares of squared errors on squared contrast, then one factor for all."""
    contrast2 = test.activity[pixels].astype(np.float64) ** 2
    predictors = np.stack([np.ones_like(contrast2), contrast2], axis=1)
    squares = error[pixels].astype(np.float64) ** 2
    # Weighted by what is expected, or the few largest errors would decide alone.
    weight = 1 / (contrast2 + contrast2.mean() + 1e-12)
    scales = np.sqrt((predictors**2).mean(0)) + 1e-30
    shares, _ = nnls(predictors / scales * weight[:, None], squares * weight)
    floor2, activity2 = shares / scales
    spread2 = float(((test.gain * test.spread[pixels].astype(np.float64)) ** 2).mean())
    spread_share = math.sqrt(float(squares.mean()) / spread2) if spread2 > 0 else 0.0
    draft = ErrorModel(math.sqrt(floor2), math.sqrt(activity2), spread_share)
    sigma = draft.sigma(test.activity, np.float32(test.gain) * test.spread)[pixels]
    factor = float(np.quantile(error[pixels] / np.maximum(sigma, 1e-9), ONE_SIGMA))
    factor = min(max(factor, 0.1), 10.0)
    return ErrorModel(draft.floor, draft.activity_share, draft.spread_share, factor)


def _coverage(model: ErrorModel, test: SelfTest, error: Plane, pixels: Mask) -> float:
    """Share of pixels whose error is within one sigma."""
    sigma = model.sigma(test.activity, np.float32(test.gain) * test.spread)[pixels]
    return float((error[pixels] <= sigma).mean())

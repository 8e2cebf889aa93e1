"""Kelvin to unitless and back, for networks that like numbers near one.

The map is affine and clips nothing, so a fire at 900 K comes back as 900 K. The one
exception is `clip`, kept for the recipe `original`: what it cuts off is lost for good.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from pipeline.errors import SkippedSceneError
from pipeline.recipe_settings import NormalizeSettings

# A flat sea must not be stretched until its noise looks like detail: detectors' noise is 0.02-0.1 K.
MIN_SCALE_K = 0.1


@dataclass(frozen=True)
class Normalization:
    """unitless = (kelvin - offset_k) / scale_k.

    Attributes:
        offset_k: Maps to 0, in kelvin.
        scale_k: Length of the unit, in kelvin; at least `MIN_SCALE_K`.
        method: How the two were found: "percentile" or "absolute".
        clip: Whether `normalize` cuts off what lies outside 0 to 1.
    """

    offset_k: float
    scale_k: float
    method: str
    clip: bool = False

    def __post_init__(self) -> None:
        if not math.isfinite(self.offset_k):
            raise ValueError(f"offset_k must be finite, got {self.offset_k}")
        if not (math.isfinite(self.scale_k) and self.scale_k >= MIN_SCALE_K):
            raise ValueError(f"scale_k must be at least {MIN_SCALE_K} K, got {self.scale_k}")

    @classmethod
    def fit(
        cls, temperature: Float32[NDArray[np.float32], "*shape"], settings: NormalizeSettings
    ) -> Normalization:
        """The map that `settings` ask for, from the valid pixels of one scene.

        Args:
            temperature: Kelvin of its pixels, NaN for no data.
            settings: Method and bounds.

        Raises:
            SkippedSceneError: If percentiles are asked for and no pixel is valid.
        """
        low_k, high_k = settings.low_k, settings.high_k
        if settings.method == "percentile":
            valid = temperature[np.isfinite(temperature)]
            if valid.size == 0:
                raise SkippedSceneError("no pixel is valid, at least one is needed to normalize the scene")
            percents = [settings.low_percentile, settings.high_percentile]
            bounds = np.percentile(valid, percents, overwrite_input=True)  # a copy is enough of a large scene
            low_k, high_k = float(bounds[0]), float(bounds[1])
        return cls(low_k, max(high_k - low_k, MIN_SCALE_K), settings.method, settings.clip)

    def normalize(
        self, kelvin: Float32[NDArray[np.float32], "*shape"]
    ) -> Float32[NDArray[np.float32], "*shape"]:
        """(..., y, x) kelvin to unitless; NaN stays NaN."""
        unitless = (kelvin.astype(np.float64) - self.offset_k) / self.scale_k
        return (np.clip(unitless, 0.0, 1.0) if self.clip else unitless).astype(np.float32)

    def denormalize(
        self, unitless: Float32[NDArray[np.float32], "*shape"]
    ) -> Float32[NDArray[np.float32], "*shape"]:
        """(..., y, x) unitless to kelvin; the inverse of `normalize` except for what `clip` cut off."""
        return (unitless.astype(np.float64) * self.scale_k + self.offset_k).astype(np.float32)

    def count_outside(self, kelvin: Float32[NDArray[np.float32], "*_"]) -> int:
        """Valid pixels outside 0 to 1: with `clip` those that lose their temperature."""
        high_k = self.offset_k + self.scale_k
        return int(np.count_nonzero((kelvin < self.offset_k) | (kelvin > high_k)))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, the inverse of `from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Normalization:
        """The inverse of `to_json`."""
        return cls(**plain)

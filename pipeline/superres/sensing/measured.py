"""A scene without holes in working units, and what its own pixels tell, each computed once.

What is found here holds at every enlargement: the way to working units, whether the grid repeats pixels, how
much white noise there is, how much finer the grid is than its sensor.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float32
from numpy.typing import NDArray

from pipeline.raster import in_bands, row_bands
from pipeline.recipe_settings import DegradeSettings
from pipeline.scene import Scene
from pipeline.superres.sensing.artifacts import Artifacts, find_artifacts
from pipeline.superres.sensing.domain import Domain, choose_domain
from pipeline.superres.sensing.holes import fill_nearest
from pipeline.superres.sensing.spectrum import estimate_noise_k, oversampling

REPEATED_SHARE = 0.05  # of neighbors that are equal; 0.11-0.17 in ECOSTRESS map products, 0.00-0.02 elsewhere


@dataclass(frozen=True)
class Measured:
    """What was measured, ready to be added and averaged.

    Attributes:
        scene: In kelvin, NaN for no data.
        lr: (y, x) working units; a missing pixel has the value of the nearest valid one.
        valid: (y, x), true where there is data.
        domain: The way to kelvin and back.
        mends: Damage is to be taken out.
    """

    scene: Scene
    lr: Float32[NDArray[np.float32], "y x"]
    valid: Bool[NDArray[np.bool_], "y x"]
    domain: Domain
    mends: bool = False

    @classmethod
    def of(cls, scene: Scene, settings: DegradeSettings) -> Measured:
        """Fill the holes and choose the domain.

        Raises:
            SkippedSceneError: If no pixel is valid.
            UnusableInputError: If radiance is asked for and the wavelength is unknown.
        """
        filled = fill_nearest(scene.temperature)
        domain = choose_domain(scene, settings, float(np.median(filled)))
        return cls(scene, in_bands(domain.enter, 0, filled), scene.valid, domain, settings.mend is not None)

    @cached_property
    def repeats_pixels(self) -> bool:
        """Whether pixels were repeated and skipped to fill this grid, as many map products are made."""
        return resampled_by_nearest(self.scene.temperature, self.scene.quantization_k)

    @cached_property
    def artifacts(self) -> Artifacts:
        """Local damage: interleaved scans, stripes, seams."""
        step_k = self.scene.quantization_k
        return find_artifacts(self.lr, self.valid, step=step_k, mends=self.mends)

    def mended(self) -> tuple[Measured, dict[str, float]]:
        """The same with its damage taken out, as far as it goes, and by how much that changed it.

        Without `mends` nothing is taken out. Where the damage was is still known: its flag and its
        uncertainty stay.
        """
        after, damaged = replace(self, lr=self.artifacts.mended), self.artifacts.damaged
        after.__dict__["artifacts"] = self.artifacts  # those of the pixels as they came
        change = (after.lr - self.lr)[damaged].astype(np.float64)
        return after, {"artifact_mended_k": float(np.sqrt(np.mean(change**2)))} if damaged.any() else {}

    @cached_property
    def white_noise(self) -> float:
        """Standard deviation of the white noise found in the pixels, in working units."""
        return estimate_noise_k(self.lr, self.valid)

    @cached_property
    def oversampling(self) -> float:
        """How much finer the grid is than what its sensor resolved; NaN where the spectrum does not tell."""
        return oversampling(self.lr, self.valid)


def resampled_by_nearest(temperature: Float32[NDArray[np.float32], "y x"], step_k: float) -> bool:
    """Whether pixels were repeated and skipped to fill this grid, as many map products are made.

    Neighbors are then equal far more often than they differ by one step of the stored numbers.

    Args:
        temperature: Kelvin, NaN for no data.
        step_k: Step of the stored numbers, 0 for floating point.
    """
    count = equal = one_step = 0
    for first, last in row_bands(temperature.shape):
        for axis, part in enumerate((temperature[first : last + 1], temperature[first:last])):
            steps = np.abs(np.diff(np.where(np.isfinite(part), part, np.float32(np.nan)), axis=axis))
            steps = steps[np.isfinite(steps)]
            count += steps.size
            equal += int(np.count_nonzero(steps <= 0.5 * step_k))
            one_step += int(np.count_nonzero((steps > 0.5 * step_k) & (steps <= 1.5 * step_k)))
    return bool(count > 0 and equal > REPEATED_SHARE * count and equal > 3 * one_step / 2)

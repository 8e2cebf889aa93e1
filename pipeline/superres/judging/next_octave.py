"""How large errors are at the published scale, told by how the scene's contrast grows from octave to octave.

The self-test sees errors one scale up, and those of the published scale were 0.3 to 5 times as large as its
error model then says. The surprise: the size of its errors helps little to know which. What helps is the
contrast within the scene's finest blocks, how it compares with that of the scene at half its resolution, and
the slope of the spectrum. The weights were fitted on real scenes of 18 places and tested with each place left
out in turn (`tests/benchmarks/coverage.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32
from numpy.typing import NDArray

from pipeline.raster import block_means

Plane = Float32[NDArray[np.float32], "y x"]

ONE_SIGMA = math.erf(1 / math.sqrt(2))  # 68.27 % of a normal distribution
MIN_VALUES = 64
SCALES = (2, 4, 8)
# Of log(error / finest contrast): constant, per unit of slope, per unit of growth. By scale.
WEIGHTS = ((1.728, -0.822, 1.145), (1.122, -0.449, 0.888), (1.075, -0.494, 0.153))
SPREAD = (0.36, 0.42, 0.32)  # standard deviation of what is left of that logarithm, at places left out
MOST = (1.2, 1.4, 2.0)  # error over finest contrast that one scene in ten exceeds; by scale
GROWTH_BOUNDS = (-0.6, 0.5)  # beyond them it says no more


@dataclass(frozen=True)
class Octaves:
    """A scene's contrast at its two finest octaves.

    Attributes:
        finest: Distance of a pixel from the mean of its block of 2 x 2, exceeded by a third of them; in the
            scene's unit.
        growth: Logarithm of the diagonal contrast at the scene's pixels over that at half their resolution.
        slope: Half the exponent by which power falls with frequency, as the base found it.
    """

    finest: float
    growth: float
    slope: float

    def expected_error(self, scale: int) -> tuple[float, float, bool]:
        """What errors to expect at the published scale.

        Returns:
            The mean standard error in the scene's unit; the standard deviation of its logarithm; whether the
            scene is like those that the weights were fitted on. If not, the error is the largest usual there.
        """
        octave, known = math.log2(scale), [math.log2(each) for each in SCALES]
        columns = [*zip(*WEIGHTS, strict=True), SPREAD, MOST]
        constant, by_slope, by_growth, spread, most = (
            float(np.interp(octave, known, column)) for column in columns
        )
        growth = min(max(self.growth, GROWTH_BOUNDS[0]), GROWTH_BOUNDS[1])
        level = math.exp(constant + by_slope * self.slope + by_growth * growth)
        return self.finest * min(level, most), spread, level <= most


def find_octaves(lr: Plane, valid: Bool[NDArray[np.bool_], "y x"], slope: float) -> Octaves | None:
    """The contrast of a scene; None where it has none, or too few pixels to tell.

    Args:
        lr: (y, x), working units; what stands at invalid pixels is ignored.
        valid: (y, x), true where there is data.
        slope: Of the spectrum.
    """
    fine = np.where(valid, lr.astype(np.float64), np.nan)
    coarse = block_means(fine, 2, least_valid=4)
    height, width = (2 * side for side in coarse.shape)
    within = fine[:height, :width] - coarse.repeat(2, axis=0).repeat(2, axis=1)
    levels = [_exceeded_by_a_third(each) for each in (within, _diagonal(fine), _diagonal(coarse))]
    if min(levels) <= 0:
        return None
    return Octaves(levels[0], math.log(levels[1] / levels[2]), slope)


def _diagonal(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    return picture[:-1, :-1] - picture[1:, :-1] - picture[:-1, 1:] + picture[1:, 1:]


def _exceeded_by_a_third(values: NDArray[np.float64]) -> float:
    known = np.abs(values[np.isfinite(values)])
    return float(np.quantile(known, ONE_SIGMA)) if known.size >= MIN_VALUES else 0.0

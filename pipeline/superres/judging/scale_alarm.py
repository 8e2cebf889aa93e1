"""Whether a scene's detail behaves at its own scale as it does one scale up.

The self-test, and a network that learned from the scene alone, take it for granted: what held when the
scene was degraded will hold when it is refined. The coarse octaves of a scene's spectrum tell how much
detail its finest octave should hold. Far less means that the grid is finer than its sensor, far more that
this octave holds a pattern that is not of the ground: then what was learned one scale up says little.

The surprise: noise can hide both. So it is counted by itself, and a finest octave that is nearly all noise
raises the alarm as well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32
from numpy.typing import NDArray
from scipy.fft import dctn

from pipeline.superres.sensing.degrade import Degrade
from pipeline.superres.sensing.spectrum import FLAT_K, full_windows

# Cycles per pixel. The finest octave is judged; the one below it may be thin already on an oversampled
# grid, so the next three tell what to expect.
FINEST = (0.25, 0.5)
TELLING = ((0.0625, 0.125), (0.03125, 0.0625), (0.015625, 0.03125))
MIN_SIDE_PX = 64  # a smaller window has a handful of frequencies in the lowest octave
SLOPES = (1.0, 2.0)  # octaves of amplitude an octave of frequency, over the real scenes 1.0 to 2.0
# Measured over 27 real scenes: native grids 0.59-1.61, and 2.8 for a night with striping; 30 m Landsat 8 0.2,
# averaged to 90 m 0.5; textures interpolated by 2 to 4 0.02-0.16, a checkerboard on texture 27. Degraded
# Landsat 0.14-0.30; degraded ECOSTRESS from 0.35 up, and 0.18 where fields of one size fill the scene.
LEAST_SHARE, MOST_SHARE = 0.32, 4.0
MOST_NOISE_SHARE = 0.9  # real scenes: at most 0.75
MEDIAN_POWER = 0.4549  # median of a squared normal variable; a spectrum's peaks must not decide


@dataclass(frozen=True)
class ScaleInvariance:
    """What the finest octave holds.

    Attributes:
        share: Amplitude found there, without noise, relative to what coarser octaves foretell; 1 for a
            scene that looks alike at every scale, NaN where no window of 64 valid pixels a side tells.
        noise_share: Share of white noise in its power, 0 to 1 and beyond where noise is overestimated.
    """

    share: float
    noise_share: float

    @property
    def alarm(self) -> str:
        """Why the self-test may not speak for the published scale; "" where nothing says so."""
        if self.noise_share > MOST_NOISE_SHARE:
            return f"noise is {min(self.noise_share, 1.0):.0%} of the finest octave"
        if self.share < LEAST_SHARE:
            return f"the finest octave holds {self.share:.0%} of the detail foretold"
        if self.share > MOST_SHARE:
            return f"the finest octave holds {self.share:.1f} times the detail foretold"
        return ""


def scale_invariance(
    lr: Float32[NDArray[np.float32], "y x"],
    valid: Bool[NDArray[np.bool_], "y x"],
    degrade: Degrade,
    white_noise: float,
) -> ScaleInvariance:
    """Compare the finest octave of a scene with what its coarser octaves foretell.

    Amplitude falls by the same factor from octave to octave, besides what the sensor's blur takes.

    Args:
        lr: (y, x) working units; what stands at invalid pixels is ignored.
        valid: (y, x), true where there is data.
        degrade: The forward model; its blur between octaves is allowed for.
        white_noise: Standard deviation of the noise found in the pixels, in working units.
    """
    windows = full_windows(valid, np.random.default_rng(0))
    windows = [window for window in windows if min(window.height, window.width) >= MIN_SIDE_PX]
    if not windows:
        return ScaleInvariance(math.nan, math.nan)
    bands = (FINEST, *TELLING)
    power = _band_power([lr[window.slices] for window in windows], bands)
    noise2 = white_noise**2
    noise_share = float(noise2 / max(power[0], FLAT_K**2))
    if not (power[1:] > FLAT_K**2).all():
        return ScaleInvariance(math.nan, noise_share)
    octaves = np.log2(np.maximum(power - noise2, FLAT_K**2)) / 2
    slope = float(np.clip((octaves[3] - octaves[1]) / 2, *SLOPES))
    passed = [math.log2(_contrast(degrade, band)) for band in (FINEST, TELLING[0])]
    foretold = octaves[1] - 2 * slope + passed[0] - passed[1]
    return ScaleInvariance(float(2 ** (octaves[0] - foretold)), noise_share)


def _band_power(
    pictures: list[NDArray[np.float32]], bands: tuple[tuple[float, float], ...]
) -> NDArray[np.float64]:
    """Typical power in bands of frequency, over pictures of equal size."""
    y, x = (np.arange(side) / (2 * side) for side in pictures[0].shape)
    radius = np.hypot(y[:, None], x)
    kelvin = [picture.astype(np.float64) for picture in pictures]
    power = np.stack([dctn(each - each.mean(), norm="ortho") ** 2 for each in kelvin])
    typical = [np.median(power[:, (radius >= low) & (radius < high)]) for low, high in bands]
    return np.array(typical) / MEDIAN_POWER


def _contrast(degrade: Degrade, band: tuple[float, float]) -> float:
    """What the sensor keeps of a wave in the middle of a band."""
    middle = math.sqrt(band[0] * band[1])
    return max(math.sqrt(float(degrade.mtf(middle, -2) * degrade.mtf(middle, -1))), 1e-3)

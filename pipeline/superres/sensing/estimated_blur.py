"""The blur that a scene's own pixels tell of, where no table knows its sensor.

The ground looks much the same at every scale. So a scene that is degraded once more has a spectrum of the
same shape as before, where it then has the blur that it has already, in its new pixels. What is found is
all blur of the grid, that of a resampling included.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float32
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from pipeline.superres.sensing.degrade import Degrade
from pipeline.superres.sensing.spectrum import cosine_power, full_windows, radial_frequency

EDGES = np.linspace(0.1, 0.5, 9)  # of the rings, in cycles per pixel
WIDEST_PX = 0.8
STEPS = 17  # from 0 to the widest, before the least is looked for between two of them
SMALL_PX = 32  # of a window that can be degraded and has rings still
LEAST_POWER = 1e-8
LEAST_RINGS = 3
ADDED = math.sqrt(3) / 2  # of the blur; the rest of its variance comes with the scene, at half the size


def estimate_blur(
    lr: Float32[NDArray[np.float32], "y x"],
    valid: Bool[NDArray[np.bool_], "y x"],
    noise: float,
    generator: np.random.Generator,
) -> float | None:
    """Gaussian sigma of the blur in scene pixels, 0 to 0.8; the detector's box comes on top.

    Args:
        lr: (y, x) working units; what stands at invalid pixels is ignored.
        valid: (y, x), true where there is data.
        noise: Standard deviation of the white noise, in working units.
        generator: Draws windows of large or torn scenes.

    Returns:
        None where no window is large enough, or where noise hides the spectrum.

    Source: Michaeli and Irani, Nonparametric blind super-resolution, ICCV 2013, with the spectrum in place of
    patches and with one parameter.
    """
    windows = [one for one in full_windows(valid, generator) if min(one.height, one.width) >= SMALL_PX]
    pictures = [lr[one.slices][: one.height // 2 * 2, : one.width // 2 * 2] for one in windows]
    if not pictures:
        return None
    before, _ = _spectrum(pictures)
    white = generator.normal(size=(256, 256)).astype(np.float32)

    def misfit(sigma_px: float) -> float:
        """How far the two spectra differ in shape; infinite where too few rings can be compared."""
        degrade = Degrade.gaussian(2, ADDED * sigma_px)
        after, counts = _spectrum([degrade(picture) for picture in pictures])
        noise_before, noise_after = noise**2, noise**2 * _spectrum([degrade(white)])[0]
        told = (before > 1.5 * noise_before + LEAST_POWER) & (after > 1.5 * noise_after + LEAST_POWER)
        if np.count_nonzero(told) < LEAST_RINGS:
            return np.inf
        ratio = np.log((after - noise_after)[told] / (before - noise_before)[told])
        return float(np.cov(ratio, aweights=counts[told], ddof=0))

    tried = np.linspace(0, WIDEST_PX, STEPS)
    misfits = [misfit(float(sigma_px)) for sigma_px in tried]
    if not np.isfinite(misfits).all():
        return None
    near = int(np.clip(np.argmin(misfits), 1, STEPS - 2))
    bounds = (float(tried[near - 1]), float(tried[near + 1]))
    return float(minimize_scalar(misfit, bounds=bounds, method="bounded", options={"xatol": 0.005}).x)


def _spectrum(pictures: list[NDArray[np.float32]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean power in rings of frequency over all pictures, and how many frequencies each ring has."""
    frequency = np.concatenate([radial_frequency(picture.shape).ravel() for picture in pictures])
    power = np.concatenate([cosine_power(picture).ravel() for picture in pictures])
    counts = np.histogram(frequency, EDGES)[0].astype(np.float64)
    return np.histogram(frequency, EDGES, weights=power)[0] / counts, counts

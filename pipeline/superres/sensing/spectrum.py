"""What a scene's own spectrum tells: how rough it is, how noisy, how much finer its grid is than its sensor.

Temperature on the ground is rough in a way that looks much the same at every scale: its
power falls as a power of the frequency. The slope is read off the scene itself, by
likelihood, with the sensor's blur, aliasing and noise in the model; so how much detail lies
below a pixel is known without enlarging anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64
from numpy.typing import NDArray
from scipy import ndimage
from scipy.fft import dctn
from scipy.optimize import minimize_scalar

from pipeline.grid import Window
from pipeline.raster import in_bands
from pipeline.superres.sensing.degrade import Degrade

SLOPE_BOUNDS = (0.9, 3.0)  # below one, detail beyond Nyquist would hardly fade: that is noise
SLOPE_PRIOR = (1.5, 0.4)  # mean and spread over the real scenes that this was developed on
LOWEST_FREQUENCY = 0.25  # cycles per LR pixel; what lies below says little of what lies beyond Nyquist
SMALL_PX = 48  # a smaller window cannot spare the lower half of its frequencies
MAX_FREQUENCIES = 6000
MAX_ALIASES = 5  # along an axis; farther ones hold less than a thousandth
MAX_WINDOW_PIXELS = 512 * 512
WINDOW_SIDES_PX = (256, 192, 128, 96, 64, 48, 32, 24, 16, 12, 8, 6, 4)
FLAT_K = 1e-4
NOISE_BLOCK_PX = 8
NOISE_PERCENTILE = 5
# Root mean square of a block of white noise of unit variance, at that percentile, after each filter.
NOISE_CALM = (0.7453, 0.6768)
TEXTURE_RATIO = 1.8  # of texture's power after the short filter to that after the long one; noise: 1
RINGS = 24
CUTOFF = 0.42  # cycles per sensor pixel at which interpolated grids keep a third; measured
NYQUIST_MTF2 = 0.29**2  # what a typical sensor keeps of the power at Nyquist


@dataclass(frozen=True)
class PowerLaw:
    """Expected power of the fine scene: amplitude_k2 * roughness^(-slope), roughness being the eigenvalue
    of the negative Laplacian on the fine grid (about the squared angular frequency).

    Attributes:
        amplitude_k2: Kelvin squared; 0 for a scene without texture, or too small or torn to tell.
        slope: Half the exponent of the frequency.
    """

    amplitude_k2: float
    slope: float


def fit_power_law(
    lr: Float32[NDArray[np.float32], "y x"],
    valid: Bool[NDArray[np.bool_], "y x"],
    degrade: Degrade,
    nedt_k: float,
    generator: np.random.Generator,
) -> PowerLaw:
    """The power law under which the scene is most likely, seen through the sensor and its noise.

    Args:
        lr: (y, x) kelvin; what stands at invalid pixels is ignored.
        valid: (y, x), true where there is data.
        degrade: The forward model; its fine grid is the one that the law speaks of.
        nedt_k: Noise, in kelvin.
        generator: Draws windows of large or holey scenes, and frequencies.

    Source: Whittle, Estimation and information in stationary time series, 1953, on the cosine transform.
    """
    windows = full_windows(valid, generator)
    parts = [_periodogram(lr[window.slices], degrade, generator, len(windows)) for window in windows]
    parts = [part for part in parts if part[0].size]
    if not parts:
        return PowerLaw(0.0, SLOPE_PRIOR[0])
    observed, seen, log_rough = (np.concatenate([part[number] for part in parts]) for number in range(3))
    if float(observed.max()) < FLAT_K**2:
        return PowerLaw(0.0, SLOPE_PRIOR[0])
    noise_k2 = nedt_k**2 + FLAT_K**2

    def misfit(slope: float) -> float:
        unusual = (slope - SLOPE_PRIOR[0]) / SLOPE_PRIOR[1]
        return _best_amplitude(slope, observed, seen, log_rough, noise_k2)[1] + unusual**2 / (
            2 * observed.size
        )

    slope = float(minimize_scalar(misfit, bounds=SLOPE_BOUNDS, method="bounded", options={"xatol": 0.02}).x)
    return PowerLaw(_best_amplitude(slope, observed, seen, log_rough, noise_k2)[0], slope)


def full_windows(valid: Bool[NDArray[np.bool_], "y x"], generator: np.random.Generator) -> list[Window]:
    """Rectangles without a missing pixel: all of a small scene, else some of the largest squares that fit."""
    if valid.all() and valid.size <= MAX_WINDOW_PIXELS and min(valid.shape) >= WINDOW_SIDES_PX[-1]:
        return [Window(0, 0, *valid.shape)]
    total = np.zeros((valid.shape[0] + 1, valid.shape[1] + 1), np.int32)
    inner = total[1:, 1:]
    np.cumsum(np.cumsum(valid, 0, np.int32, inner), 1, np.int32, inner)
    for side in WINDOW_SIDES_PX:
        rows, columns = (np.arange(0, size - side + 1, max(side // 4, 1)) for size in valid.shape)
        if not (rows.size and columns.size):
            continue
        count = (
            total[np.ix_(rows + side, columns + side)]
            - total[np.ix_(rows, columns + side)]
            - total[np.ix_(rows + side, columns)]
            + total[np.ix_(rows, columns)]
        )
        found = np.argwhere(count == side * side)
        if len(found):
            most = max(MAX_WINDOW_PIXELS // side**2, 1)
            chosen = found if len(found) <= most else generator.permutation(found)[:most]
            return [Window(int(rows[row]), int(columns[column]), side, side) for row, column in chosen]
    return []


def _periodogram(
    picture: NDArray[np.float32], degrade: Degrade, generator: np.random.Generator, windows: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """For some frequencies: power in the scene; by alias, what the sensor lets through, log roughness."""
    power = cosine_power(picture)
    y, x = (np.arange(side) / (2 * side) for side in picture.shape)
    lowest = LOWEST_FREQUENCY if min(picture.shape) >= SMALL_PX else 2 / SMALL_PX
    chosen = np.argwhere(np.hypot(y[:, None], x) > lowest)
    most = max(MAX_FREQUENCIES // windows, 64)
    if len(chosen) > most:
        chosen = chosen[generator.choice(len(chosen), most, replace=False)]
    scale = degrade.scale
    alias = np.arange(scale) - (scale - 1) // 2
    alias = alias[np.argsort(np.abs(alias), kind="stable")][:MAX_ALIASES]
    fine_y, fine_x = ((axis[chosen[:, number], None] + alias) / scale for number, axis in ((0, y), (1, x)))
    rough_y, rough_x = (2 - 2 * np.cos(2 * np.pi * fine) for fine in (fine_y, fine_x))
    seen = _power_through(degrade, fine_y, fine_x) / scale**2
    log_rough = np.log(rough_y[:, :, None] + rough_x[:, None, :])
    return power[chosen[:, 0], chosen[:, 1]], seen, log_rough


def _power_through(
    degrade: Degrade, fine_y: NDArray[np.float64], fine_x: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(n, alias, alias) share of the power of cosines that the sensor lets through."""
    pairs = degrade.responses(fine_y, fine_x)
    if len(pairs) == 1:
        through_y, through_x = (np.abs(part) ** 2 for part in pairs[0])
        return np.asarray(through_y[:, :, None] * through_x[:, None, :])
    # A product of cosines is waves along both diagonals, and a kernel may see them unlike.
    along = sum(rows[:, :, None] * columns[:, None, :] for rows, columns in pairs)
    across = sum(rows[:, :, None] * columns.conj()[:, None, :] for rows, columns in pairs)
    return np.asarray(np.abs(along) ** 2 + np.abs(across) ** 2) / 2


def _best_amplitude(
    slope: float,
    observed: NDArray[np.float64],
    seen: NDArray[np.float64],
    log_rough: NDArray[np.float64],
    noise_k2: float,
) -> tuple[float, float]:
    """The most likely amplitude for a slope, and its misfit: the mean negative log-likelihood."""
    shape = (seen * np.exp(-slope * log_rough)).sum((1, 2))

    def misfit(log_amplitude: float) -> float:
        expected = np.exp(log_amplitude) * shape + noise_k2
        return float(np.mean(np.log(expected) + observed / expected))

    highest = float(np.log(np.mean(observed / shape))) + 1
    trials = np.linspace(highest - 12, highest, 13)
    best = int(np.argmin([misfit(trial) for trial in trials]))
    bounds = (trials[max(best - 1, 0)], trials[min(best + 1, trials.size - 1)])
    answer = minimize_scalar(misfit, bounds=bounds, method="bounded", options={"xatol": 0.02})
    return float(np.exp(answer.x)), float(answer.fun)


def estimate_noise_k(lr: Float32[NDArray[np.float32], "y x"], valid: Bool[NDArray[np.bool_], "y x"]) -> float:
    """White noise of a scene, in kelvin, from its calmest places.

    Two high-pass filters of different length see the same white noise but different amounts of texture;
    the difference tells texture, which is taken off. Detail as fine as a pixel, such as the jags of
    nearest-neighbor resampling, cannot be told from noise and is counted as noise.

    Args:
        lr: (y, x) kelvin; what stands at invalid pixels is ignored.
        valid: (y, x), true where there is data.

    Returns:
        0 where fewer than 64 pixels have valid neighbors all around.

    Source: after Immerkaer, Fast noise variance estimation, 1996.
    """
    known = valid & np.isfinite(lr)
    if not known.any():
        return 0.0
    level = float(lr[known].mean(dtype=np.float64))
    powers = []
    for taps, calm in zip(((1, -2, 1), (1, -4, 6, -4, 1)), NOISE_CALM, strict=True):
        line = np.asarray(taps, dtype=np.float64)
        line /= np.sqrt(line @ line)
        power = in_bands(partial(_rough_power, level, line), len(taps) // 2, lr, known)
        whole = ndimage.minimum_filter(known, len(taps), mode="constant", cval=False)
        powers.append(_calm_power(power, whole) / calm**2)
    short, long = powers
    return float(np.sqrt(max((TEXTURE_RATIO * long - short) / (TEXTURE_RATIO - 1), 0.0)))


def _rough_power(
    level: float, line: NDArray[np.float64], lr: NDArray[np.float32], known: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Square of what a high-pass filter along both axes leaves."""
    kelvin = np.where(known, lr - level, 0).astype(np.float64)
    rough = ndimage.convolve1d(ndimage.convolve1d(kelvin, line, axis=0), line, axis=1)
    return np.asarray(rough**2)


def _calm_power(power: NDArray[np.float64], whole: NDArray[np.bool_]) -> float:
    """The mean power of the calmest blocks; of all pixels where no block is whole."""
    height, width = (side // NOISE_BLOCK_PX * NOISE_BLOCK_PX for side in power.shape)
    shape = (height // NOISE_BLOCK_PX, NOISE_BLOCK_PX, width // NOISE_BLOCK_PX, NOISE_BLOCK_PX)
    used = whole[:height, :width].reshape(shape).all(axis=(1, 3))
    if used.any():
        return float(
            np.percentile(power[:height, :width].reshape(shape).mean(axis=(1, 3))[used], NOISE_PERCENTILE)
        )
    return float(power[whole].mean()) if whole.sum() >= NOISE_BLOCK_PX**2 else 0.0


def oversampling(lr: Float32[NDArray[np.float32], "y x"], valid: Bool[NDArray[np.bool_], "y x"]) -> float:
    """How much finer the scene's grid is than what its sensor resolved; 1 for a native grid.

    The power law of the low frequencies, seen by a typical sensor of the grid's own size, foretells the
    high ones. Where ten times less is found at some frequency, the grid is finer than its sensor, and
    the frequency where a third is left tells by how much.

    Args:
        lr: (y, x) kelvin; what stands at invalid pixels is ignored.
        valid: (y, x), true where there is data.

    Returns:
        1 or more; NaN where no window of 48 valid pixels a side tells.
    """
    windows = [
        window
        for window in full_windows(valid, np.random.default_rng(0))
        if min(window.height, window.width) >= 48
    ]
    if not windows:
        return float("nan")
    frequency, power = _ring_power([lr[window.slices] for window in windows])
    if not (power > FLAT_K**2).any():
        return float("nan")
    power = np.maximum(power, FLAT_K**2)
    low = frequency < 0.08
    log_f, log_p = np.log(frequency[low]), np.log(power[low])
    slope = (
        float(np.clip(-np.polyfit(log_f, log_p, 1)[0] / 2, 1.0, 1.5)) if low.sum() >= 3 else SLOPE_PRIOR[0]
    )
    level = float(np.mean(log_p + 2 * slope * log_f))
    sensor = np.log(NYQUIST_MTF2) * (2 * frequency) ** 2
    lacking = level - 2 * slope * np.log(frequency) + sensor - np.log(power)
    if float(lacking[~low].max()) < np.log(10):
        return 1.0
    first = int(np.argmax((lacking > 0.5 * np.log(10)) & ~low))
    return float(max(CUTOFF / frequency[first], 1.0))


def cosine_power(picture: Float[NDArray[np.floating], "y x"]) -> Float64[NDArray[np.float64], "y x"]:
    """Power of every frequency of a picture that is mirrored at its borders; its mean left out."""
    values = picture.astype(np.float64)
    return np.asarray(dctn(values - values.mean(), norm="ortho") ** 2)


def radial_frequency(shape: tuple[int, ...]) -> Float64[NDArray[np.float64], "y x"]:
    """Cycles per pixel of every frequency of `cosine_power`."""
    y, x = (np.arange(side) / (2 * side) for side in shape)
    return np.asarray(np.hypot(y[:, None], x))


def _ring_power(pictures: list[NDArray[np.float32]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cycles per pixel and typical power of rings of frequencies, averaged over pictures of equal size."""
    radius = radial_frequency(pictures[0].shape)
    power = np.mean([cosine_power(picture) for picture in pictures], axis=0)
    edges = np.geomspace(2 / min(power.shape), 0.5, RINGS + 1)
    rings = [(radius >= low) & (radius < high) for low, high in pairwise(edges)]
    rings = [ring for ring in rings if ring.sum() >= 4]
    # The median: leakage from the borders and striping sit on few frequencies.
    typical = [float(np.median(power[ring])) / np.log(2) for ring in rings]
    return np.array([radius[ring].mean() for ring in rings]), np.array(typical)

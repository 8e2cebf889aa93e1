"""The scene and smaller versions of it, each with the coarse picture that the sensor would have of it.

Every level is degraded once and whole, so a patch has the neighborhood that it will have in use, and
a step only copies pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float32, Float64
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.optics import TYPICAL_PSF_SIGMA_PX
from pipeline.recipe_settings import PairSettings

Coarse = Float32[NDArray[np.float32], "y x"]
Fine = Float32[NDArray[np.float32], "fine_y fine_x"]
Patch = Float32[NDArray[np.float32], "_ _"]
Mask = Bool[NDArray[np.bool_], "y x"]
Shares = Float64[NDArray[np.float64], " pixels"]
Blur = Callable[[NDArray[np.float32]], NDArray[np.float32]]

SENSOR_VARIANCE_PX2 = TYPICAL_PSF_SIGMA_PX**2 + 1 / 12  # and the detector's square
# How the original degrades a picture: blur in fine pixels, noise unitless.
BLUR_SIGMA_PX, NOISE_SIGMA, NOISE_PROBABILITY = (0.5, 2.0), (0.001, 0.01), 0.8


@dataclass(frozen=True)
class Level:
    """One level of the pyramid, to cut patches from.

    Attributes:
        lr: What the sensor would see of it.
        base: The base of `lr`.
        truth: The level itself.
        weight: 1 where all of a coarse pixel is valid, else 0.
        noise: RMS of the noise in `lr`, in its units.
        informative: Cumulative shares of the coarse pixels, row by row, by local variance of the Laplacian:
            where patches have their center.
        anywhere: The same, alike for all valid pixels.
    """

    lr: Coarse
    base: Fine
    truth: Fine
    weight: Fine
    noise: float
    informative: Shares
    anywhere: Shares

    def patch(self, crop_px: int, informative_fraction: float, generator: np.random.Generator) -> list[Patch]:
        """Coarse, base, truth and weight around an informative pixel, or around any valid one."""
        scale = self.truth.shape[0] // self.lr.shape[0]
        row, column = _corner(self, crop_px, informative_fraction, generator)
        fine_row, fine_column, fine_px = scale * row, scale * column, scale * crop_px
        coarse = np.s_[row : row + crop_px, column : column + crop_px]
        fine = np.s_[fine_row : fine_row + fine_px, fine_column : fine_column + fine_px]
        return [self.lr[coarse], self.base[fine], self.truth[fine], self.weight[fine]]


@dataclass(frozen=True)
class LevelMaker:
    """Degrades and enlarges a picture of the pyramid; `noise` is NEdT in the picture's units."""

    degrade: Blur
    enlarge: Blur
    scale: int
    settings: PairSettings
    noise: float

    def __call__(self, picture: Coarse, mask: Mask, generator: np.random.Generator) -> Level:
        """Cut to whole LR pixels at a random phase, degrade, add noise, enlarge."""
        s = self.scale
        phase = [int(generator.integers(size % s + 1)) for size in picture.shape]
        rows, columns = (
            slice(first, first + size // s * s) for first, size in zip(phase, picture.shape, strict=True)
        )
        truth, mask = np.ascontiguousarray(picture[rows, columns]), mask[rows, columns]
        if self.settings.model == "original":
            lr, sigma = self._original_degrade(truth, generator)
        else:
            lr = self.degrade(truth)
            # An exact share of noise a level: NEdT is itself known to a factor of two only.
            sigma = self.noise * float(generator.uniform(0.5, 2.0))
            lr = lr + generator.normal(0.0, 1.0, lr.shape).astype(np.float32) * np.float32(sigma)
        lr = lr.astype(np.float32)
        blocks = mask.reshape(mask.shape[0] // s, s, mask.shape[1] // s, s)
        whole = np.asarray(blocks.all(axis=(1, 3)))
        return Level(
            lr=lr,
            base=self.enlarge(lr).astype(np.float32),
            truth=truth,
            weight=np.kron(whole, np.ones((s, s))).astype(np.float32),
            noise=sigma,
            informative=_cumulative(_laplacian_variance(lr) * whole),
            anywhere=_cumulative(whole.astype(np.float64)),
        )

    def _original_degrade(self, truth: Fine, generator: np.random.Generator) -> tuple[Coarse, float]:
        """The original's: Gaussian blur of random width, cubic resampling, random noise; and its RMS."""
        blurred = ndimage.gaussian_filter(truth, generator.uniform(*BLUR_SIGMA_PX))
        shape = truth.shape[0] // self.scale, truth.shape[1] // self.scale
        lr = resample(blurred, shape)
        if generator.random() >= NOISE_PROBABILITY:
            return lr, 0.0
        sigma = generator.uniform(*NOISE_SIGMA)
        return (lr + generator.normal(0.0, sigma, lr.shape)).astype(np.float32), sigma


def pyramid(
    temperature: Coarse, valid: Mask, settings: PairSettings, *, smallest_px: int
) -> list[tuple[Patch, Bool[NDArray[np.bool_], "_ _"]]]:
    """The scene and smaller versions of it, largest first, each as the same sensor would see it.

    A level of size f is blurred as much as it takes for a PSF of 1/f pixels, so that every level has
    the contrast that a delivered scene has. Levels below `smallest_px` a side are left out.
    """
    levels = []
    for size in np.linspace(1.0, settings.smallest_scale, settings.num_scales):
        shape = round(temperature.shape[0] * size), round(temperature.shape[1] * size)
        if min(shape) < smallest_px:
            continue
        if shape == temperature.shape:
            levels.append((temperature, valid))
            continue
        sigma = (
            1 / size if settings.model == "original" else float(np.sqrt(SENSOR_VARIANCE_PX2 * (size**-2 - 1)))
        )
        small = resample(ndimage.gaussian_filter(temperature, sigma), shape)
        touched = ndimage.gaussian_filter((~valid).astype(np.float32), sigma)
        levels.append((small, resample(touched, shape, order=1) < 1e-3))
    return levels


def resample(picture: Coarse, shape: tuple[int, int], order: Literal[1, 3] = 3) -> Fine:
    """(y, x) to another size over the same ground, by splines."""
    zoom = [shape[0] / picture.shape[0], shape[1] / picture.shape[1]]
    return np.asarray(
        ndimage.zoom(picture, zoom, order=order, mode="reflect", grid_mode=True),
        dtype=np.float32,
    )


def missing_detail(levels: Sequence[Level]) -> float:
    """RMS of what the bases lack, over the pixels that count."""
    squares = sum(
        float((level.weight * (level.truth - level.base).astype(np.float64) ** 2).sum()) for level in levels
    )
    return float(np.sqrt(squares / max(sum(float(level.weight.sum()) for level in levels), 1.0)))


def _laplacian_variance(lr: Coarse) -> NDArray[np.float64]:
    """(y, x) variance of the Laplacian in 5 x 5 pixels: how much there is to learn."""
    laplacian = ndimage.laplace(lr.astype(np.float64))
    variance = ndimage.uniform_filter(laplacian**2, 5) - ndimage.uniform_filter(laplacian, 5) ** 2
    return np.maximum(variance, 0.0)


def _cumulative(likelihood: NDArray[np.float64]) -> NDArray[np.float64]:
    """Running sum, row by row, ending at one; all ones where nothing is likely."""
    running = likelihood.cumsum()
    return running / running[-1] if running[-1] > 0 else np.ones_like(running)


def _corner(
    level: Level, crop: int, informative_fraction: float, generator: np.random.Generator
) -> tuple[int, int]:
    """First row and column of a patch around an informative pixel, or around any valid one."""
    chosen = generator.random() < informative_fraction
    shares = level.informative if chosen else level.anywhere
    pixel = min(int(np.searchsorted(shares, generator.random(), side="right")), shares.size - 1)
    height, width = level.lr.shape
    row, column = divmod(pixel, width)
    return (
        min(max(row - crop // 2, 0), height - crop),
        min(max(column - crop // 2, 0), width - crop),
    )

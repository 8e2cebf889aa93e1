"""Lessons cut from the scene itself: what it looked like, were it seen from further away.

The scene and smaller versions of it (a pyramid) are taken for truth, the forward model makes the
coarse picture of each, and patches are cut from both. Everything is degraded once and whole, so
a patch has the neighborhood that it will have in use, and a step costs a copy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from pipeline.recipe_settings import PairSettings
from pipeline.superres.networks.detail import DetailNetwork, detail_unit
from pipeline.superres.sensing.holes import fill_nearest

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]
Blur = Callable[[Image], Image]

SENSOR_VARIANCE_PX2 = 0.4**2 + 1 / 12  # a typical PSF and the detector's square, in native pixels
SMALLEST_LR_PX = 8
# How the original degrades and varies a picture: blur in HR pixels, noise unitless, factors.
BLUR_SIGMA_PX, NOISE_SIGMA, NOISE_PROBABILITY = (0.5, 2.0), (0.001, 0.01), 0.8
PHOTOMETRIC_RANGE = (0.9, 1.1)


class Batch(NamedTuple):
    """Patches for one step: (n, 1, y, x) coarse, (n, 1, s*y, s*x) base, truth and weight of the loss.

    `noise` (n, 1, 1, 1) is given where the patches come from scenes of different noise.
    """

    lr: Tensor
    base: Tensor
    truth: Tensor
    weight: Tensor
    noise: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""
        return Batch(*(None if part is None else part.to(device) for part in self))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Lesson:
    """One level of the pyramid: (y, x) coarse; base, truth and weight on the fine grid.

    `informative` and `anywhere` say where patches have their center, on the coarse grid: cumulative shares
    of its pixels, row by row, by local variance of the Laplacian and of valid ones.
    """

    lr: Image
    base: Image
    truth: Image
    weight: Image
    informative: NDArray[np.float64]
    anywhere: NDArray[np.float64]

    def patch(self, crop_px: int, informative_fraction: float, generator: np.random.Generator) -> list[Image]:
        """Coarse, base, truth and weight around an informative pixel, or around any valid one."""
        scale = self.truth.shape[0] // self.lr.shape[0]
        row, column = _corner(self, crop_px, informative_fraction, generator)
        fine_row, fine_column, fine_px = scale * row, scale * column, scale * crop_px
        coarse = np.s_[row : row + crop_px, column : column + crop_px]
        fine = np.s_[fine_row : fine_row + fine_px, fine_column : fine_column + fine_px]
        return [self.lr[coarse], self.base[fine], self.truth[fine], self.weight[fine]]


@dataclass(frozen=True)
class ScenePairs:
    """Training pairs of one scene.

    Attributes:
        scale: Linear enlargement.
        lessons: To draw patches from.
        validation: Whole levels whose loss counts only where training never looks.
        unit: RMS of the scene's detail, in working units.
        sigma: RMS of the detail missing from the bases, in units of `unit`.
        settings: How patches are drawn.
    """

    scale: int
    lessons: tuple[Lesson, ...]
    validation: tuple[Batch, ...]
    unit: float
    sigma: float
    settings: PairSettings

    def batch(self, generator: np.random.Generator) -> Batch:
        """Patches of one step; same state of the generator, same patches."""
        area = np.array([lesson.truth.size for lesson in self.lessons], dtype=np.float64)
        crop = min(self._crop_px, *(min(lesson.lr.shape) for lesson in self.lessons))
        drawn = [
            self._patch(self.lessons[index], crop, generator)
            for index in generator.choice(len(self.lessons), self.settings.batch, p=area / area.sum())
        ]
        return stack_patches(drawn)

    @property
    def _crop_px(self) -> int:
        if self.settings.crop_px is None:
            raise ValueError("pairs.crop_px is unset; resolve the recipe first")
        return self.settings.crop_px

    def _patch(self, lesson: Lesson, crop: int, generator: np.random.Generator) -> list[Image]:
        patch = lesson.patch(crop, self.settings.informative_fraction, generator)
        if self.settings.flips:
            patch = turn_at_random(patch, generator)
        if generator.random() < self.settings.photometric_probability:
            patch[:3] = _photometric(patch[:3], generator)
        return patch


def make_pairs(
    temperature: Image,
    valid: Mask,
    degrade: Blur,
    enlarge: Blur,
    *,
    scale: int,
    settings: PairSettings,
    generator: np.random.Generator,
    noise: float = 0.0,
    held_out: Mask | None = None,
) -> ScenePairs:
    """Training and validation pairs of one scene.

    Args:
        temperature: (y, x), unitless; what stands at invalid pixels is ignored.
        valid: (y, x), true where there is data.
        degrade: The forward model: (s*y, s*x) to (y, x).
        enlarge: The base: (y, x) to (s*y, s*x).
        scale: Linear enlargement.
        settings: Pyramid, patches, augmentation.
        generator: All randomness of the pyramid: phases and noise.
        noise: NEdT in the units of `temperature`; levels get 0.5 to 2 times as much.
        held_out: (y, x), true where training must never look; those pixels judge it.

    Raises:
        ValueError: If the scene is too small for the factor.
        SkippedSceneError: If no pixel is valid and seen.
    """
    if min(temperature.shape) // scale < SMALLEST_LR_PX:
        raise ValueError(
            f"{temperature.shape[0]} x {temperature.shape[1]} pixels are too few for x{scale}: "
            f"{SMALLEST_LR_PX * scale} a side are needed, try a smaller scale"
        )
    held_out = np.zeros_like(valid) if held_out is None else held_out & valid
    seen = valid & ~held_out
    shown = fill_nearest(np.where(seen, temperature, np.float32(np.nan)))
    maker = LessonMaker(degrade, enlarge, scale, settings, noise)
    lessons = [
        maker(level, mask, generator)
        for level, mask in pyramid(shown, seen, settings, smallest_px=SMALLEST_LR_PX * scale)
    ]
    lessons = [lesson for lesson in lessons if lesson.weight.any()]
    if not lessons:
        raise ValueError("no level of the pyramid has a valid pixel to learn from")
    whole = fill_nearest(np.where(valid, temperature, np.float32(np.nan)))
    validation = [_as_batch(maker(whole, held_out, generator))] if held_out.any() else []
    unit = detail_unit(torch.from_numpy(shown), torch.from_numpy(seen))
    return ScenePairs(
        scale=scale,
        lessons=tuple(lessons),
        validation=tuple(validation),
        unit=unit,
        sigma=missing_detail(lessons) / unit or 1.0,
        settings=settings,
    )


@dataclass(frozen=True)
class LessonMaker:
    """Makes a lesson of one level of the pyramid; `noise` is NEdT in the level's units."""

    degrade: Blur
    enlarge: Blur
    scale: int
    settings: PairSettings
    noise: float

    def __call__(self, level: Image, mask: Mask, generator: np.random.Generator) -> Lesson:
        """Cut to whole LR pixels at a random phase, degrade, add noise, enlarge."""
        s = self.scale
        phase = [int(generator.integers(size % s + 1)) for size in level.shape]
        rows, columns = (
            slice(first, first + size // s * s) for first, size in zip(phase, level.shape, strict=True)
        )
        truth, mask = np.ascontiguousarray(level[rows, columns]), mask[rows, columns]
        if self.settings.model == "original":
            lr = self._original_degrade(truth, generator)
        else:
            lr = self.degrade(truth)
            # An exact share of noise a level: NEdT is itself known to a factor of two only.
            sigma = self.noise * float(generator.uniform(0.5, 2.0))
            lr = lr + generator.normal(0.0, 1.0, lr.shape).astype(np.float32) * np.float32(sigma)
        lr = lr.astype(np.float32)
        blocks = mask.reshape(mask.shape[0] // s, s, mask.shape[1] // s, s)
        whole = np.asarray(blocks.all(axis=(1, 3)))
        return Lesson(
            lr=lr,
            base=self.enlarge(lr).astype(np.float32),
            truth=truth,
            weight=np.kron(whole, np.ones((s, s))).astype(np.float32),
            informative=_cumulative(_laplacian_variance(lr) * whole),
            anywhere=_cumulative(whole.astype(np.float64)),
        )

    def _original_degrade(self, truth: Image, generator: np.random.Generator) -> Image:
        """The original's: random Gaussian blur, every s-th pixel by cubic resampling, random noise."""
        blurred = ndimage.gaussian_filter(truth, generator.uniform(*BLUR_SIGMA_PX))
        shape = truth.shape[0] // self.scale, truth.shape[1] // self.scale
        lr = resample(blurred, shape)
        if generator.random() >= NOISE_PROBABILITY:
            return lr
        sigma = generator.uniform(*NOISE_SIGMA)
        return (lr + generator.normal(0.0, sigma, lr.shape)).astype(np.float32)


def calibrate(network: DetailNetwork, pairs: ScenePairs, noise: float = 0.0) -> None:
    """Set a fresh network's units to those of the scene; `noise` in working units.

    A network that sees the scene with its mean (the original's) keeps the units it is given.
    """
    if network.mean_window_px:
        network.calibrate(unit=pairs.unit, sigma=pairs.sigma, noise=noise)


def pyramid(
    temperature: Image, valid: Mask, settings: PairSettings, *, smallest_px: int
) -> list[tuple[Image, Mask]]:
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


def resample(picture: Image, shape: tuple[int, int], order: Literal[1, 3] = 3) -> Image:
    """(y, x) to another size over the same ground, by splines."""
    zoom = [shape[0] / picture.shape[0], shape[1] / picture.shape[1]]
    return np.asarray(
        ndimage.zoom(picture, zoom, order=order, mode="reflect", grid_mode=True),
        dtype=np.float32,
    )


def missing_detail(lessons: Sequence[Lesson]) -> float:
    """RMS of what the bases lack, over the pixels that count."""
    squares = sum(
        float((lesson.weight * (lesson.truth - lesson.base).astype(np.float64) ** 2).sum())
        for lesson in lessons
    )
    return float(np.sqrt(squares / max(sum(float(lesson.weight.sum()) for lesson in lessons), 1.0)))


def _laplacian_variance(lr: Image) -> NDArray[np.float64]:
    """(y, x) variance of the Laplacian in 5 x 5 pixels: how much there is to learn."""
    laplacian = ndimage.laplace(lr.astype(np.float64))
    variance = ndimage.uniform_filter(laplacian**2, 5) - ndimage.uniform_filter(laplacian, 5) ** 2
    return np.maximum(variance, 0.0)


def _cumulative(likelihood: NDArray[np.float64]) -> NDArray[np.float64]:
    """Running sum, row by row, ending at one; all ones where nothing is likely."""
    running = likelihood.cumsum()
    return running / running[-1] if running[-1] > 0 else np.ones_like(running)


def _corner(
    lesson: Lesson, crop: int, informative_fraction: float, generator: np.random.Generator
) -> tuple[int, int]:
    """First row and column of a patch around an informative pixel, or around any valid one."""
    chosen = generator.random() < informative_fraction
    shares = lesson.informative if chosen else lesson.anywhere
    pixel = min(int(np.searchsorted(shares, generator.random(), side="right")), shares.size - 1)
    height, width = lesson.lr.shape
    row, column = divmod(pixel, width)
    return (
        min(max(row - crop // 2, 0), height - crop),
        min(max(column - crop // 2, 0), width - crop),
    )


def turn_at_random(pictures: Sequence[Image], generator: np.random.Generator) -> list[Image]:
    """All pictures flipped and turned alike, by one of the eight ways of the square."""
    turns, mirrored = int(generator.integers(4)), bool(generator.integers(2))
    return [np.rot90(part[:, ::-1] if mirrored else part, turns) for part in pictures]


def stack_patches(patches: Sequence[Sequence[Image]]) -> Batch:
    """Patches of coarse, base, truth and weight as one batch."""
    stacked = (np.stack(parts)[:, None] for parts in zip(*patches, strict=True))
    return Batch(*(torch.from_numpy(np.ascontiguousarray(part, dtype=np.float32)) for part in stacked))


def _photometric(pictures: Sequence[Image], generator: np.random.Generator) -> list[Image]:
    """The same brightness and contrast change for all of them."""
    brightness, contrast = (np.float32(generator.uniform(*PHOTOMETRIC_RANGE)) for _ in range(2))
    mean = np.float32(pictures[0].mean())
    return [((part - mean) * contrast + mean) * brightness for part in pictures]


def _as_batch(lesson: Lesson) -> Batch:
    parts = (lesson.lr, lesson.base, lesson.truth, lesson.weight)
    return Batch(*(torch.from_numpy(part)[None, None] for part in parts))

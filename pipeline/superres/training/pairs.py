"""Training pairs cut from the scene itself: pictures, and what the sensor would see of them from farther off.

The scene and smaller versions of it (`levels`) are taken for truth, the forward model makes the
coarse picture of each, and patches are cut from both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from pipeline.recipe_settings import PairSettings
from pipeline.superres.networks.detail import DetailNetwork, detail_unit
from pipeline.superres.sensing.holes import fill_nearest
from pipeline.superres.training.levels import (
    Blur,
    Coarse,
    Level,
    LevelMaker,
    Mask,
    Patch,
    missing_detail,
    pyramid,
)

AnyMask = Bool[NDArray[np.bool_], "_ _"]
SMALLEST_LR_PX = 8
PHOTOMETRIC_RANGE = (0.9, 1.1)  # factors by which the original varies brightness and contrast
CHECKED_PATCHES = 16  # of its own pyramid, by which the original recipe is validated


class Batch(NamedTuple):
    """Patches for one step.

    Attributes:
        lr: Coarse.
        base: Of `lr`.
        truth: What should come out.
        weight: Of every pixel in the loss.
        noise: RMS of the noise in each of `lr`, in its units; seen by networks built with `noise_input`.
        scene: Patches of the scene itself, at its published scale, where a loss asks for them.
        scene_base: Of `scene`.
    """

    lr: Float[Tensor, "n 1 y x"]
    base: Float[Tensor, "n 1 fine_y fine_x"]
    truth: Float[Tensor, "n 1 fine_y fine_x"]
    weight: Float[Tensor, "n 1 fine_y fine_x"]
    noise: Float[Tensor, "n 1 1 1"]
    scene: Float[Tensor, "n 1 _ _"] | None = None
    scene_base: Float[Tensor, "n 1 _ _"] | None = None

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""
        moved = {name: part.to(device) for name, part in self._asdict().items() if part is not None}
        return Batch(**moved)


@dataclass(frozen=True)
class ScenePairs:
    """Training pairs of one scene.

    Attributes:
        scale: Linear enlargement.
        levels: To draw patches from.
        validation: What validates and is never learned from.
        unit: RMS of the scene's detail, in working units.
        sigma: RMS of the detail missing from the bases, in units of `unit`.
        settings: How patches are drawn.
        scene: The scene and its base at the published scale; None where no loss asks for them.
    """

    scale: int
    levels: tuple[Level, ...]
    validation: tuple[Batch, ...]
    unit: float
    sigma: float
    settings: PairSettings
    scene: tuple[Patch, Patch] | None = None

    def batch(self, generator: np.random.Generator) -> Batch:
        """Patches of one step; same state of the generator, same patches."""
        area = np.array([level.truth.size for level in self.levels], dtype=np.float64)
        crop = self.drawn_px
        chosen = [
            self.levels[index]
            for index in generator.choice(len(self.levels), self.settings.batch, p=area / area.sum())
        ]
        patches = [self._patch(level, crop, generator) for level in chosen]
        batch = stack_patches(patches, [level.noise for level in chosen])
        return batch if self.scene is None else self._with_scene(batch, *self.scene, generator)

    def _with_scene(self, batch: Batch, lr: Patch, base: Patch, generator: np.random.Generator) -> Batch:
        """The batch with as many patches of the scene itself, from anywhere."""
        side, scale, parts = min(self.drawn_px, *lr.shape), self.scale, []
        for _ in range(self.settings.batch):
            row, column = (int(generator.integers(size - side + 1)) for size in lr.shape)
            fine = slice(scale * row, scale * (row + side)), slice(scale * column, scale * (column + side))
            parts.append((lr[row : row + side, column : column + side], base[fine]))
        stacked = (torch.from_numpy(np.stack(each)[:, None]) for each in zip(*parts, strict=True))
        return Batch(*batch[:5], *stacked)

    @property
    def drawn_px(self) -> int:
        """Side of a patch, in coarse pixels; smaller than asked for where a level is."""
        if self.settings.crop_px is None:
            raise ValueError("pairs.crop_px is unset; resolve the recipe first")
        return min(self.settings.crop_px, *(int(min(level.lr.shape)) for level in self.levels))

    def _patch(self, level: Level, crop: int, generator: np.random.Generator) -> list[Patch]:
        patch = level.patch(crop, self.settings.informative_fraction, generator)
        if self.settings.flips:
            patch = turn_at_random(patch, generator)
        chance = self.settings.photometric_probability
        if generator.random() < chance:
            patch[:3] = _change_brightness(patch[:3], float(generator.uniform(*PHOTOMETRIC_RANGE)))
        if chance > 0 and generator.random() < chance:  # no draw where none is used: the others stay the same
            patch[:3] = _change_contrast(patch[:3], float(generator.uniform(*PHOTOMETRIC_RANGE)))
        return patch


def make_pairs(
    temperature: Coarse,
    valid: Mask,
    degrade: Blur,
    enlarge: Blur,
    *,
    scale: int,
    settings: PairSettings,
    generator: np.random.Generator,
    noise: float = 0.0,
    held_out: Mask | None = None,
    finer: Sequence[tuple[Patch, AnyMask]] = (),
    with_scene: bool = False,
) -> ScenePairs:
    """Training and validation pairs of one scene.

    Args:
        temperature: Unitless, without holes: a missing pixel has the value of the nearest valid one.
        valid: True where there is data.
        degrade: The forward model: (s*y, s*x) to (y, x).
        enlarge: The base: (y, x) to (s*y, s*x).
        scale: Linear enlargement.
        settings: Pyramid, patches, augmentation.
        generator: All randomness of the pyramid: phases and noise.
        noise: NEdT in the units of `temperature`; levels get 0.5 to 2 times as much.
        held_out: True where training must never look; those pixels validate it. Without them none do, but
            the original recipe is validated by patches that it also learns from.
        finer: Finer versions of the scene, and where they count: further levels of the pyramid.
        with_scene: Whether batches hold patches of the scene itself too, for a loss by consistency.

    Raises:
        ValueError: If the scene is too small for the enlargement.
        SkippedSceneError: If no pixel is valid and seen.
    """
    if min(temperature.shape) // scale < SMALLEST_LR_PX:
        raise ValueError(
            f"{temperature.shape[0]} x {temperature.shape[1]} pixels are too few for x{scale}: "
            f"{SMALLEST_LR_PX * scale} a side are needed, try a smaller scale"
        )
    held_out = np.zeros_like(valid) if held_out is None else held_out & valid
    seen = valid & ~held_out
    shown = temperature
    if held_out.any():
        shown = fill_nearest(np.where(seen, temperature, np.float32(np.nan)))
    maker = LevelMaker(degrade, enlarge, scale, settings, noise)
    levels = [
        maker(level, mask, generator)
        for level, mask in [*pyramid(shown, seen, settings, smallest_px=SMALLEST_LR_PX * scale), *finer]
    ]
    levels = [level for level in levels if level.weight.any()]
    if not levels:
        raise ValueError("no level of the pyramid has a valid pixel to learn from")
    unit = detail_unit(torch.from_numpy(shown), torch.from_numpy(seen))
    sigma = missing_detail(levels) / unit or 1.0
    scene = (shown, enlarge(shown).astype(np.float32)) if with_scene else None
    pairs = ScenePairs(scale, tuple(levels), (), unit, sigma, settings, scene)
    validation: list[Batch] = []
    if held_out.any():
        whole = maker(temperature, held_out, generator)
        validation = [stack_patches([(whole.lr, whole.base, whole.truth, whole.weight)], [whole.noise])]
    elif settings.model == "original":
        validation = [pairs.batch(generator) for _ in range(CHECKED_PATCHES)]
    return replace(pairs, validation=tuple(validation))


def calibrate(network: DetailNetwork, pairs: ScenePairs, noise: float = 0.0) -> None:
    """Set a fresh network's units to those of the scene; `noise` in working units.

    A network that sees the scene with its mean (the original's) keeps the units it is given.
    """
    if network.mean_window_px:
        network.calibrate(unit=pairs.unit, sigma=pairs.sigma, noise=noise)


def turn_at_random(pictures: Sequence[Patch], generator: np.random.Generator) -> list[Patch]:
    """All pictures flipped and turned alike, by one of the eight ways of the square."""
    turns, mirrored = int(generator.integers(4)), bool(generator.integers(2))
    return [np.rot90(part[:, ::-1] if mirrored else part, turns) for part in pictures]


def stack_patches(patches: Sequence[Sequence[Patch]], noises: Sequence[float]) -> Batch:
    """Patches of coarse, base, truth and weight, and the noise of each, as one batch."""
    stacked = (np.stack(parts)[:, None] for parts in zip(*patches, strict=True))
    lr, base, truth, weight = (
        torch.from_numpy(np.ascontiguousarray(part, dtype=np.float32)) for part in stacked
    )
    return Batch(lr, base, truth, weight, torch.tensor(noises, dtype=torch.float32).view(-1, 1, 1, 1))


def _change_brightness(pictures: Sequence[Patch], factor: float) -> list[Patch]:
    return [part * np.float32(factor) for part in pictures]


def _change_contrast(pictures: Sequence[Patch], factor: float) -> list[Patch]:
    """About the mean of the first, the coarse one."""
    mean = np.float32(pictures[0].mean())
    return [(part - mean) * np.float32(factor) + mean for part in pictures]

"""Training pairs of many scenes, for a prior.

Every scene is a truth for a coarser sensor: as it was delivered, and halved once. A place is drawn first,
one of its scenes after: many dates of one place count little more than one. Noise is put on finished
pairs: the base is linear, so noise may be enlarged by itself, beforehand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Float64
from numpy.typing import NDArray
from scipy.signal import oaconvolve

from pipeline.network_settings import NetworkSettings
from pipeline.recipe import Recipe
from pipeline.recipe_settings import PairSettings, TrainSettings
from pipeline.superres.bases.base import Base, back_projected_base
from pipeline.superres.networks import detail_unit
from pipeline.superres.sensing.degrade import Degrade
from pipeline.superres.sensing.holes import fill_nearest
from pipeline.superres.training.levels import Coarse, Level, LevelMaker, Patch, missing_detail
from pipeline.superres.training.pairs import Batch, stack_patches, turn_at_random

Phases = Float32[NDArray[np.float32], "scale scale width width"]
NOISE_FIELDS, NOISE_PX, NOISE_BORDER_PX = 32, 64, 8
PLACE_EXPONENT = 1 / 3  # how often a place is drawn, by its area: the smallest ones soon show nothing new
LEAST_WEIGHT = 0.02  # share of pixels that count, below which nothing is learned from a level


@dataclass(frozen=True)
class PriorScene:
    """A scene that a prior learns from, or is scored on.

    Attributes:
        name: For the card.
        site: Scenes of one site are left out together.
        sensor: Key of the sensor table.
        digest: sha256 of its content, hex.
        temperature: Kelvin, NaN for no data.
        psf_sigma_px: Of its sensor, in native pixels.
        first_octave: 0, or how often it must be halved until its grid is no finer than its sensor.
    """

    name: str
    site: str
    sensor: str
    digest: str
    temperature: Coarse
    psf_sigma_px: float
    first_octave: int = 0


# On 8 places left out at x2: 0.1 % better than two blocks for a sixth more seconds; 48 channels: 0.03 % more.
_NETWORK = Recipe(network=NetworkSettings(blocks=4, attention_every=2, noise_input=True)).resolved().network
# At a rate of 4e-3 a third to two thirds of the features within the blocks are dead after a training, and two
# of eight networks at x8 died whole; at 1.5e-3 none.
_TRAINING = TrainSettings(steps=2400, learning_rate=1.5e-3, mixed_precision="bfloat16", patience_fraction=1.0)


@dataclass(frozen=True)
class PriorTraining:
    """How a prior is trained.

    Attributes:
        network: Resolved.
        training: Steps, rates, losses.
        pairs: Patches.
        noise_k: Noise of the patches is drawn between 0 and this, in kelvin.
        quiet_fraction: Share of patches without noise.
        drowned_fraction: Share of patches with noise of up to `drowned_units` times their scene's detail:
            a calm sea under a sensor's noise, whatever the scenes at hand.
        drowned_units: See `drowned_fraction`.
        psf_sigmas_px: Blurs that the pairs are made with, each level with each of them.
        psf_error: Share by which the blur that the base assumes may differ from the true one.
    """

    network: NetworkSettings = field(default_factory=lambda: _NETWORK)
    training: TrainSettings = field(default_factory=lambda: _TRAINING)
    pairs: PairSettings = field(default_factory=lambda: PairSettings(crop_px=24))
    noise_k: float = 0.15
    quiet_fraction: float = 0.35
    drowned_fraction: float = 0.1
    drowned_units: float = 1.5
    psf_sigmas_px: tuple[float, ...] = (0.0, 0.3, 0.4, 0.5)
    psf_error: float = 0.0


class NoiseFields(NamedTuple):
    """Noise of 1 K, and what the base makes of it."""

    lr: Float32[NDArray[np.float32], "n y x"]
    base: Float32[NDArray[np.float32], "n fine_y fine_x"]


@dataclass(frozen=True)
class PriorLevel:
    """A level of one scene, made with one blur.

    Attributes:
        level: Its pictures, in kelvin about the scene's median.
        area_px: Fine pixels that count.
        unit_k: RMS of its detail.
        sigma_k: RMS of the detail that its base lacks.
        fields: Noise to be added.
    """

    level: Level
    area_px: float
    unit_k: float
    sigma_k: float
    fields: NoiseFields


@dataclass(frozen=True)
class PriorPairs:
    """Patches of many scenes, each in units of its own detail; the `Pairs` of a prior's training.

    Attributes:
        places: The levels of every scene of every place.
        sigma: Typical RMS of the missing detail, in units of a scene's own.
        settings: Noise and patches.
        validation: None: a prior is scored on scenes left out of it.
    """

    places: tuple[tuple[tuple[PriorLevel, ...], ...], ...]
    sigma: float
    settings: PriorTraining
    validation: tuple[Batch, ...] = ()

    @cached_property
    def shares(self) -> Float64[NDArray[np.float64], " places"]:
        """How often each place is drawn."""
        areas = [sum(level.area_px for scene in place for level in scene) for place in self.places]
        weights = np.asarray(areas) ** PLACE_EXPONENT
        return np.asarray(weights / weights.sum())

    def batch(self, generator: np.random.Generator) -> Batch:
        """Patches of one step, each from a place, and from a scene of it drawn evenly."""
        drawn, noises = [], []
        for number in generator.choice(len(self.places), self.settings.pairs.batch, p=self.shares):
            place = self.places[number]
            patch, noise = self._patch(place[int(generator.integers(len(place)))], generator)
            drawn.append(turn_at_random(patch, generator))
            noises.append(noise)
        batch = stack_patches(drawn, noises)
        return batch._replace(weight=batch.weight / batch.weight.mean().clamp_min(1e-6))

    def _patch(
        self, levels: Sequence[PriorLevel], generator: np.random.Generator
    ) -> tuple[list[Patch], float]:
        area = np.array([level.area_px for level in levels])
        chosen = levels[int(generator.choice(len(levels), p=area / area.sum()))]
        crop = self.settings.pairs.crop_px or 24
        patch = chosen.level.patch(crop, self.settings.pairs.informative_fraction, generator)
        noise_k = self._noise_k(chosen, generator)
        if noise_k > 0:
            patch[:2] = _add_noise(patch, chosen.fields, noise_k, generator)
        unit = float(np.hypot(chosen.unit_k, noise_k))
        mean = patch[0].mean()
        patch[:3] = [(part - mean) / unit for part in patch[:3]]
        # Errors count relative to what a scene lacks, or the roughest scene alone would count.
        patch[3] = patch[3] * np.float32((unit * self.sigma / np.hypot(chosen.sigma_k, 0.5 * noise_k)) ** 2)
        return patch, noise_k / unit

    def _noise_k(self, level: PriorLevel, generator: np.random.Generator) -> float:
        settings, share = self.settings, float(generator.random())
        if share < settings.quiet_fraction:
            return 0.0
        drowned = share < settings.quiet_fraction + settings.drowned_fraction
        highest_k = settings.drowned_units * level.unit_k if drowned else settings.noise_k
        return float(generator.uniform(0.0, highest_k))


def _add_noise(
    patch: Sequence[Patch], fields: NoiseFields, noise_k: float, generator: np.random.Generator
) -> list[Patch]:
    """Coarse picture and base with noise: the base is linear, so noise is enlarged by itself."""
    coarse, fine = fields
    crop, scale = patch[0].shape[0], fine.shape[1] // coarse.shape[1]
    number = int(generator.integers(len(coarse)))
    row, column = generator.integers(NOISE_BORDER_PX, NOISE_PX - crop - NOISE_BORDER_PX + 1, size=2)
    lr = coarse[number, row : row + crop, column : column + crop]
    hr = fine[number, scale * row : scale * (row + crop), scale * column : scale * (column + crop)]
    return [patch[0] + np.float32(noise_k) * lr, patch[1] + np.float32(noise_k) * hr]


def prior_pairs(
    scenes: Sequence[PriorScene],
    settings: PriorTraining,
    *,
    scale: int,
    seed: int,
    coarser: frozenset[str] = frozenset(),
) -> PriorPairs:
    """Pairs of many scenes for one scale.

    Args:
        scenes: To learn from.
        settings: Blur, noise, patches.
        scale: Linear enlargement.
        seed: Of phases, blurs and noise.
        coarser: Sensors whose scenes are used from one octave down on: those of a scene that will
            judge the prior, because a scene's own sensor has no finer truth to learn from.

    Raises:
        ValueError: If no scene is large enough.
    """
    generator = np.random.default_rng([seed, scale])
    noise: dict[float, NoiseFields] = {}
    kept: dict[str, list[tuple[PriorLevel, ...]]] = {}
    for scene in scenes:
        first = scene.first_octave + (scene.sensor in coarser)
        pictures = octaves(scene.temperature, scene.psf_sigma_px, first, first + 2)
        levels = [
            level for picture in pictures for level in _levels(picture, settings, scale, generator, noise)
        ]
        if levels:
            kept.setdefault(scene.site, []).append(tuple(levels))
    if not kept:
        raise ValueError(f"no scene is large enough to learn x{scale} from")
    places = tuple(tuple(place) for place in kept.values())
    means = [
        np.mean([np.log(level.sigma_k / level.unit_k) for scene in place for level in scene])
        for place in places
    ]
    return PriorPairs(places, float(np.exp(np.mean(means))), settings)


def octaves(temperature: Coarse, psf_sigma_px: float, first: int, last: int) -> Iterator[Patch]:
    """Kelvin with NaN, halved through its sensor's blur `first` to `last` - 1 times."""
    halve = Degrade.gaussian(2, psf_sigma_px)
    level = temperature
    for octave in range(last):
        if octave >= first:
            yield level
        height, width = (side // 2 * 2 for side in level.shape)
        if min(height, width) < 2:
            return
        level = halve(np.ascontiguousarray(level[:height, :width]))


def _levels(
    picture: Coarse,
    settings: PriorTraining,
    scale: int,
    generator: np.random.Generator,
    noise: dict[float, NoiseFields],
) -> Iterator[PriorLevel]:
    """One for each blur that pairs are made with; `noise` is filled as needed."""
    valid = np.isfinite(picture)
    crop = settings.pairs.crop_px or 24
    if min(picture.shape) // scale <= crop or not valid.any():
        return
    picture = np.asarray(picture - np.nanmedian(picture), dtype=np.float32)
    for assumed_px in settings.psf_sigmas_px:
        true_px = assumed_px * (1 + float(generator.uniform(-settings.psf_error, settings.psf_error)))
        base = back_projected_base(Degrade.gaussian(scale, assumed_px))
        enlarge = partial(enlarge_whole, kernel=base.kernels[0])
        maker = LevelMaker(Degrade.gaussian(scale, true_px), enlarge, scale, settings.pairs, 0.0)
        level = maker(fill_nearest(picture), valid, generator)
        sigma = missing_detail([level])
        if level.weight.mean() < LEAST_WEIGHT or sigma == 0:
            continue
        whole = torch.from_numpy(level.weight[::scale, ::scale] > 0)
        if assumed_px not in noise:
            noise[assumed_px] = _noise_fields(base, generator)
        unit = detail_unit(torch.from_numpy(level.lr), whole)
        yield PriorLevel(level, float(level.weight.sum()), unit, sigma, noise[assumed_px])


def enlarge_whole(lr: Coarse, kernel: Phases) -> Patch:
    """What a base of one filter gives, to 1e-5 of the scene's range; by Fourier transforms, 20 times faster.

    Its last bits depend on where a picture is cut, so products are not made by it.
    """
    scale, radius = kernel.shape[0], kernel.shape[-1] // 2
    padded = np.pad(lr, radius, mode="symmetric")
    fine = np.empty((scale * lr.shape[0], scale * lr.shape[1]), dtype=np.float32)
    for row, column in np.ndindex(scale, scale):
        weights = kernel[row, column, ::-1, ::-1]
        fine[row::scale, column::scale] = oaconvolve(padded, weights, mode="valid")
    return fine


def _noise_fields(base: Base, generator: np.random.Generator) -> NoiseFields:
    coarse = generator.normal(size=(NOISE_FIELDS, NOISE_PX, NOISE_PX)).astype(np.float32)
    return NoiseFields(coarse, np.stack([enlarge_whole(field, base.kernels[0]) for field in coarse]))

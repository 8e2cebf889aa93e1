"""How a prior is taught.

Every scene of an archive is a truth for a coarser sensor: as it was delivered, and one octave down.
Scenes are drawn evenly, so a large one teaches no more than a small one. Noise is put on finished
pairs: the base is linear, so it may be enlarged by itself, beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.recipe import Recipe
from pipeline.recipe_settings import NetworkSettings, PairSettings, TrainSettings
from pipeline.superres.bases.base import Base, back_projected_base
from pipeline.superres.networks import build_network, count_parameters, detail_unit
from pipeline.superres.prior.weights import Prior
from pipeline.superres.sensing.degrade import Degrade
from pipeline.superres.sensing.holes import fill_nearest
from pipeline.superres.training.loop import train
from pipeline.superres.training.pairs import (
    Batch,
    Image,
    Lesson,
    LessonMaker,
    missing_detail,
    stack_patches,
    turn_at_random,
)

BASE = "back_projected"  # linear and without anything to tune, so that noise can be added to finished pairs
NOISE_BANK, NOISE_PX, NOISE_BORDER_PX = 32, 64, 8
LEAST_WEIGHT = 0.02  # share of pixels that count, below which a level teaches nothing


@dataclass(frozen=True)
class PriorScene:
    """A scene that teaches.

    Attributes:
        name: For the card.
        site: Scenes of one site are left out together.
        sensor: Key of the sensor table.
        digest: sha256 of its content, hex.
        temperature: (y, x) float32 kelvin, NaN for no data.
        psf_sigma_px: Of its sensor, in native pixels.
        first_octave: 0, or how often it must be halved until its grid is no finer than its sensor.
    """

    name: str
    site: str
    sensor: str
    digest: str
    temperature: NDArray[np.float32]
    psf_sigma_px: float
    first_octave: int = 0


_NETWORK = Recipe(network=NetworkSettings(noise_input=True)).resolved().network
_TRAINING = TrainSettings(steps=4000, learning_rate=4e-3, mixed_precision="bfloat16", patience_fraction=1.0)


@dataclass(frozen=True)
class TeachSettings:
    """How a prior is taught.

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


@dataclass(frozen=True)
class Chapter:
    """A lesson, how many of its pixels count, its scene's units, and noise as its base enlarges it."""

    lesson: Lesson
    area: float
    unit: float
    sigma: float
    bank: tuple[NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True)
class PriorPairs:
    """Patches of many scenes, each in units of its own detail; the `Pairs` of a prior's training.

    Attributes:
        shelves: The chapters of every scene.
        sigma: Typical RMS of the missing detail, in units of a scene's own.
        settings: Noise and patches.
        validation: None: scenes left out of the prior judge it.
    """

    shelves: tuple[tuple[Chapter, ...], ...]
    sigma: float
    settings: TeachSettings
    validation: tuple[Batch, ...] = ()

    def batch(self, generator: np.random.Generator) -> Batch:
        """Patches of one step, each from a scene drawn evenly."""
        drawn, noises = [], []
        for shelf in generator.integers(len(self.shelves), size=self.settings.pairs.batch):
            patch, noise = self._patch(self.shelves[shelf], generator)
            drawn.append(turn_at_random(patch, generator))
            noises.append(noise)
        batch = stack_patches(drawn)
        weight = batch.weight / batch.weight.mean().clamp_min(1e-6)
        return batch._replace(
            weight=weight, noise=torch.tensor(noises, dtype=torch.float32).view(-1, 1, 1, 1)
        )

    def _patch(self, shelf: Sequence[Chapter], generator: np.random.Generator) -> tuple[list[Image], float]:
        area = np.array([chapter.area for chapter in shelf])
        chapter = shelf[int(generator.choice(len(shelf), p=area / area.sum()))]
        crop = self.settings.pairs.crop_px or 24
        patch = chapter.lesson.patch(crop, self.settings.pairs.informative_fraction, generator)
        noise_k = self._noise_k(chapter, generator)
        if noise_k > 0:
            patch[:2] = _add_noise(patch, chapter, noise_k, generator)
        unit = float(np.hypot(chapter.unit, noise_k))
        level = patch[0].mean()
        patch[:3] = [(part - level) / unit for part in patch[:3]]
        # Errors count relative to what a scene lacks, or the roughest scene would teach alone.
        patch[3] = patch[3] * np.float32((unit * self.sigma / np.hypot(chapter.sigma, 0.5 * noise_k)) ** 2)
        return patch, noise_k / unit

    def _noise_k(self, chapter: Chapter, generator: np.random.Generator) -> float:
        settings, share = self.settings, float(generator.random())
        if share < settings.quiet_fraction:
            return 0.0
        drowned = share < settings.quiet_fraction + settings.drowned_fraction
        highest_k = settings.drowned_units * chapter.unit if drowned else settings.noise_k
        return float(generator.uniform(0.0, highest_k))


def _add_noise(
    patch: Sequence[Image], chapter: Chapter, noise_k: float, generator: np.random.Generator
) -> list[Image]:
    """Coarse picture and base with noise: the base is linear, so noise is enlarged by itself."""
    coarse, fine = chapter.bank
    crop, scale = patch[0].shape[0], fine.shape[1] // coarse.shape[1]
    number = int(generator.integers(len(coarse)))
    row, column = generator.integers(NOISE_BORDER_PX, NOISE_PX - crop - NOISE_BORDER_PX + 1, size=2)
    lr = coarse[number, row : row + crop, column : column + crop]
    hr = fine[number, scale * row : scale * (row + crop), scale * column : scale * (column + crop)]
    return [patch[0] + np.float32(noise_k) * lr, patch[1] + np.float32(noise_k) * hr]


def prior_pairs(
    scenes: Sequence[PriorScene],
    settings: TeachSettings,
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
    banks: dict[float, tuple[NDArray[np.float32], NDArray[np.float32]]] = {}
    shelves = []
    for scene in scenes:
        first = scene.first_octave + (scene.sensor in coarser)
        levels = octaves(scene.temperature, scene.psf_sigma_px, first, first + 2)
        chapters = [
            chapter for level in levels for chapter in _chapters(level, settings, scale, generator, banks)
        ]
        if chapters:
            shelves.append(tuple(chapters))
    if not shelves:
        raise ValueError(f"no scene is large enough to teach x{scale}")
    ratios = [np.log(chapter.sigma / chapter.unit) for shelf in shelves for chapter in shelf]
    return PriorPairs(tuple(shelves), float(np.exp(np.mean(ratios))), settings)


def octaves(
    temperature: NDArray[np.float32], psf_sigma_px: float, first: int, last: int
) -> Iterator[NDArray[np.float32]]:
    """(y, x) kelvin with NaN, halved through its sensor's blur `first` to `last` - 1 times."""
    halve = Degrade.gaussian(2, psf_sigma_px)
    level = temperature
    for octave in range(last):
        if octave >= first:
            yield level
        height, width = (side // 2 * 2 for side in level.shape)
        if min(height, width) < 2:
            return
        level = halve(np.ascontiguousarray(level[:height, :width]))


def _chapters(
    level: NDArray[np.float32],
    settings: TeachSettings,
    scale: int,
    generator: np.random.Generator,
    banks: dict[float, tuple[NDArray[np.float32], NDArray[np.float32]]],
) -> Iterator[Chapter]:
    valid = np.isfinite(level)
    crop = settings.pairs.crop_px or 24
    if min(level.shape) // scale <= crop or not valid.any():
        return
    level = np.asarray(level - np.nanmedian(level), dtype=np.float32)
    for assumed_px in settings.psf_sigmas_px:
        true_px = assumed_px * (1 + float(generator.uniform(-settings.psf_error, settings.psf_error)))
        base = back_projected_base(Degrade.gaussian(scale, assumed_px))
        maker = LessonMaker(Degrade.gaussian(scale, true_px), base, scale, settings.pairs, 0.0)
        lesson = maker(fill_nearest(level), valid, generator)
        sigma = missing_detail([lesson])
        if lesson.weight.mean() < LEAST_WEIGHT or sigma == 0:
            continue
        whole = torch.from_numpy(lesson.weight[::scale, ::scale] > 0)
        if assumed_px not in banks:
            banks[assumed_px] = _noise_bank(base, generator)
        unit = detail_unit(torch.from_numpy(lesson.lr), whole)
        yield Chapter(lesson, float(lesson.weight.sum()), unit, sigma, banks[assumed_px])


def _noise_bank(
    base: Base, generator: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Fields of unit noise, and what the base makes of them."""
    coarse = generator.normal(size=(NOISE_BANK, NOISE_PX, NOISE_PX)).astype(np.float32)
    return coarse, np.stack([base(field) for field in coarse])


def train_prior(
    scenes: Sequence[PriorScene],
    settings: TeachSettings,
    *,
    scales: Sequence[int],
    seed: int,
    device: torch.device,
    coarser: frozenset[str] = frozenset(),
    progress: Callable[[int, int, int], None] | None = None,
) -> Prior:
    """A prior of these scenes; its card says what fed it, and nothing yet of its skill.

    Args:
        scenes: To learn from.
        settings: Network, training, pairs.
        scales: Enlargements.
        seed: Of everything random.
        device: Where to train.
        coarser: As in `prior_pairs`.
        progress: Told the scale, the steps done and the steps planned.
    """
    weights, facts = {}, {}
    for scale in scales:
        pairs = prior_pairs(scenes, settings, scale=scale, seed=seed, coarser=coarser)
        network = build_network(settings.network, scale, seed=seed)
        network.calibrate(unit=1.0, sigma=pairs.sigma)
        tell = (
            None if progress is None else lambda done, planned, _, scale=scale: progress(scale, done, planned)
        )
        report = train(network, pairs, settings.training, seed=seed, device=device, progress=tell)
        if report.failed:
            raise ValueError(f"the prior for x{scale} {report.stopped}")
        weights[scale] = {name: tensor.detach().cpu() for name, tensor in network.named_parameters()}
        facts[str(scale)] = {
            "network": settings.network.model_dump(mode="json"),
            "parameters": count_parameters(network),
            "sigma": pairs.sigma,
            "base": BASE,
            "gain": 1.0,
            "gain_error": 0.0,
            "steps": report.steps,
        }
    card = {
        "scales": facts,
        "scenes": [
            {name: getattr(scene, name) for name in ("name", "site", "sensor", "digest", "psf_sigma_px")}
            for scene in scenes
        ],
        "training": settings.training.model_dump(mode="json"),
        "pairs": settings.pairs.model_dump(mode="json"),
        "noise_k": settings.noise_k,
        "psf_sigmas_px": list(settings.psf_sigmas_px),
        "seed": seed,
        "coarser": sorted(coarser),
        "skill": [],
    }
    return Prior(weights, card)

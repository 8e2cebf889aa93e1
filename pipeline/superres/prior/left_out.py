"""How well a prior does on scenes from places that it has never seen, by Wald's protocol.

A left-out scene is degraded, recovered and compared with itself. Of its own sensor the prior has seen
scenes that were halved once only, as in use, where nothing finer than the scene is to be had.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from numpy.typing import NDArray

from pipeline.grid import Window
from pipeline.raster import most_textured_square
from pipeline.recipe_settings import InferSettings
from pipeline.superres.applying.enlarge import base_upscaler, network_upscaler
from pipeline.superres.applying.passes import passes
from pipeline.superres.applying.windows import compute_passes, compute_window
from pipeline.superres.bases.base import Base, back_projected_base, fit_base
from pipeline.superres.bases.projection import Projection
from pipeline.superres.networks.detail import DetailNetwork, detail_unit
from pipeline.superres.prior.prior_pairs import PriorScene, PriorTraining, octaves
from pipeline.superres.prior.train_prior import train_prior
from pipeline.superres.prior.weights import Prior
from pipeline.superres.sensing.degrade import Degrade
from pipeline.superres.training.levels import Coarse

MOST_GAIN = 2.0
SQUARES_PX = (512, 384, 256, 192, 128, 96, 64)


@dataclass(frozen=True)
class LeftOutScore:
    """How a prior did on a scene that did not teach it, against that scene's own pixels.

    Attributes:
        scene: Its name.
        site: Its site.
        sensor: Its sensor.
        scale: Linear enlargement.
        noise_k: Added to the degraded scene.
        rmse_k: Of the prior, with its projection.
        base_rmse_k: Of the base that it adds to, with the same projection.
        tikhonov_rmse_k: Of Tikhonov tuned on the degraded scene, without projection.
        gain: Factor on what the prior adds to Tikhonov that would have been best, 0 to 2. A product mixes
            just these two, and Tikhonov is the better of the bases.
    """

    scene: str
    site: str
    sensor: str
    scale: int
    noise_k: float
    rmse_k: float
    base_rmse_k: float
    tikhonov_rmse_k: float
    gain: float


def score_left_out(
    prior: Prior, scene: PriorScene, *, scale: int, noise_k: float, psf_sigma_px: float, seed: int
) -> LeftOutScore | None:
    """Wald's protocol on the scene's most textured square; None where no whole square is large enough."""
    truth = scored_square(scene, scale)
    if truth is None:
        return None
    degrade = Degrade.gaussian(scale, psf_sigma_px)
    generator = np.random.default_rng([seed, scale])
    lr = degrade(truth)
    lr = (lr + generator.normal(0.0, noise_k, lr.shape)).astype(np.float32)
    valid = np.ones(lr.shape, dtype=np.bool_)
    base = back_projected_base(degrade)
    project = Projection.of(degrade, noise_k)
    answer = apply_prior(prior.network(scale), lr, base, noise_k)
    plain = compute_window(base_upscaler(base), lr, Window(0, 0, *lr.shape))
    tikhonov = np.asarray(fit_base("tikhonov", lr, valid, degrade, noise_k, generator)(lr))
    border = 2 * scale

    def inside(picture: NDArray[np.float32]) -> NDArray[np.float64]:
        return (picture - truth)[border:-border, border:-border].astype(np.float64)

    added, lacking = inside(answer) - inside(tikhonov), -inside(tikhonov)
    best = float((added * lacking).sum() / max(float((added**2).sum()), 1e-12))
    rmse_k, base_rmse_k, tikhonov_rmse_k = (
        float(np.sqrt(np.mean(inside(picture) ** 2)))
        for picture in (project(answer, lr, valid), project(plain, lr, valid), tikhonov)
    )
    return LeftOutScore(
        scene=scene.name,
        site=scene.site,
        sensor=scene.sensor,
        scale=scale,
        noise_k=noise_k,
        rmse_k=rmse_k,
        base_rmse_k=base_rmse_k,
        tikhonov_rmse_k=tikhonov_rmse_k,
        gain=float(np.clip(best, 0.0, MOST_GAIN)),
    )


def apply_prior(
    network: DetailNetwork, lr: Float32[NDArray[np.float32], "y x"], base: Base, noise_k: float
) -> Float32[NDArray[np.float32], "fine_y fine_x"]:
    """`apply_network` after the network's units are set to the scene's."""
    unit = detail_unit(torch.from_numpy(lr), torch.ones(lr.shape, dtype=torch.bool))
    network.calibrate(unit=unit, noise=noise_k)
    return apply_network(network, lr, base)


def apply_network(
    network: DetailNetwork, lr: Float32[NDArray[np.float32], "y x"], base: Base
) -> Float32[NDArray[np.float32], "fine_y fine_x"]:
    """(y, x) kelvin without holes, enlarged: the mean over the eight transformations, without projection."""
    up = network_upscaler(network, base=base, device=torch.device("cpu"))
    ways = passes(up, InferSettings(), np.random.default_rng(0))
    return compute_passes(ways, lr, Window(0, 0, *lr.shape), "mean")[0]


def scored_square(scene: PriorScene, scale: int) -> Coarse | None:
    """The largest square without holes among `SQUARES_PX`, and of those the one with the steepest gradients.

    Kelvin, from the scene as its sensor sees it: a finer grid is halved through the sensor's blur first.
    """
    first = scene.first_octave
    level = next(octaves(scene.temperature, scene.psf_sigma_px, first, first + 1))
    sides = (side for side in SQUARES_PX if side % scale == 0 and side // scale >= 4 * scale)
    return most_textured_square(level, sides)


def folds(scenes: Sequence[PriorScene], count: int | None = None) -> list[frozenset[str]]:
    """Sites that are left out together: each by itself, or in `count` groups.

    Sites of one sensor are dealt to two groups, so that each group has few sensors and no sensor is left out
    whole where it has two sites.
    """
    sites = dict.fromkeys(scene.site for scene in scenes)
    if count is None or count >= len(sites):
        return [frozenset((site,)) for site in sites]
    sensors = dict.fromkeys(scene.sensor for scene in scenes)
    first = {site: next(scene.sensor for scene in scenes if scene.site == site) for site in sites}
    groups: list[list[str]] = [[] for _ in range(count)]
    for sensor in sensors:
        pair = sorted(groups, key=len)[:2]
        for number, site in enumerate(site for site in sites if first[site] == sensor):
            pair[number % len(pair)].append(site)
    return [frozenset(group) for group in groups if group]


def leave_sites_out(
    scenes: Sequence[PriorScene],
    settings: PriorTraining,
    *,
    scales: Sequence[int],
    noises_k: Sequence[float],
    psf_sigma_px: float,
    seed: int,
    device: torch.device,
    groups: int | None = None,
    progress: Callable[[frozenset[str], Prior], None] | None = None,
) -> list[LeftOutScore]:
    """For every group of sites (`folds`) a prior without them, scored on their scenes.

    Of the sensors of these scenes it learns from halved scenes only.
    """
    scores = []
    for sites in folds(scenes, groups):
        judged = [scene for scene in scenes if scene.site in sites]
        others = [scene for scene in scenes if scene.site not in sites]
        sensors = frozenset(scene.sensor for scene in judged)
        prior = train_prior(others, settings, scales=scales, seed=seed, device=device, coarser=sensors)
        for scene in judged:
            for scale in scales:
                for noise_k in noises_k:
                    score = score_left_out(
                        prior, scene, scale=scale, noise_k=noise_k, psf_sigma_px=psf_sigma_px, seed=seed
                    )
                    if score is not None:
                        scores.append(score)
        if progress is not None:
            progress(sites, prior)
    return scores


def with_scores(prior: Prior, scores: Sequence[LeftOutScore]) -> Prior:
    """The prior with its record on the card, and the gain that the record recommends for each scale."""
    scales: dict[str, Any] = {}
    for name, facts in prior.card["scales"].items():
        gains = [score.gain for score in scores if str(score.scale) == name]
        if gains:
            facts = {
                **facts,
                "gain": float(np.clip(np.median(gains), 0.0, MOST_GAIN)),
                # From scene to scene, not of the median: the next scene is one scene, not the mean of many.
                "gain_error": float(np.std(gains)),
            }
        scales[name] = facts
    return Prior(
        prior.weights, {**prior.card, "scales": scales, "skill": [asdict(score) for score in scores]}
    )

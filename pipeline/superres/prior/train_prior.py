"""How a prior is trained: one network a scale, on pairs of many scenes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from pipeline.superres.networks import build_network, count_parameters
from pipeline.superres.prior.prior_pairs import PriorScene, PriorTraining, prior_pairs
from pipeline.superres.prior.weights import PRIOR_BASE, Prior
from pipeline.superres.training.loop import train


def train_prior(
    scenes: Sequence[PriorScene],
    settings: PriorTraining,
    *,
    scales: Sequence[int],
    seed: int,
    device: torch.device,
    coarser: frozenset[str] = frozenset(),
    progress: Callable[[int, int, int], None] | None = None,
) -> Prior:
    """A prior of these scenes; its card says which scenes taught it, and nothing yet of others.

    Args:
        scenes: To learn from.
        settings: Network, training, pairs.
        scales: Enlargements.
        seed: Of everything random.
        device: Where to train.
        coarser: As in `prior_pairs`.
        progress: Told the scale, the steps done and the steps planned.

    Raises:
        ValueError: If no scene is large enough, or a training ends in an explosion.
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
            "base": PRIOR_BASE,
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

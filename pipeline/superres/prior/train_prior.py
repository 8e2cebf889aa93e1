"""How a prior is trained: one network a scale, on pairs of many scenes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch.nn import functional

from pipeline.superres.networks import build_network, count_parameters
from pipeline.superres.networks.detail import DetailNetwork
from pipeline.superres.prior.prior_pairs import PriorScene, PriorTraining, prior_pairs
from pipeline.superres.prior.weights import PRIOR_BASE, Prior
from pipeline.superres.training.loop import train
from pipeline.superres.training.pairs import Batch

LEAST_DETAIL = 1e-3  # RMS of a living network's detail about its mean, in units of the missing detail


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
        ValueError: If no scene is large enough, or a training explodes or leaves a network that has died.
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
        seen = pairs.batch(np.random.default_rng(seed)).to(device)
        _require_living(network, seen, settings.training.learning_rate)
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


def _require_living(network: DetailNetwork, batch: Batch, rate: float) -> None:
    if answers_all_alike(network, batch):
        raise ValueError(
            f"the prior for x{network.scale} adds the same to every scene: at a learning rate of {rate:g} "
            "its last features have died; a lower rate, fewer steps or another seed is wanted"
        )


def answers_all_alike(network: DetailNetwork, batch: Batch) -> bool:
    """Whether what the network adds does not depend on what it sees: what feeds its last layer has died.

    Steps that are too large drive those features below zero everywhere, where no gradient brings them back.
    The loss then stays as it is, and nothing explodes.
    """
    with torch.no_grad():
        detail = network(batch.lr, batch.base, batch.noise) - batch.base
    sub_pixels = functional.pixel_unshuffle(detail / (network.unit * network.sigma), network.scale)
    return float(sub_pixels.std(dim=(0, 2, 3)).square().mean().sqrt()) < LEAST_DETAIL

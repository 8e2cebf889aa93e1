"""How far a network that started from a prior goes with what this scene taught it.

The weights are set between the prior's and the trained ones. For steps as small as these that mixes the two
details, at the cost of one: (1 - share) * the prior's + share * the trained one's. The share follows from the
scene's held-out pixels and from what other scenes say of it, each by its certainty.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call

from pipeline.superres.networks.detail import DetailNetwork
from pipeline.superres.training.loop import validation_loss
from pipeline.superres.training.pairs import Batch
from pipeline.superres.training.state import Weights

TILE_PX = 16  # of the scene: errors of pixels as near as this are not independent
SHARE_SCATTER = 0.3  # of the best share from scene to scene
# Of the share that held-out pixels ask for, per octave beyond x2: at x4 they were for steps that raised an
# error by 8 %.
OCTAVE_ERROR = 2.0


def settle_between(
    network: DetailNetwork, start: DetailNetwork, held_out: Sequence[Batch], *, usual: float
) -> float:
    """Set the network's weights between those of `start` and its own; the share of the way, 0 to 1.

    Args:
        network: Trained; changed in place.
        start: As it was before.
        held_out: What decides; without it the trained weights stay.
        usual: The share that other scenes like this one ask for.
    """
    before = {name: weight.detach().to(network.unit.device) for name, weight in start.named_parameters()}
    trained = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    if not held_out:
        return 1.0
    share, error = fitted_share(network, before, trained, held_out)
    error = math.hypot(max(error, 1e-3), OCTAVE_ERROR * (math.log2(network.scale) - 1))
    here, others = 1 / error**2, 1 / SHARE_SCATTER**2
    share = float(np.clip((here * share + others * usual) / (here + others), 0.0, 1.0))
    tried = {each: between(before, trained, each) for each in (share, 0.0)}
    # Between the two sets of weights the error may be larger than at the prior's: then these stay.
    best = min(tried, key=lambda each: validation_loss(network, tried[each], held_out))
    with torch.no_grad():
        for name, weight in network.named_parameters():
            weight.copy_(tried[best][name])
    return best


def between(start: Weights, end: Weights, share: float) -> Weights:
    """Weights a share of the way from `start` to `end`."""
    return {name: start[name].detach().lerp(weight, share) for name, weight in end.items()}


def fitted_share(
    network: DetailNetwork,
    start: Weights,
    trained: Weights,
    held_out: Sequence[Batch],
) -> tuple[float, float]:
    """Share of the step from one answer to the other that fits held-out pixels best, and its standard error.

    Least squares of what the first answer lacks on what the second adds to it; the error by leaving out a
    tile at a time, infinite where there are fewer than two.
    """
    products, powers = [], []
    with torch.no_grad():
        for batch in (batch.to(network.unit.device) for batch in held_out):
            first, second = (
                functional_call(network, dict(weights), (batch.lr, batch.base, batch.noise))
                for weights in (start, trained)
            )
            step = batch.weight * (second - first)
            side = TILE_PX * network.scale
            products.append(_tile_sums(step * (batch.truth - first), side))
            powers.append(_tile_sums(step * (second - first), side))
    product, power = np.concatenate(products), np.concatenate(powers)
    product, power = product[power > 0], power[power > 0]
    if power.size < 2:
        return 0.0, math.inf
    without = (product.sum() - product) / (power.sum() - power)
    error = math.sqrt((power.size - 1) / power.size * float(((without - without.mean()) ** 2).sum()))
    return float(product.sum() / power.sum()), error


def _tile_sums(values: Tensor, side: int) -> np.ndarray:
    """Sums of (n, 1, y, x) over tiles, flat."""
    padding = [-size % side for size in values.shape[-2:]]
    padded = torch.nn.functional.pad(values.double(), (0, padding[1], 0, padding[0]))
    rows, columns = (size // side for size in padded.shape[-2:])
    sums = padded.reshape(-1, rows, side, columns, side).sum(dim=(-3, -1))
    return np.asarray(sums.flatten().cpu().numpy())

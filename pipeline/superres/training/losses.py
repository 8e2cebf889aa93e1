"""How far an answer is from the truth, in three terms.

Absolute error, error of edges (Sobel) and of fine detail (high-pass), each over
valid pixels only and each logged by itself. The surprise: edges count half of their weight and detail
three tenths, so the original's weights 0.6, 0.15 and 0.25 act as 0.6, 0.075 and 0.075.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from pipeline.recipe_settings import TrainSettings
from pipeline.superres.sensing.degrade import Degrade

EDGE_SCALE = 0.5
HF_SCALE = 0.3
_SOBEL = ((-1.0, 0.0, 1.0), (-2.0, 0.0, 2.0), (-1.0, 0.0, 1.0))
_HIGH_PASS = ((-1.0, -1.0, -1.0), (-1.0, 8.0, -1.0), (-1.0, -1.0, -1.0))


def l1_loss(error: Float[Tensor, "n 1 y x"], weight: Float[Tensor, "n 1 y x"]) -> Float[Tensor, ""]:
    """Mean absolute error of (n, 1, y, x), weighted."""
    return _weighted_mean(error.abs(), weight)


def edge_loss(
    prediction: Float[Tensor, "n 1 y x"], truth: Float[Tensor, "n 1 y x"], weight: Float[Tensor, "n 1 y x"]
) -> Float[Tensor, ""]:
    """Mean difference of the absolute Sobel gradients, along x and along y."""
    sobel = prediction.new_tensor(_SOBEL)
    total = prediction.new_zeros(())
    for kernel in (sobel, sobel.T):
        gradients = (_filter(picture, kernel).abs() for picture in (prediction, truth))
        total = total + _weighted_mean((next(gradients) - next(gradients)).abs(), _inner(weight))
    return total


def hf_loss(error: Float[Tensor, "n 1 y x"], weight: Float[Tensor, "n 1 y x"]) -> Float[Tensor, ""]:
    """Mean absolute high-pass of the error; the filter is linear, so that of the difference."""
    return _weighted_mean(_filter(error, error.new_tensor(_HIGH_PASS)).abs(), _inner(weight))


def consistency_loss(
    answer: Float[Tensor, "n 1 fine_y fine_x"], scene: Float[Tensor, "n 1 y x"], degrade: Degrade
) -> Float[Tensor, ""]:
    """Mean absolute difference of the degraded answer from the scene, where no border of a patch is seen."""
    reach_px = min(degrade.reach_px, (min(scene.shape[-2:]) - 1) // 2)
    rows, columns = (slice(reach_px, size - reach_px) for size in scene.shape[-2:])
    residual: Tensor = degrade(answer.float()) - scene
    return residual[..., rows, columns].abs().mean()


def training_loss(
    prediction: Float[Tensor, "n 1 y x"],
    truth: Float[Tensor, "n 1 y x"],
    weight: Float[Tensor, "n 1 y x"],
    settings: TrainSettings,
) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
    """The loss that training follows, and each term before its weight.

    Args:
        prediction: (n, 1, y, x), any unit.
        truth: The same.
        weight: (n, 1, y, x), 0 where the truth is missing or must not be seen.
        settings: Weights of the terms; a term of weight 0 is not computed.

    Returns:
        The sum as a scalar, and the terms, detached: they stay on the device until somebody looks.
    """
    error = prediction.float() - truth
    terms: dict[str, tuple[float, Tensor]] = {}
    if settings.loss_l1_weight:
        terms["l1"] = settings.loss_l1_weight, l1_loss(error, weight)
    if settings.loss_edge_weight:
        terms["edge"] = (
            settings.loss_edge_weight * EDGE_SCALE,
            edge_loss(prediction.float(), truth, weight),
        )
    if settings.loss_hf_weight:
        terms["hf"] = settings.loss_hf_weight * HF_SCALE, hf_loss(error, weight)
    total = torch.stack([factor * term for factor, term in terms.values()]).sum()
    return total, {name: term.detach() for name, (_, term) in terms.items()}


def _weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / weight.sum().clamp_min(1.0)


def _filter(picture: Tensor, kernel: Tensor) -> Tensor:
    """(n, 1, y, x) through a 3x3 kernel; the outermost pixels are lost."""
    return functional.conv2d(picture, kernel[None, None])


def _inner(weight: Tensor) -> Tensor:
    """(n, 1, y-2, x-2): the least weight under each 3x3 window."""
    return -functional.max_pool2d(-weight, 3, stride=1)

"""What a network costs: its parameters, its reach, its operations and its memory.

Counted on tensors without contents (torch's meta device), so that even the largest network is looked at
within seconds and takes no memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch.utils.flop_counter import FlopCounterMode

from pipeline.errors import UnusableInputError
from pipeline.memory import total_bytes
from pipeline.network_settings import NetworkSettings
from pipeline.superres.networks import DetailNetwork, build_network, count_parameters

SIDE_PX = 96  # of the coarse raster that is counted: whole windows of every size there is
COPIES_IN_TRAINING = 7  # of the weights: themselves, gradient, average, best, Adam's two, the next step's
COPIES_IN_USE = 4  # of a network's largest tensor, alive at the same time
BYTES = 4


@dataclass(frozen=True)
class Cost:
    """What a network costs on one raster.

    Attributes:
        parameters: Trainable numbers.
        reach_px: How far it looks, in scene pixels; None: the whole scene.
        flops_a_pixel: Floating-point operations for one pixel of the product.
        kept_a_pixel: Numbers that a training keeps for the way back, for one coarse pixel.
        largest: Numbers in its largest tensor.
    """

    parameters: int
    reach_px: int | None
    flops_a_pixel: float
    kept_a_pixel: float
    largest: int

    def training_bytes(self, coarse_px: int) -> int:
        """Memory of a training step on so many coarse pixels: weights and what is kept for the way back."""
        return int(BYTES * (COPIES_IN_TRAINING * self.parameters + self.kept_a_pixel * coarse_px))

    @property
    def applying_bytes(self) -> int:
        """Memory that the network's answer for this raster takes."""
        return BYTES * (self.parameters + COPIES_IN_USE * self.largest)


def network_cost(settings: NetworkSettings, scale: int, shape: tuple[int, ...] = (SIDE_PX, SIDE_PX)) -> Cost:
    """The cost of a network at an enlargement, on a coarse raster of this shape; its size filled in."""
    return cost_of(partial(build_network, settings, scale, seed=0), shape)


def cost_of(build: Callable[[], DetailNetwork], shape: tuple[int, ...]) -> Cost:
    """The cost of the network that `build` makes, on a coarse raster of this shape."""
    kept = largest = 0

    def count(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept, largest
        kept, largest = kept + tensor.numel(), max(largest, tensor.numel())
        return tensor

    with (
        torch.device("meta"),
        FlopCounterMode(display=False) as counter,
        torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor),
    ):
        network = build()
        scale = network.scale
        fine = tuple(scale * size for size in shape)
        network(torch.zeros(1, 1, *shape), torch.zeros(1, 1, *fine))
    pixels = shape[0] * shape[1]
    return Cost(
        parameters=count_parameters(network),
        reach_px=network.reach_px,
        flops_a_pixel=counter.get_total_flops() / (scale**2 * pixels),
        kept_a_pixel=(kept - count_parameters(network)) / pixels,
        largest=largest,
    )


def require_memory(
    settings: NetworkSettings,
    scale: int,
    *,
    patch: tuple[int, int],
    seen: tuple[int, ...],
    device: torch.device,
) -> None:
    """Say before a training starts that its network cannot fit.

    Args:
        settings: The network, its size filled in.
        scale: Linear enlargement.
        patch: Side of a coarse training patch, and patches a step.
        seen: Shape of what the network is given at once when it looks at everything.
        device: Where it runs.

    Raises:
        UnusableInputError: If a step of the training, or the application, needs more than the device has.
    """
    has = _bytes_of(device)
    crop_px, batch = patch
    training = network_cost(settings, scale, (crop_px, crop_px))
    if (needs := training.training_bytes(batch * crop_px**2)) > has:
        raise UnusableInputError(
            f"network {settings.name} needs about {_gib(needs)} to train on {batch} patches of {crop_px} "
            f"pixels a side, and there are {_gib(has)}: use a smaller recipe.network.size, "
            "recipe.pairs.batch or recipe.pairs.crop_px"
        )
    build = partial(build_network, settings, scale, seed=0)
    require_memory_to_apply(settings.name, build, seen=seen, device=device)


def require_memory_to_apply(
    name: str, build: Callable[[], DetailNetwork], *, seen: tuple[int, ...], device: torch.device
) -> None:
    """Say before anything starts that a network that looks at everything cannot fit; others go by tiles.

    Raises:
        UnusableInputError: If it needs more than the device has.
    """
    with torch.device("meta"):
        everywhere = build().reach_px is None
    has = _bytes_of(device)
    if everywhere and (needs := cost_of(build, seen).applying_bytes) > has:
        raise UnusableInputError(
            f"network {name} looks at everything and needs about {_gib(needs)} for {seen[0]} x "
            f"{seen[1]} pixels at once, and there are {_gib(has)}: apply it by tiles with recipe.infer.mode "
            '= "blend" and a recipe.infer.patch_px that fits, or use a smaller recipe.network.size'
        )


def _bytes_of(device: torch.device) -> int:
    """Memory of a device."""
    return torch.cuda.mem_get_info(device)[1] if device.type == "cuda" else total_bytes()


def _gib(count: int) -> str:
    return f"{count / 2**30:,.1f} GiB"

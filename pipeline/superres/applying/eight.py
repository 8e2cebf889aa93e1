"""The eight turns of a network, taken on the coarse grid of its device.

A network that unfolds its answer in its last step needs no turned pictures: what it is given is prepared
once, and its coarse maps are turned, with their sub-pixels, which are channels there. Mean and spread are
taken before unfolding and of the wanted part alone. Two planes cross to the host, whatever the device; a GPU
is given all turns of one orientation as a batch.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from pipeline.grid import Window
from pipeline.superres.applying.passes import mean_and_spread
from pipeline.superres.networks.detail import DetailNetwork
from pipeline.superres.networks.device import in_float32

Coarse = Float[Tensor, "n channel _ _"]
UPRIGHT, LYING = (0, 1, 2, 3), (4, 5, 6, 7)  # without and with rows and columns swapped


def eight_turns(
    network: DetailNetwork,
    lr: Float[Tensor, "1 1 y x"],
    base: Float[Tensor, "1 1 fine_y fine_x"],
    part: Window,
) -> tuple[Float[Tensor, "_ _"], Float[Tensor, "_ _"]]:
    """Mean of the details that a network finds in a picture turned eight ways, and their standard deviation.

    Args:
        network: One that `unfolds_last`.
        lr: The picture.
        base: What the network adds to.
        part: The part that is wanted, in pixels of `lr`.

    Returns:
        (scale * part.height, scale * part.width) each, float32, in the units of `lr`, on its device.
    """
    with in_float32(lr.device):  # differences of numbers near 300
        maps = network.inputs(lr, base)
    if torch.is_autocast_enabled(lr.device.type):
        maps = maps.to(torch.get_autocast_dtype(lr.device.type))
    planes = mean_and_spread(_answers(network, maps, part))
    mean, spread = (functional.pixel_shuffle(plane, network.scale)[0] for plane in planes)
    return mean, spread


def _answers(network: DetailNetwork, maps: Coarse, part: Window) -> Iterator[Float[Tensor, "channel _ _"]]:
    """The part's (s*s, y, x) for every turn, turned back."""
    for way in (UPRIGHT, LYING):
        for turns in (way,) if maps.is_cuda else [(k,) for k in way]:
            turned = torch.cat([turn_maps(maps, network.scale, k) for k in turns])
            found = network.coarse(turned.contiguous(memory_format=torch.channels_last))
            for k, answer in zip(turns, found, strict=True):
                yield _back(answer, network.scale, k, part)


def turn_maps(maps: Coarse, scale: int, k: int) -> Coarse:
    """What a network is given of the turned picture: scene, sub-pixels of the base, and whatever comes after.

    `k` as in `passes.turned`.
    """
    order = torch.arange(maps.shape[1])
    if maps.shape[1] > scale**2:
        order[1 : 1 + scale**2] = 1 + _sub_pixels(scale, k)
    flipped = maps[:, order.to(maps.device)].flip(_flips(k))
    return flipped.transpose(-1, -2) if k & 4 else flipped


def _back(
    answer: Float[Tensor, "channel _ _"], scale: int, k: int, part: Window
) -> Float[Tensor, "channel _ _"]:
    """A part of the coarse maps of the turned picture, as those of the picture itself."""
    upright = answer.transpose(-1, -2) if k & 4 else answer
    for bit, axis, first, size in ((1, -2, part.row, part.height), (2, -1, part.column, part.width)):
        start = upright.shape[axis] - first - size if k & bit else first
        upright = upright.narrow(axis, start, size)
    order = torch.argsort(_sub_pixels(scale, k)).to(answer.device)
    return upright.contiguous().flip(_flips(k))[order]


def _flips(k: int) -> list[int]:
    return [axis for bit, axis in ((1, -2), (2, -1)) if k & bit]


def _sub_pixels(scale: int, k: int) -> Int[Tensor, " channel"]:
    """Which sub-pixel stands where in a turned pixel."""
    plane = torch.arange(scale**2).reshape(scale, scale).flip(_flips(k))
    return (plane.T if k & 4 else plane).flatten()

"""Filters between a coarse grid and a fine one whose pixels nest in it.

Coarse pixel i covers fine pixels s*i ... s*i+s-1, and the picture goes on beyond
its border as its own mirror image (half-sample symmetric: d c b a | a b c d).
All sums run tap by tap in one order, so a tile with enough halo gets the same
numbers as the whole scene; matrix products would not promise that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

Pixels = Shaped[Tensor, "..."]  # any shape; filters act along the axes that they are told
Picture = TypeVar("Picture", Float[NDArray[np.floating], "..."], Pixels)


def as_tensor(
    picture: Float[NDArray[np.floating], "*shape"] | Shaped[Tensor, "*shape"],
) -> Shaped[Tensor, "*shape"]:
    """The same pixels as a tensor; numpy arrays share their memory where they can."""
    if isinstance(picture, Tensor):
        return picture
    if not picture.flags.writeable or any(stride < 0 for stride in picture.strides):
        picture = picture.copy()  # torch warns of the first and refuses the second
    return torch.from_numpy(picture)


def like(answer: Pixels, picture: Picture) -> Picture:
    """A tensor in the form (numpy or torch) in which `picture` came."""
    return answer if isinstance(picture, Tensor) else answer.numpy()


def reference_k(tensor: Pixels) -> Shaped[Tensor, ""]:
    """A whole number near the mean of the finite pixels, as a 0-d tensor.

    Filters run on the difference to it: 300 K in float32 leave 3e-5 K for every sum. It is
    rounded, so that tiles of one scene mostly agree on it and subtraction hardly rounds.
    """
    tensor = tensor.detach()
    mean = tensor.mean()
    if not bool(torch.isfinite(mean)):
        mean = torch.nanmean(torch.where(torch.isfinite(tensor), tensor, torch.nan))
    return torch.nan_to_num(torch.round(mean))


def all_finite(tensor: Pixels) -> bool:
    """Whether every pixel is; told by the sum, which is several times faster than asking each."""
    return bool(torch.isfinite(tensor.detach().sum())) or bool(torch.isfinite(tensor).all())


def mirrored_index(first: int, last: int, size: int) -> Int[Tensor, " n"]:
    """Pixels that the positions first ... last show, where 0 ... size-1 are inside."""
    position = torch.remainder(torch.arange(first, last + 1), 2 * size)
    return torch.where(position < size, position, 2 * size - 1 - position)


def pad_mirrored(tensor: Pixels, before: int, after: int, axis: int) -> Pixels:
    """Half-sample symmetric padding along one axis, by any amount."""
    if before == 0 and after == 0:
        return tensor
    index = mirrored_index(-before, tensor.shape[axis] - 1 + after, tensor.shape[axis])
    return tensor.index_select(axis, index.to(tensor.device))


def decimate(tensor: Pixels, taps: Sequence[float], first: int, *, scale: int, axis: int) -> Pixels:
    """Fine to coarse along one axis: out[i] = sum_j taps[j] * in[scale*i + first + j]."""
    size = tensor.shape[axis]
    count = size // scale
    padded = pad_mirrored(tensor, max(-first, 0), max(first + len(taps) - scale, 0), axis)
    origin = max(first, 0)
    total = None
    for number, tap in enumerate(taps):
        part = _every(padded, origin + number, scale, count, axis) * tap
        total = part if total is None else total.add_(part)
    assert total is not None
    return total


def spread(tensor: Pixels, taps: Sequence[float], first: int, *, scale: int, axis: int) -> Pixels:
    """The adjoint of `decimate`: coarse to fine along one axis."""
    count = tensor.shape[axis]
    size = count * scale
    last = max(size - 1, (count - 1) * scale + first + len(taps) - 1)
    before = max(-first, 0)
    shape = list(tensor.shape)
    shape[axis] = before + last + 1
    padded = tensor.new_zeros(shape)
    for number, tap in enumerate(taps):
        _every(padded, before + first + number, scale, count, axis).add_(tensor, alpha=tap)
    shape[axis] = size
    index = mirrored_index(-before, last, size).to(tensor.device)
    return tensor.new_zeros(shape).index_add_(axis, index, padded)


def interpolate(tensor: Pixels, kernel: Float[NDArray[np.floating], "scale width"], *, axis: int) -> Pixels:
    """Coarse to fine along one axis: out[s*i + a] = sum_k kernel[a, k] * in[i + k - radius].

    Args:
        tensor: Any shape.
        kernel: (scale, 2*radius+1), one row of weights for every phase.
        axis: Negative, counted from the end.
    """
    scale, width = kernel.shape
    radius, count = width // 2, tensor.shape[axis]
    padded = pad_mirrored(tensor, radius, radius, axis)
    phases = []
    for row in kernel:
        total = None
        for number, weight in enumerate(row):
            if weight == 0:
                continue
            part = padded.narrow(axis, number, count) * float(weight)
            total = part if total is None else total.add_(part)
        phases.append(torch.zeros_like(tensor) if total is None else total)
    shape = list(tensor.shape)
    shape[axis] = count * scale
    return torch.stack(phases, dim=axis).reshape(shape)


def interpolate_plane(
    tensor: Float[Tensor, "... y x"], kernels: Float[NDArray[np.floating], "n scale scale width width"]
) -> Float[Tensor, "n ... fine_y fine_x"]:
    """Coarse to fine with kernels that are not separable, as one convolution: a channel for every phase.

    Args:
        tensor: (..., y, x).
        kernels: (n, scale, scale, 2*radius+1, 2*radius+1): phases along y and x, weights along y and x.
            Weights that do not count should be zero: products too small for float32's normal numbers take
            ten times as long.

    Returns:
        (n, ..., scale*y, scale*x), the same dtype: one answer for every kernel.
    """
    number, scale, width = kernels.shape[0], kernels.shape[1], kernels.shape[-1]
    height, length = tensor.shape[-2:]
    padded = pad_mirrored(pad_mirrored(tensor, width // 2, width // 2, -2), width // 2, width // 2, -1)
    weights = torch.from_numpy(kernels.reshape(-1, 1, width, width)).to(tensor)
    phases = functional.conv2d(padded.reshape(-1, 1, *padded.shape[-2:]), weights)
    phases = phases.reshape(-1, number, scale, scale, height, length).permute(1, 0, 4, 2, 5, 3)
    return phases.reshape(number, *tensor.shape[:-2], height * scale, length * scale)


def smooth(tensor: Float[Tensor, "*shape"], sigma_px: float) -> Float[Tensor, "*shape"]:
    """Gaussian smoothing of the last two axes, cut at 4 sigma, mirrored borders."""
    radius = smooth_radius(sigma_px)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma_px) ** 2)
    taps = (weights / weights.sum()).tolist()
    return decimate(decimate(tensor, taps, -radius, scale=1, axis=-2), taps, -radius, scale=1, axis=-1)


def smooth_radius(sigma_px: float) -> int:
    """How far `smooth` looks, in pixels."""
    return math.ceil(4 * sigma_px)


def _every(tensor: Tensor, first: int, step: int, count: int, axis: int) -> Tensor:
    """A view of `count` pixels along an axis, `step` apart."""
    index = [slice(None)] * tensor.ndim
    index[axis] = slice(first, first + (count - 1) * step + 1, step)
    return tensor[tuple(index)]

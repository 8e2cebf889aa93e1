"""Fires, furnaces, flares: places so hot that a smooth answer rings around them.

Whatever is far hotter than all around it, and small, is taken out of the scene before a
linear filter sees it, and put back as sources of heat: never negative, and only where the sensor
can have seen them. What such sources cannot explain (one hot pixel whose neighbors are not warmer) goes
back by an exact inverse of the sensor that ends two pixels away. An ordinary scene has no spots.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pipeline.raster import in_bands
from pipeline.superres.sensing.degrade import Degrade, dense_matrix
from pipeline.superres.sensing.nested_grids import interpolate, interpolate_plane, pad_mirrored

SMALL_PX = 2  # a spot is less than 2*SMALL_PX+1 pixels wide
LEAST_K = 20.0
BEYOND_TYPICAL = 4.0  # times the 99th percentile of the scene's own small bright features
ITERATIONS = 30
COMPACT_PX = 2  # the exact inverse needs no more under any PSF up to a sigma of half a pixel


@dataclass(frozen=True)
class Spots:
    """Takes spots out of a scene and says what they are on the fine grid.

    Attributes:
        degrade: The forward model.
        threshold: Contrast, in units of the scene, at which a small bright feature begins to be a spot;
            at twice as much it is one altogether.
    """

    degrade: Degrade
    threshold: float
    reach_px = 4 * SMALL_PX + 4  # of the detection; what is put back reaches farther, and fades

    def split(
        self, scene: Float[Tensor, "*shape"]
    ) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*_"] | None]:
        """(..., y, x) to the scene without its spots, and the spots at (..., scale*y, scale*x) or None."""
        excess = top_hat(scene)
        share = ((_widest(excess, SMALL_PX) - self.threshold) / self.threshold).clamp(0, 1)
        if not bool((share > 0).any()):
            return scene, None
        spots = self._light(share * excess)
        rest = scene - self.degrade(spots)
        unexplained = share * (top_hat(rest) - top_hat(-rest))
        unexplained = torch.where(unexplained.abs() > self.threshold, unexplained, torch.zeros(()))
        spots = spots + self._compact(unexplained)
        return scene - self.degrade(spots), spots

    def _light(self, excess: Tensor) -> Tensor:
        """Non-negative fine sources that degrade to about the excess. Source: Richardson 1972, Lucy 1974."""
        share = self.degrade.adjoint(torch.ones_like(excess))
        light = self.degrade.adjoint(excess) / share
        for _ in range(ITERATIONS):
            seen = self.degrade(light).clamp_min(1e-6 * self.threshold)
            light = light * self.degrade.adjoint(excess / seen) / share
        return light

    def _compact(self, coarse: Tensor) -> Tensor:
        if self.degrade.rest:
            return interpolate_plane(coarse, compact_inverse_plane(self.degrade)[None])[0]
        rows, columns = compact_inverse(self.degrade)
        return interpolate(interpolate(coarse, rows, axis=-2), columns, axis=-1)


def find_spots(
    lr: Float32[NDArray[np.float32], "y x"], valid: Bool[NDArray[np.bool_], "y x"], degrade: Degrade
) -> Spots | None:
    """What is a spot in this scene; None where nothing is.

    Args:
        lr: (y, x) kelvin, finite.
        valid: (y, x), true where there is data.
        degrade: The forward model.
    """
    excess = in_bands(_excess, 4 * SMALL_PX, lr, valid)[valid]
    if not np.isfinite(excess).all():
        excess = excess[np.isfinite(excess)]
    if not excess.size:
        return None
    threshold = max(LEAST_K, BEYOND_TYPICAL * float(np.percentile(excess, 99)))
    return Spots(degrade, threshold) if float(excess.max()) > threshold else None


def _excess(
    lr: Float32[NDArray[np.float32], "y x"], valid: Bool[NDArray[np.bool_], "y x"]
) -> Float32[NDArray[np.float32], "y x"]:
    """By how much a pixel exceeds everything wide around it, holes left aside; +inf or NaN in them."""
    # Beside a hole nothing is known of the surroundings: the opening must not see what fills it.
    highest = torch.from_numpy(np.where(valid, lr, np.float32(np.inf)))
    floor = -_widest(-highest, SMALL_PX)
    opened = _widest(torch.where(torch.isinf(floor), -torch.inf, floor), SMALL_PX)
    return (torch.from_numpy(np.ascontiguousarray(lr)) - opened).numpy()


def top_hat(scene: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """(..., y, x) by how much a pixel exceeds everything wide around it; never negative."""
    return scene - _widest(-_widest(-scene, SMALL_PX), SMALL_PX)


@lru_cache(maxsize=16)
def compact_inverse(
    degrade: Degrade,
) -> tuple[Float64[NDArray[np.float64], "scale width"], Float64[NDArray[np.float64], "scale width"]]:
    """Rows and columns, (scale, 2*COMPACT_PX+1) each: the least answer to one LR pixel that ends there.

    Of a separable kernel; `compact_inverse_plane` is for any.
    """
    scale, count = degrade.scale, 4 * COMPACT_PX + 2 * degrade.reach_px + 1
    center, answers = count // 2, []
    for taps, first in ((degrade.taps_y, degrade.first_y), (degrade.taps_x, degrade.first_x)):
        near = slice((center - COMPACT_PX) * scale, (center + COMPACT_PX + 1) * scale)
        wanted = (np.arange(count) == center).astype(np.float64)
        line = np.linalg.lstsq(dense_matrix(scale, taps, first, count)[:, near], wanted, rcond=1e-10)[0]
        answers.append(np.ascontiguousarray(line.reshape(-1, scale).T[:, ::-1]))
    return answers[0], answers[1]


@lru_cache(maxsize=4)
def compact_inverse_plane(degrade: Degrade) -> Float64[NDArray[np.float64], "scale scale width width"]:
    """As `compact_inverse`, in weights of a plane."""
    scale, width, count = degrade.scale, 2 * COMPACT_PX + 1, 4 * COMPACT_PX + 2 * degrade.reach_px + 1
    center = count // 2
    near = slice((center - COMPACT_PX) * scale, (center + COMPACT_PX + 1) * scale)
    seen = sum(
        np.kron(
            dense_matrix(scale, rows, degrade.first_y, count)[:, near],
            dense_matrix(scale, columns, degrade.first_x, count)[:, near],
        )
        for rows, columns in degrade.lines
    )
    wanted = np.zeros((count, count))
    wanted[center, center] = 1
    plane = np.linalg.lstsq(np.asarray(seen), wanted.ravel(), rcond=1e-10)[0]
    phases = plane.reshape(width, scale, width, scale).transpose(1, 3, 0, 2)
    return np.ascontiguousarray(phases[..., ::-1, ::-1])


def _widest(tensor: Tensor, radius_px: int) -> Tensor:
    """Largest value in a square around every pixel."""
    padded = pad_mirrored(pad_mirrored(tensor, radius_px, radius_px, -2), radius_px, radius_px, -1)
    batch = padded.reshape(-1, 1, *padded.shape[-2:])
    return functional.max_pool2d(batch, 2 * radius_px + 1, stride=1).reshape(tensor.shape)

"""Filters that undo a sensor: from an LR scene to the HR one behind it.

The sensor treats every LR pixel alike, so its least-squares inverse does too: it is solved
frequency by frequency on a small periodic grid, and what comes out is one short filter for
every position inside an LR pixel. Weights fall fast with distance; they are cut where they
no longer matter, so that a tile with enough halo gets exactly what the whole scene gets.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from jaxtyping import Float32, Float64
from numpy.typing import NDArray

from pipeline.superres.sensing.degrade import Degrade, keys_cubic

GRID_PX = 64  # side of the periodic grid, in LR pixels
BICUBIC_RADIUS_PX = 2
SMALLEST_RADIUS_PX, LARGEST_RADIUS_PX = 4, 28
SMALLEST_WEIGHT = 1e-9  # of the largest; smaller ones are below the rounding of float32
TAIL = 3e-4  # weight (root of the sum of squares) that may be tapered away or cut off


@lru_cache(maxsize=16)
def cubic_phases(scale: int) -> Float64[NDArray[np.float64], "scale width"]:
    """(scale, 5) weights of the cubic for every phase of an enlarged pixel."""
    phase = (np.arange(scale) + 0.5) / scale - 0.5
    distance = np.abs(np.arange(-BICUBIC_RADIUS_PX, BICUBIC_RADIUS_PX + 1) - phase[:, None])
    weights = keys_cubic(distance)
    return np.asarray(weights / weights.sum(1, keepdims=True), dtype=np.float64)


@lru_cache(maxsize=16)
def back_projection_filter(
    degrade: Degrade, iterations: int
) -> Float32[NDArray[np.float32], "scale scale width width"]:
    """Iterative back-projection from bicubic: its geometric series, summed in the frequency domain."""
    scale = degrade.scale
    up = _line_response(cubic_phases(scale))
    # D after U, on the LR grid: every alias of a fine frequency falls on the same coarse one.
    through = sum(
        np.multiply.outer(_fold(down_y * up, scale), _fold(down_x * up, scale))
        for down_y, down_x in _responses(degrade)
    )
    series = sum((1 - through) ** power for power in range(iterations + 1))
    return _finite(np.multiply.outer(up, up) * np.tile(series, (scale, scale)), scale)


@lru_cache(maxsize=32)
def tikhonov_filter(
    degrade: Degrade, lam: float, p: float, radius_px: int | None = None
) -> Float32[NDArray[np.float32], "scale scale width width"]:
    """Least squares with a penalty on roughness, in closed form: (scale, scale, width, width) weights.

    The minimum of |D x - y|^2 + lam |(-Laplacian)^(p/2) x|^2 (sums over LR and over HR pixels): D treats
    every LR pixel alike, so each LR frequency and its scale^2 aliases are solved by themselves. It is also
    the best linear answer where the power of x falls as roughness^-p and the noise's share of it is lam.

    Args:
        degrade: D.
        lam: Weight of the roughness.
        p: Its exponent.
        radius_px: Reach, in LR pixels; as far as it needs by default.
    """
    scale = degrade.scale
    response = np.asarray(sum(np.multiply.outer(rows, columns) for rows, columns in _responses(degrade)))
    power = _roughness(scale) ** -p
    seen = _fold(np.abs(response) ** 2 * power, scale)
    return _finite(np.conj(response) * power / np.tile(lam + seen, (scale, scale)), scale, radius_px)


def _frequencies(scale: int) -> NDArray[np.float64]:
    """Cycles per HR pixel on the periodic grid."""
    return np.asarray(np.fft.fftfreq(GRID_PX * scale), dtype=np.float64)


def _responses(degrade: Degrade) -> list[tuple[NDArray[np.complex128], NDArray[np.complex128]]]:
    return degrade.responses(_frequencies(degrade.scale), _frequencies(degrade.scale))


def _line_response(phases: NDArray[np.float64]) -> NDArray[np.complex128]:
    """Transform of what one LR pixel becomes under the interpolation `phases`."""
    scale, width = phases.shape
    line = np.zeros(GRID_PX * scale)
    for number in range(width):
        start = -(number - width // 2) * scale
        line[(start + np.arange(scale)) % line.size] += phases[:, number]
    return np.asarray(np.fft.fft(line), dtype=np.complex128)


def _fold(response: NDArray[np.inexact], scale: int) -> NDArray[np.complex128]:
    """Mean over the aliases that sampling every scale-th pixel cannot tell apart, along all axes."""
    for axis in range(response.ndim):
        shape = (*response.shape[:axis], scale, -1, *response.shape[axis + 1 :])
        response = response.reshape(shape).mean(axis)
    return np.asarray(response, dtype=np.complex128)


@lru_cache(maxsize=8)
def _roughness(scale: int) -> NDArray[np.float64]:
    """Eigenvalues of the negative Laplacian on the HR grid; nearly zero, not zero, for the mean."""
    line = 2 - 2 * np.cos(2 * np.pi * _frequencies(scale))
    plane = np.add.outer(line, line)
    plane[0, 0] = plane[0, 1] * 1e-6
    return np.asarray(plane, dtype=np.float64)


def _finite(response: NDArray[np.inexact], scale: int, radius_px: int | None = None) -> NDArray[np.float32]:
    """A transfer function LR to HR as a finite filter: cut, tapered, every phase summing to one."""
    impulse = np.fft.ifft2(response).real
    radius = _enough(impulse, scale) if radius_px is None else radius_px
    offset = np.arange(-radius, radius + 1)
    index = (np.arange(scale)[:, None] - scale * offset[None]) % impulse.shape[0]
    kernel = impulse[index[:, None, :, None], index[None, :, None, :]]
    distance = np.abs(offset[None] + 0.5 - (np.arange(scale)[:, None] + 0.5) / scale)
    taper = np.cos(np.pi / 2 * np.clip(4 * (distance / radius - 0.75), 0, 1)) ** 2
    kernel = kernel * taper[:, None, :, None] * taper[None, :, None, :]
    kernel /= kernel.sum((2, 3), keepdims=True)
    # The taper ends at 1e-33: each product with it would take a processor ten times as long.
    kernel[np.abs(kernel) < SMALLEST_WEIGHT * np.abs(kernel).max()] = 0
    return np.asarray(kernel, dtype=np.float32)


def _enough(impulse: NDArray[np.float64], scale: int) -> int:
    """The smallest radius, in LR pixels, whose inner three quarters hold all but `TAIL` of the weight."""
    position = np.abs((np.arange(impulse.shape[0]) + 0.5) / scale - 0.5)
    distance = np.minimum(position, GRID_PX - position)
    farthest = np.maximum.outer(distance, distance)
    order = np.argsort(farthest, axis=None)
    outside = np.sqrt(np.cumsum(impulse.ravel()[order][::-1] ** 2)[::-1] / scale**2)
    inner = farthest.ravel()[order][np.argmax(outside < TAIL)]
    return int(np.clip(math.ceil(inner / 0.75), SMALLEST_RADIUS_PX, LARGEST_RADIUS_PX))

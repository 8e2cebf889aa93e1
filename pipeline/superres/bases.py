"""What the network adds to: enlargements that need no learning.

Bicubic, back-projected, Tikhonov. All three are linear and the same for every LR pixel,
so each is one finite filter with known reach, exact on tiles. The surprise: knowing the
sensor's blur and using it here is most of what super-resolution of a thermal scene can win.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pipeline.superres.degrade import Degrade
from pipeline.superres.polyphase import Picture, as_tensor, interpolate, interpolate_plane, like, reference_k

BASES = ("bicubic", "back_projected", "tikhonov")
BICUBIC_RADIUS_PX = 2
BACK_PROJECTED_RADIUS_PX = 12
DEFAULT_LAMBDA, DEFAULT_P = 1e-3, 1.5
GRID_PX = 64  # side of the periodic grid, in LR pixels, on which filters are computed


@dataclass(frozen=True)
class Base:
    """An enlargement by one finite filter: (..., y, x) to (..., scale*y, scale*x), numpy or torch, no NaN.

    Attributes:
        name: One of `BASES`.
        kernel: (scale, scale, width, width) weights: phases along y and x, LR neighbors along y and x.
        regularization: Tikhonov's lambda and exponent p, or nothing.
    """

    name: str
    kernel: NDArray[np.float32]
    regularization: tuple[float, ...] = ()

    @property
    def scale(self) -> int:
        """Linear enlargement."""
        return int(self.kernel.shape[0])

    @property
    def reach_px(self) -> int:
        """How far one LR pixel can change the answer, in LR pixels."""
        return int(self.kernel.shape[-1] // 2)

    def __call__(self, lr: Picture) -> Picture:
        """Enlarge; mirrored beyond the borders."""
        tensor = as_tensor(lr)
        reference = reference_k(tensor)
        return like(interpolate_plane(tensor - reference, self.kernel) + reference, lr)


def bicubic(lr: Picture, scale: int) -> Picture:
    """Keys' cubic convolution (a = -0.5) between pixel areas, mirrored borders. (..., y, x), no NaN."""
    tensor = as_tensor(lr)
    reference = reference_k(tensor)
    kernel = cubic_phases(scale)
    answer = interpolate(interpolate(tensor - reference, kernel, axis=-2), kernel, axis=-1)
    return like(answer + reference, lr)


def back_project(lr: Picture, degrade: Degrade, iterations: int = 20) -> Picture:
    """Bicubic, then `iterations` times the enlarged residual on top.

    Source: Irani & Peleg, Improving resolution by image registration, 1991, with bicubic for the way back.
    """
    hr = bicubic(lr, degrade.scale)
    for _ in range(iterations):
        hr = hr + bicubic(lr - degrade(hr), degrade.scale)
    return hr


@lru_cache(maxsize=16)
def cubic_phases(scale: int) -> NDArray[np.float64]:
    """(scale, 5) weights of the cubic for every phase of an enlarged pixel."""
    phase = (np.arange(scale) + 0.5) / scale - 0.5
    distance = np.abs(np.arange(-BICUBIC_RADIUS_PX, BICUBIC_RADIUS_PX + 1) - phase[:, None])
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    weights = np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))
    return np.asarray(weights / weights.sum(1, keepdims=True), dtype=np.float64)


def bicubic_base(scale: int) -> Base:
    """`bicubic` as a `Base`."""
    phases = cubic_phases(scale)
    return Base("bicubic", np.einsum("ak,bl->abkl", phases, phases).astype(np.float32))


@lru_cache(maxsize=16)
def back_projected_base(degrade: Degrade, iterations: int = 20) -> Base:
    """`back_project` as a `Base`: the iteration's geometric series, summed in the frequency domain."""
    scale = degrade.scale
    phases = cubic_phases(scale)
    up_y, up_x = (_line_response(phases), _line_response(phases))
    down_y, down_x = _axis_response(degrade, -2), _axis_response(degrade, -1)
    # D after U, on the LR grid: every alias of a fine frequency falls on the same coarse one.
    through = np.multiply.outer(_fold(down_y * up_y, scale), _fold(down_x * up_x, scale))
    series = sum((1 - through) ** power for power in range(iterations + 1))
    response = np.multiply.outer(up_y, up_x) * np.tile(series, (scale, scale))
    return Base("back_projected", _finite(response, scale, BACK_PROJECTED_RADIUS_PX))


@lru_cache(maxsize=64)
def tikhonov_base(degrade: Degrade, lam: float, p: float, radius_px: int = 10) -> Base:
    """Least squares with a penalty on roughness, in closed form.

    The minimum of |D x - y|^2 + lam |(-Laplacian)^(p/2) x|^2 (sums over LR and over HR pixels): D treats
    every LR pixel alike, so each LR frequency and its scale^2 aliases are solved by themselves.

    Args:
        degrade: D.
        lam: Weight of the roughness.
        p: Its exponent; the expected power spectrum falls as frequency^(-2p).
        radius_px: Reach of the filter, in LR pixels; beyond it the weights taper to nothing.
    """
    scale = degrade.scale
    response = np.multiply.outer(_axis_response(degrade, -2), _axis_response(degrade, -1))
    power: NDArray[np.float64] = _roughness(scale) ** -p
    gain = np.conj(response) * power
    seen = _fold(np.abs(response) ** 2 * power, scale)
    answer = gain / np.tile(lam + seen, (scale, scale))
    return Base("tikhonov", _finite(answer, scale, radius_px), (lam, p))


def fit_base(
    name: str,
    lr: NDArray[np.float32],
    valid: NDArray[np.bool_],
    degrade: Degrade,
    nedt_k: float,
    generator: np.random.Generator,
) -> Base:
    """The base of that name, tuned on the scene where it has something to tune.

    Args:
        name: One of `BASES`.
        lr: (y, x) kelvin; what stands at invalid pixels is ignored.
        valid: (y, x), true where there is data.
        degrade: The forward model.
        nedt_k: Noise of the scene, in kelvin.
        generator: Source of the noise and of the choice of windows.

    Raises:
        ValueError: If no base has that name.
    """
    if name == "bicubic":
        return bicubic_base(degrade.scale)
    if name == "back_projected":
        return back_projected_base(degrade)
    if name == "tikhonov":
        return tikhonov_base(degrade, *tune_tikhonov(lr, valid, degrade, nedt_k, generator))
    raise ValueError(f"no base '{name}'; known: {', '.join(BASES)}")


def tune_tikhonov(
    lr: NDArray[np.float32],
    valid: NDArray[np.bool_],
    degrade: Degrade,
    nedt_k: float,
    generator: np.random.Generator,
) -> tuple[float, float]:
    """Lambda and p that best recover the scene from what the sensor would see of it, one scale down."""
    scale = degrade.scale
    height, width = (side // scale * scale for side in lr.shape)
    father = np.where(valid, lr, np.float32(np.nan))[:height, :width]
    if min(height, width) < 4 * scale or not np.isfinite(father).any():
        return DEFAULT_LAMBDA, DEFAULT_P
    son = degrade(father)
    known = np.isfinite(son)
    if not known.any():
        return DEFAULT_LAMBDA, DEFAULT_P
    son = np.where(known, son, np.nanmean(father)).astype(np.float32)
    son += generator.normal(0, nedt_k, son.shape).astype(np.float32)
    judged = np.isfinite(father) & np.kron(known, np.ones((scale, scale), dtype=bool))

    def error(lam: float, p: float) -> float:
        difference = tikhonov_base(degrade, lam, p)(son) - father
        return float(np.mean(difference[judged].astype(np.float64) ** 2))

    grid = [(lam, p) for p in (1.0, 1.5, 2.0) for lam in (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)]
    return min(grid, key=lambda pair: error(*pair))


def _frequencies(scale: int) -> NDArray[np.float64]:
    """Cycles per HR pixel on the periodic grid."""
    return np.fft.fftfreq(GRID_PX * scale)


def _axis_response(degrade: Degrade, axis: int) -> NDArray[np.complex128]:
    return degrade.response(_frequencies(degrade.scale), axis)


def _line_response(phases: NDArray[np.float64]) -> NDArray[np.complex128]:
    """Transform of what one LR pixel becomes under the interpolation `phases`."""
    scale, width = phases.shape
    line = np.zeros(GRID_PX * scale)
    for number in range(width):
        start = -(number - width // 2) * scale
        line[(start + np.arange(scale)) % line.size] += phases[:, number]
    return np.asarray(np.fft.fft(line))


def _fold(response: NDArray[np.floating | np.complexfloating], scale: int) -> NDArray[np.complex128]:
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
    return np.asarray(plane)


def _finite(response: NDArray[np.inexact], scale: int, radius_px: int) -> NDArray[np.float32]:
    """A transfer function LR to HR as a finite filter: cut, tapered, every phase summing to one."""
    impulse = np.fft.ifft2(response).real
    offset = np.arange(-radius_px, radius_px + 1)
    index = (np.arange(scale)[:, None] - scale * offset[None]) % impulse.shape[0]
    kernel = impulse[index[:, None, :, None], index[None, :, None, :]]
    distance = np.abs(offset[None] + 0.5 - (np.arange(scale)[:, None] + 0.5) / scale)
    taper = np.cos(np.pi / 2 * np.clip(4 * (distance / radius_px - 0.75), 0, 1)) ** 2
    kernel = kernel * taper[:, None, :, None] * taper[None, :, None, :]
    kernel /= kernel.sum((2, 3), keepdims=True)
    return np.asarray(kernel, dtype=np.float32)

"""What the sensor would see of a finer scene.

Blur by the optics (PSF), average over the detector's square, sample: the one forward
model that makes training pairs, projects the answer back onto the observation and
judges it. The detector's box always comes on top of the PSF that is given here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Complex128, Float, Float64
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, cg

from pipeline.superres.sensing.nested_grids import (
    Picture,
    Pixels,
    all_finite,
    as_tensor,
    decimate,
    like,
    reference_k,
    spread,
)

NO_BLUR_HR_PX = 0.05  # the next pixel would get less than 1e-80 of the light
CENTER_TOLERANCE_PX = 0.01
SEPARABLE_TOLERANCE = 1e-3  # of a kernel's root sum of squares; what misses less is one column and one row
REST_TOLERANCE = 1e-9
SYMMETRY_TOLERANCE = 1e-6  # of a weight
MIN_WEIGHT = 0.5
MAX_DENSE_PX = 4096


@dataclass(frozen=True)
class Degrade:
    """Fine (HR) to coarse (LR), one row of weights per axis; further ones where that is not the whole kernel.

    Attributes:
        scale: Fine pixels in a coarse one, along each axis.
        taps_y: Weights of HR rows, PSF and detector together; they sum to one.
        taps_x: Weights of HR columns.
        first_y: HR row of the first weight, counted from the first row of the LR pixel.
        first_x: The same for columns.
        rest: Further weights of rows and columns, as long as the first ones, whose products are to be added:
            what a kernel that is not separable holds beside its sums over columns and over rows.
    """

    scale: int
    taps_y: tuple[float, ...]
    taps_x: tuple[float, ...]
    first_y: int
    first_x: int
    rest: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...] = ()

    def __post_init__(self) -> None:
        if self.scale < 1:
            raise ValueError(f"scale must be at least 1, got {self.scale}")

    @classmethod
    def gaussian(cls, scale: int, psf_sigma_px: float) -> Degrade:
        """A Gaussian PSF of `psf_sigma_px` LR pixels; 0 leaves the detector's average alone.

        Raises:
            ValueError: If it is negative or not finite.
        """
        if not (math.isfinite(psf_sigma_px) and psf_sigma_px >= 0):
            raise ValueError(f"psf_sigma_px must be zero or positive, got {psf_sigma_px}")
        sigma = psf_sigma_px * scale
        if sigma < NO_BLUR_HR_PX:
            return cls._from_lines(scale, np.ones(1), np.ones(1))
        radius = math.ceil(4 * sigma)
        psf = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
        return cls._from_lines(scale, psf, psf)

    @classmethod
    def cubic(cls, scale: int) -> Degrade:
        """The anti-aliased bicubic reduction (a = -0.5) of image software; no sensor does this.

        Raises:
            ValueError: If the scale is odd.
        """
        distance = np.abs(np.arange(-2 * scale, 2 * scale) + 0.5) / scale
        weights = keys_cubic(distance)
        taps = tuple((weights / weights.sum()).tolist())
        first = scale // 2 - 2 * scale
        if scale % 2:
            raise ValueError(f"the bicubic reduction is made for even scales, got {scale}")
        return cls(scale, taps, taps, first, first)

    @classmethod
    def from_kernel(cls, scale: int, kernel: Float[NDArray[np.floating], "ky kx"]) -> Degrade:
        """A measured PSF on the fine grid, instead of a Gaussian.

        Args:
            scale: Fine pixels in a coarse one.
            kernel: (y, x) with odd sides, any positive sum: where the light of one HR pixel goes.

        Raises:
            ValueError: If a side is even, or the centroid is off (the product would be shifted).
        """
        kernel = np.asarray(kernel, dtype=np.float64)
        if kernel.ndim != 2 or kernel.shape[0] % 2 == 0 or kernel.shape[1] % 2 == 0:
            raise ValueError(f"the kernel must be 2-D with odd sides, got shape {kernel.shape}")
        if not np.isfinite(kernel).all() or kernel.sum() <= 0:
            raise ValueError(f"the kernel must be finite with a positive sum, got sum {kernel.sum():g}")
        kernel = kernel / kernel.sum()
        y, x = (line.sum(axis) for axis, line in ((1, kernel), (0, kernel)))
        shift = [float(line @ (np.arange(line.size) - line.size // 2)) for line in (y, x)]
        if max(map(abs, shift)) > CENTER_TOLERANCE_PX:
            raise ValueError(
                f"the kernel's centroid is {shift[0]:+.3f}, {shift[1]:+.3f} HR pixels (y, x) off its center, "
                f"{CENTER_TOLERANCE_PX} allowed: center it, or the product is shifted"
            )
        # Light spreads by convolution, weights collect it: everything is turned around.
        found, missing = cls._from_lines(scale, y[::-1], x[::-1]), (kernel - np.outer(y, x))[::-1, ::-1]
        if np.linalg.norm(missing) <= SEPARABLE_TOLERANCE * np.linalg.norm(kernel):
            return found
        columns, strengths, rows = np.linalg.svd(missing)
        needed = np.count_nonzero(strengths > REST_TOLERANCE * np.linalg.norm(kernel))
        box = np.full(scale, 1 / scale)
        rest = tuple(
            (
                tuple(np.convolve(strengths[k] * columns[:, k], box).tolist()),
                tuple(np.convolve(rows[k], box).tolist()),
            )
            for k in range(needed)
        )
        return replace(found, rest=rest)

    @classmethod
    def _from_lines(cls, scale: int, psf_y: NDArray[np.float64], psf_x: NDArray[np.float64]) -> Degrade:
        box = np.full(scale, 1 / scale)
        y, x = (np.convolve(psf / psf.sum(), box) for psf in (psf_y, psf_x))
        return cls(scale, tuple(y.tolist()), tuple(x.tolist()), -(psf_y.size // 2), -(psf_x.size // 2))

    @property
    def reach_px(self) -> int:
        """How far beyond its own borders an LR pixel looks, in LR pixels, rounded up."""
        return max(
            math.ceil(max(-first, first + len(taps) - self.scale, 0) / self.scale)
            for taps, first in ((self.taps_y, self.first_y), (self.taps_x, self.first_x))
        )

    @property
    def symmetric(self) -> bool:
        """Whether the blur looks the same when the scene is flipped or turned."""
        lines = np.asarray(self.taps_y), np.asarray(self.taps_x)
        if len(lines[0]) != len(lines[1]):
            return False
        pairs = [(lines[0], lines[1]), *((line, line[::-1]) for line in lines)]
        if self.rest:
            plane = np.sum([np.outer(rows, columns) for rows, columns in self.rest], axis=0)
            pairs += [(plane, plane.T), (plane, plane[::-1]), (plane, plane[:, ::-1])]
        return all(np.allclose(one, other, rtol=0, atol=SYMMETRY_TOLERANCE) for one, other in pairs)

    @property
    def lines(self) -> tuple[tuple[tuple[float, ...], tuple[float, ...]], ...]:
        """All weights of rows and columns, whose products make up the kernel with the detector's square."""
        return ((self.taps_y, self.taps_x), *self.rest)

    def __call__(self, hr: Picture) -> Picture:
        """What the sensor sees.

        Args:
            hr: (..., y, x), numpy or torch, sides divisible by scale; NaN for no data.

        Returns:
            (..., y/scale, x/scale), same kind and dtype. The weights of missing pixels go to the
            valid ones; NaN where less than half of the weight is valid.
        """
        tensor = as_tensor(hr)
        height, width = tensor.shape[-2:]
        if height % self.scale or width % self.scale:
            raise ValueError(f"{height} x {width} pixels cannot be divided by {self.scale}: crop first")
        reference = reference_k(tensor)
        if all_finite(tensor):
            return like(self.blur(tensor - reference) + reference, hr)
        valid = torch.isfinite(tensor)
        filled = torch.where(valid, tensor - reference, torch.zeros((), dtype=tensor.dtype))
        return like(self.share_out(self.blur(filled), self.blur(valid.to(tensor.dtype))) + reference, hr)

    def share_out(self, lr: Pixels, weight: Pixels) -> Pixels:
        """(..., y, x) blurred with zeros for missing pixels, whose weights go to those that are there.

        `weight` is the blur of one where a pixel is there; NaN where it is below half.
        """
        return (lr / weight.clamp_min(MIN_WEIGHT)).masked_fill(weight < MIN_WEIGHT - 1e-6, torch.nan)

    def blur(self, tensor: Pixels) -> Pixels:
        """(..., scale*y, scale*x) to (..., y, x): the sums alone, for numbers near zero and all there."""
        total = None
        for rows, columns in self.lines:
            part = decimate(tensor, rows, self.first_y, scale=self.scale, axis=-2)
            part = decimate(part, columns, self.first_x, scale=self.scale, axis=-1)
            total = part if total is None else total + part
        assert total is not None
        return total

    def adjoint(self, lr: Picture) -> Picture:
        """The transpose: every LR pixel back to where it was collected. (..., y, x), no NaN."""
        tensor, total = as_tensor(lr), None
        for rows, columns in self.lines:
            part = spread(tensor, rows, self.first_y, scale=self.scale, axis=-2)
            part = spread(part, columns, self.first_x, scale=self.scale, axis=-1)
            total = part if total is None else total + part
        assert total is not None
        return like(total, lr)

    def pinv(self, lr: Picture) -> Picture:
        """The smallest HR scene (in the sum of squares) that degrades to this LR scene exactly.

        For scenes of moderate size: it holds a dense matrix per axis. Where the kernel is not separable, it
        is found by conjugate gradients.

        Raises:
            ValueError: If a side has more than 4096 LR pixels.
        """
        tensor = as_tensor(lr)
        if self.rest:
            return like(torch.from_numpy(self._pinv_by_steps(tensor.double().numpy())).to(tensor), lr)
        if max(tensor.shape[-2:]) > MAX_DENSE_PX:
            raise ValueError(
                f"pinv is dense: at most {MAX_DENSE_PX} LR pixels a side, got {tuple(tensor.shape[-2:])}"
            )
        rows, columns = (
            torch.from_numpy(_dense_pinv(self.scale, taps, first, size)).to(tensor)
            for taps, first, size in (
                (self.taps_y, self.first_y, tensor.shape[-2]),
                (self.taps_x, self.first_x, tensor.shape[-1]),
            )
        )
        return like(rows @ tensor @ columns.T, lr)

    def _pinv_by_steps(self, lr: NDArray[np.float64]) -> NDArray[np.float64]:
        """(y, x) by the adjoint of what, collected again, is the scene."""

        def seen(flat: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.asarray(self.blur(self.adjoint(torch.from_numpy(flat.reshape(lr.shape))))).ravel()

        operator = LinearOperator((lr.size, lr.size), matvec=seen, dtype=np.float64)
        answer, _ = cg(operator, lr.ravel(), rtol=1e-12, maxiter=10 * lr.size)
        return np.asarray(self.adjoint(answer.reshape(lr.shape)))

    def mtf(
        self, frequency: Float[NDArray[np.floating], "*shape"] | float, axis: int = -1
    ) -> Float64[NDArray[np.float64], "*shape"]:
        """Contrast kept at frequencies in cycles per LR pixel (Nyquist is 0.5), PSF and detector together."""
        return np.asarray(np.abs(self.response(np.asarray(frequency, dtype=np.float64) / self.scale, axis)))

    def response(
        self, frequency: Float[NDArray[np.floating], "*shape"] | float, axis: int = -1
    ) -> Complex128[NDArray[np.complex128], "*shape"]:
        """Transfer function at cycles per HR pixel; its phase counts from an LR pixel's first HR pixel."""
        taps, first = (self.taps_x, self.first_x) if axis == -1 else (self.taps_y, self.first_y)
        return _line_response(taps, first, np.asarray(frequency, dtype=np.float64))

    def responses(
        self,
        frequency_y: Float[NDArray[np.floating], "*shape"],
        frequency_x: Float[NDArray[np.floating], "*shape"],
    ) -> list[tuple[NDArray[np.complex128], NDArray[np.complex128]]]:
        """Of rows and of columns, as `response` is; the sum of their products is the whole kernel's."""
        return [
            (
                _line_response(rows, self.first_y, frequency_y),
                _line_response(columns, self.first_x, frequency_x),
            )
            for rows, columns in self.lines
        ]


def _line_response(
    taps: tuple[float, ...], first: int, frequency: NDArray[np.floating]
) -> NDArray[np.complex128]:
    wave = np.exp(2j * np.pi * np.multiply.outer(frequency, first + np.arange(len(taps))))
    return np.asarray(wave @ np.asarray(taps), dtype=np.complex128)


def keys_cubic(distance: Float64[NDArray[np.float64], "*shape"]) -> Float64[NDArray[np.float64], "*shape"]:
    """Weight of a pixel at a distance >= 0 in cubic convolution.

    Source: Keys, Cubic convolution interpolation for digital image processing, 1981, with a = -0.5.
    """
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))


def dense_matrix(
    scale: int, taps: tuple[float, ...], first: int, size: int
) -> Float64[NDArray[np.float64], "size fine"]:
    """One axis of a `Degrade` as a (size, scale*size) matrix, mirrored borders included."""
    eye = torch.eye(scale * size, dtype=torch.float64)
    return decimate(eye, taps, first, scale=scale, axis=-2).numpy()


@lru_cache(maxsize=16)
def _dense_pinv(scale: int, taps: tuple[float, ...], first: int, size: int) -> NDArray[np.float64]:
    matrix = dense_matrix(scale, taps, first, size)
    return np.asarray(np.linalg.pinv(matrix), dtype=np.float64)

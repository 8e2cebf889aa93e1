"""How fine a detail really is, before and after: the frequency up to which an answer agrees with the truth.

A picture of small pixels may be blurred, and a sharp one wrong; neither is resolved. Detail of a size counts
where, over all waves of that size, the answer's coherence with the truth is at least one half. The truth is
the scene in its self-test, so its noise counts against everybody alike. Coherence asks whether waves are in
the right place, not whether they have their contrast: errors in kelvin tell that.

The surprise: the test runs one scale up. What is found there is carried over in pixels of what was enlarged,
and never stated finer than the distance at which the sensor sampled: finer waves are guessed, not resolved.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float, Float64
from numpy.typing import NDArray

from pipeline.superres.judging.selftest import SelfTest

Plane = Float[NDArray[np.floating], "y x"]
TILES_PX = (128, 64, 32, 16)  # the training's held-out blocks are 32; larger tiles tell frequencies better
MIN_TILES = 4
COHERENT = 0.5


def resolution_figures(
    test: SelfTest, *, scale: int, gsd_m: tuple[float, float], sample_px: float = 1.0
) -> dict[str, float | None]:
    """Effective resolution of bicubic, base and product, in scene pixels and, where known, in meters.

    Args:
        test: The self-test.
        scale: Linear enlargement.
        gsd_m: The scene's pixel spacing as (y, x), NaN where no grid tells it; the longer one counts.
        sample_px: The sensor's sample distance in scene pixels, the finest that is stated.

    Returns:
        "resolution_bicubic_px" and the like, None where no tile is whole; "_m" only with a spacing.
    """
    figures: dict[str, float | None] = {}
    answers = {"bicubic": test.bicubic, "base": test.base, "product": test.product}
    for name, answer in answers.items():
        found_px = resolved_px(answer, test.truth, test.compared) / scale
        known = math.isfinite(found_px)
        figures[f"resolution_{name}_px"] = max(found_px, sample_px) if known else None
        if known and math.isfinite(max(gsd_m)):
            figures[f"resolution_{name}_m"] = max(found_px, sample_px) * max(gsd_m)
    return figures


def resolved_px(answer: Plane, truth: Plane, compared: Bool[NDArray[np.bool_], "y x"]) -> float:
    """Half a period of the finest wave that is resolved, in pixels of the pictures.

    Args:
        answer: (y, x) without holes.
        truth: The same shape.
        compared: (y, x), true where answers are compared; only tiles compared throughout count.

    Returns:
        1 where they agree up to the Nyquist frequency; NaN where there are fewer than four such tiles.
    """
    for side in TILES_PX:
        tiles = [
            np.s_[row : row + side, column : column + side]
            for row in range(0, compared.shape[0] - side + 1, side)
            for column in range(0, compared.shape[1] - side + 1, side)
            if compared[row : row + side, column : column + side].all()
        ]
        if len(tiles) >= MIN_TILES:
            frequency = _last_coherent(coherence(answer, truth, tiles, side), side)
            return max(0.5 / frequency, 1.0)
    return math.nan


def coherence(
    answer: Plane, truth: Plane, tiles: list[tuple[slice, slice]], side: int
) -> Float64[NDArray[np.float64], " frequency"]:
    """Correlation of two pictures by frequency 0, 1, ... side / 2 cycles a tile, over all tiles together.

    Source: Saxton & Baumeister, The correlation averaging of a regularly arranged protein, 1982; averaged
    over tapered tiles as Welch, The use of fast Fourier transform for the estimation of power spectra, 1967.
    """
    taper = np.hanning(side + 2)[1:-1]
    frequency = np.abs(np.fft.fftfreq(side, 1 / side))
    ring = np.rint(np.hypot(frequency[:, None], frequency)).astype(np.int64).ravel()
    sums = np.zeros((3, ring.max() + 1))
    for tile in tiles:
        one, other = (
            np.fft.fft2((part - part.mean()) * np.outer(taper, taper)).ravel()
            for part in (answer[tile].astype(np.float64), truth[tile].astype(np.float64))
        )
        parts = ((one * other.conj()).real, np.abs(one) ** 2, np.abs(other) ** 2)
        sums += np.stack([np.bincount(ring, part) for part in parts])
    both, first, second = sums[:, : side // 2 + 1]
    return np.asarray(both / np.maximum(np.sqrt(first * second), 1e-30), dtype=np.float64)


def _last_coherent(curve: Float64[NDArray[np.float64], " frequency"], side: int) -> float:
    """Cycles per pixel where a curve of coherence first falls to one half, between its points."""
    curve = np.concatenate([[1.0], curve[1:]])  # the mean was taken off: zero cycles say nothing
    below = np.flatnonzero(curve < COHERENT)
    if not below.size:
        return 0.5
    last = below[0] - 1
    step = (curve[last] - COHERENT) / (curve[last] - curve[below[0]])
    return float((last + step) / side)

"""Ways to apply a network: by patches, blended, shifted, flipped and turned, and their mean.

Each way takes an `Upscaler` and gives one, so they compose, and each states its own
reach. Patches hang on a lattice that is fixed to the *scene*, not to the piece at
hand: that is why tiles of any size give the same pixels.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import trim_mean

from pipeline.grid import Window
from pipeline.raster import cut_mirrored
from pipeline.recipe import PATCH_PX
from pipeline.recipe_settings import InferSettings
from pipeline.superres.applying.upscaler import Floats, Upscaler

Reduce = Literal["mean", "median", "trimmed"]

TURNS = range(8)
TRIM_FRACTION = 0.25  # of the passes, dropped at either end by "trimmed"
BLEND_SIGMA = 0.3  # of a patch, seed 000


def turned(up: Upscaler, k: int) -> Upscaler:
    """`up` applied to the scene flipped or turned, the answer turned back.

    Args:
        up: What to apply.
        k: 0 to 7, one of the eight transformations of the square: bit 0 flips the rows, bit 1 the
            columns, bit 2 then swaps the axes. 0 is `up` itself.
    """
    if k not in TURNS:
        raise ValueError(f"k must be within 0 and 7, got {k}")
    if k == 0:
        return up

    def apply(lr: Floats, origin: tuple[int, int]) -> Floats:
        return turn_back(up(turn(lr, k), _turned_origin(lr.shape, origin, k)), k)

    return Upscaler(apply, up.scale, up.reach_px)


def turn(pixels: Floats, k: int) -> Floats:
    """(y, x) flipped and turned, contiguous; `k` as in `turned`."""
    if k & 1:
        pixels = pixels[::-1]
    if k & 2:
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels.T if k & 4 else pixels)


def turn_back(pixels: Floats, k: int) -> Floats:
    """The inverse of `turn`."""
    if k & 4:
        pixels = pixels.T
    if k & 2:
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels[::-1] if k & 1 else pixels)


def _turned_origin(shape: tuple[int, ...], origin: tuple[int, int], k: int) -> tuple[int, int]:
    """Where a turned piece lies on the turned scene: the plane is flipped about the scene's upper left."""
    row, column = origin
    if k & 1:
        row = -(row + shape[0])
    if k & 2:
        column = -(column + shape[1])
    return (column, row) if k & 4 else (row, column)


def blended(
    up: Upscaler,
    *,
    patch_px: int,
    overlap_fraction: float,
    shift: tuple[int, int] = (0, 0),
    context_px: int | None = None,
) -> Upscaler:
    """`up` applied to overlapping patches, whose answers fade into one another.

    Args:
        up: What to apply.
        patch_px: Side of a patch, in scene pixels.
        overlap_fraction: Part of a patch that it shares with the next one.
        shift: Rows and columns by which the lattice of patches is shifted against the scene's first pixel.
        context_px: What a patch sees around itself and does not answer for. None takes the reach of `up`,
            and then there are no seams at all; 0 is seed 000's way. None is 0 if `up` has no finite reach.
    """
    if patch_px < 1 or not 0 <= overlap_fraction < 1:
        raise ValueError(
            f"patch_px must be positive, overlap_fraction below 1, got {patch_px}, {overlap_fraction}"
        )
    context = (up.reach_px or 0) if context_px is None else context_px
    overlap = min(round(overlap_fraction * patch_px), patch_px - 1)
    weights = blend_weights(patch_px, overlap, up.scale)
    # Nothing is seen from outside the patch and its context, nor from farther than `up` itself looks.
    farthest = patch_px - 1 + context
    reach_px = farthest if up.reach_px is None else min(up.reach_px, farthest)

    def apply(lr: Floats, origin: tuple[int, int]) -> Floats:
        starts = [
            _patch_starts(origin[axis] - shift[axis], lr.shape[axis], patch_px, patch_px - overlap)
            for axis in (0, 1)
        ]
        total = np.zeros((lr.shape[0] * up.scale, lr.shape[1] * up.scale))
        for row, column in product(*starts):
            patch = Window(row, column, patch_px, patch_px)
            _add_patch(total, _enlarge_patch(up, lr, origin, patch, context), patch.refine(up.scale), weights)
        return total.astype(np.float32)

    return Upscaler(apply, up.scale, reach_px)


def blend_weights(patch_px: int, overlap_px: int, scale: int) -> NDArray[np.float64]:
    """(scale * patch_px,) weight of a patch along one axis; over all patches they sum to 1 at every pixel.

    A Gaussian with a linear fade over the overlap (seed 000), divided by its own periodic sum.
    """
    size = scale * patch_px
    position = np.arange(size) + 0.5
    weight = np.exp(-0.5 * ((position - size / 2) / (BLEND_SIGMA * size)) ** 2)
    if overlap_px:
        weight *= np.minimum(1.0, np.minimum(position, size - position) / (scale * overlap_px))
    stride = scale * (patch_px - overlap_px)
    phase = np.arange(size) % stride
    total = np.asarray(np.bincount(phase, weight, minlength=stride), dtype=np.float64)
    return np.asarray(weight / total[phase])


def _patch_starts(origin: int, length: int, patch_px: int, stride: int) -> range:
    """First pixels, in coordinates of the piece, of all lattice patches that touch it, along one axis."""
    first = (origin - patch_px) // stride + 1
    return range(first * stride - origin, length, stride)


def _enlarge_patch(up: Upscaler, lr: Floats, origin: tuple[int, int], patch: Window, context: int) -> Floats:
    """The patch's answer, whole even where it hangs over the piece's edge: the piece is mirrored there."""
    seen = Window(
        patch.row - context, patch.column - context, patch.height + 2 * context, patch.width + 2 * context
    )
    hr = up(cut_mirrored(lr, seen), (origin[0] + seen.row, origin[1] + seen.column))
    return hr[patch.within(seen).refine(up.scale).slices]


def _add_patch(total: NDArray[np.float64], hr: Floats, window: Window, weights: NDArray[np.float64]) -> None:
    """Add the weighted patch to the part of `total` that it covers; changes `total`."""
    top, left = max(window.row, 0), max(window.column, 0)
    bottom = min(window.row + window.height, total.shape[0])
    right = min(window.column + window.width, total.shape[1])
    rows = slice(top - window.row, bottom - window.row)
    columns = slice(left - window.column, right - window.column)
    total[top:bottom, left:right] += weights[rows, None] * hr[rows, columns] * weights[columns]


def shift_passes(
    settings: InferSettings, patch_px: int, generator: np.random.Generator
) -> list[tuple[int, int]]:
    """Random (row, column) shifts of the lattice, one a pass, all different where possible."""
    farthest = round(settings.max_shift_ratio * patch_px)
    side = 2 * farthest + 1
    drawn = generator.choice(
        side * side, settings.num_shift_passes, replace=side * side < settings.num_shift_passes
    )
    return [(int(index) // side - farthest, int(index) % side - farthest) for index in drawn]


def passes(
    up: Upscaler, settings: InferSettings, generator: np.random.Generator, *, asymmetric: bool = False
) -> list[Upscaler]:
    """Every pass that the settings ask for: shifts times transformations.

    Args:
        up: The network.
        settings: Mode, self-ensemble, patches and shifts.
        generator: Draws the shifts; unused without them.
        asymmetric: The sensor's kernel is not symmetric: a turned scene is then no scene of this sensor
            and the eight transformations are left out.
    """
    ways = [up]
    if settings.mode != "whole":
        patch_px = settings.patch_px or PATCH_PX[up.scale]
        shifts = shift_passes(settings, patch_px, generator) if "shifts" in settings.mode else [(0, 0)]
        overlap_fraction = settings.overlap_fraction if "blend" in settings.mode else 0.0
        ways = [
            blended(
                up,
                patch_px=patch_px,
                overlap_fraction=overlap_fraction,
                shift=shift,
                context_px=settings.context_px,
            )
            for shift in shifts
        ]
    turns = TURNS if settings.self_ensemble and not asymmetric else (0,)
    return [turned(way, k) for way in ways for k in turns]


def combine(answers: Iterable[Floats], reduce: Reduce) -> tuple[Floats, Floats]:
    """One answer of several, and how much they disagree.

    Args:
        answers: (y, x) float32 each, at least one; the mean holds no more than one at a time.
        reduce: "mean", "median", or "trimmed": the mean without the lowest and the highest quarter.

    Returns:
        The answer and the standard deviation over the answers (0 if there is one), both float32.
    """
    kept: list[Floats] = []
    count = 0
    mean: NDArray[np.float64] | float = 0.0
    squares: NDArray[np.float64] | float = 0.0
    for each in answers:
        # Welford's update: the sum of squares of numbers near 300 K would drown a spread of millikelvins.
        count += 1
        exact = each.astype(np.float64)
        difference = exact - mean
        mean = mean + difference / count
        squares = squares + difference * (exact - mean)
        if reduce != "mean":
            kept.append(each)
    if count == 0:
        raise ValueError("at least one answer is needed to combine")
    spread = np.sqrt(np.asarray(squares) / count).astype(np.float32)
    if reduce == "mean":
        return np.asarray(mean).astype(np.float32), spread
    stacked = np.stack(kept).astype(np.float64)
    answer = np.median(stacked, axis=0) if reduce == "median" else trim_mean(stacked, TRIM_FRACTION, axis=0)
    return np.asarray(answer).astype(np.float32), spread

"""Ways to apply a network: by patches, blended, shifted, flipped and turned, and their mean.

Each way takes an `Upscaler` and gives one, so they compose, and each states its own
reach. Patches lie on a lattice that is fixed to the *scene*, not to the piece at
hand: so tiles of any size give the same pixels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from itertools import product
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float32, Float64
from numpy.typing import NDArray
from torch import Tensor

from pipeline.grid import Window
from pipeline.recipe import PATCH_PX
from pipeline.recipe_settings import InferSettings
from pipeline.superres.applying.upscaler import Piece, Plane, Upscaler

Reduce = Literal["mean", "median", "trimmed"]

TURNS = range(8)
TRIM_FRACTION = 0.25  # of the passes, dropped at either end by "trimmed"
BLEND_SIGMA = 0.3  # of a patch, as in the recipe `original`


def turned(up: Upscaler, k: int) -> Upscaler:
    """`up` applied to the scene flipped or turned, the answer turned back.

    Args:
        up: What to apply.
        k: 0 to 7, one of the eight transformations of the square: bit 0 flips the rows, bit 1 the
            columns, bit 2 then swaps the axes. 0 is `up` itself.

    Raises:
        ValueError: If `k` is outside 0 to 7.
    """
    if k not in TURNS:
        raise ValueError(f"k must be within 0 and 7, got {k}")
    if k == 0:
        return up

    def apply(piece: Piece) -> Plane:
        """The detail of the turned piece, turned back."""
        shape = piece.lr.shape
        turned_piece = Piece(
            turn(piece.lr, k),
            None if piece.base is None else turn(piece.base, k),
            _turned_origin(shape, piece.origin, k),
            _turned_window(shape, piece.wanted, k),
        )
        return turn_back(up.added(turned_piece), k)

    return dataclasses.replace(up, apply=apply)


def turn(pixels: Plane, k: int) -> Plane:
    """(y, x) flipped and turned, contiguous; `k` as in `turned`."""
    if k & 1:
        pixels = pixels[::-1]
    if k & 2:
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels.T if k & 4 else pixels)


def turn_back(pixels: Plane, k: int) -> Plane:
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


def _turned_window(shape: tuple[int, ...], window: Window, k: int) -> Window:
    """Where a window of a piece lies on the turned piece."""
    row = shape[0] - window.row - window.height if k & 1 else window.row
    column = shape[1] - window.column - window.width if k & 2 else window.column
    if k & 4:
        return Window(column, row, window.width, window.height)
    return Window(row, column, window.height, window.width)


def blended(
    up: Upscaler,
    *,
    patch_px: int,
    overlap_fraction: float,
    shift: tuple[int, int] = (0, 0),
    context_px: int | None = None,
) -> Upscaler:
    """`up` applied to overlapping patches, whose answers are averaged with smooth weights.

    Where each patch sees as far around itself as `up` looks, patches change nothing: this is `up` then.

    Args:
        up: What to apply.
        patch_px: Side of a patch, in scene pixels.
        overlap_fraction: Part of a patch that it shares with the next one.
        shift: Rows and columns by which the lattice of patches is shifted against the scene's first pixel.
        context_px: What a patch sees around itself and does not answer for. None takes the reach of `up`;
            0 is the original's way. None is 0 if `up` has no finite reach.

    Raises:
        ValueError: If a patch has no pixel or overlaps all of the next one.
    """
    if patch_px < 1 or not 0 <= overlap_fraction < 1:
        raise ValueError(
            f"patch_px must be positive, overlap_fraction below 1, got {patch_px}, {overlap_fraction}"
        )
    if up.own_reach_px is not None and (context_px is None or context_px >= up.own_reach_px):
        return up
    context = context_px or 0
    overlap = min(round(overlap_fraction * patch_px), patch_px - 1)
    weights = blend_weights(patch_px, overlap, up.scale)
    # Nothing is seen from outside the patch and its context, nor from farther than `up` itself looks.
    farthest = patch_px - 1 + context
    reach_px = farthest if up.own_reach_px is None else min(up.own_reach_px, farthest)

    def apply(piece: Piece) -> Plane:
        """The weighted sum of the details of all patches that touch the wanted part."""
        height, width = piece.lr.shape
        total = np.zeros((height * up.scale, width * up.scale))
        wanted = piece.wanted
        starts = [
            _patch_starts(piece.origin[axis] - shift[axis], first, size, patch_px, patch_px - overlap)
            for axis, first, size in ((0, wanted.row, wanted.height), (1, wanted.column, wanted.width))
        ]
        for row, column in product(*starts):
            patch = Window(row, column, patch_px, patch_px)
            seen = Window(row - context, column - context, patch_px + 2 * context, patch_px + 2 * context)
            # Whole even where it hangs over the edge of the piece, which is mirrored there.
            hr = up.added(piece.cut(seen, up.scale))[patch.within(seen).refine(up.scale).slices]
            _add_patch(total, hr, patch.refine(up.scale), weights)
        return total.astype(np.float32)

    return dataclasses.replace(up, apply=apply, own_reach_px=reach_px, eight=None)


def blend_weights(patch_px: int, overlap_px: int, scale: int) -> Float64[NDArray[np.float64], " n"]:
    """(scale * patch_px,) weight of a patch along one axis; over all patches they sum to 1 at every pixel.

    A Gaussian with a linear fade over the overlap (the original's), divided by its own periodic sum.
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


def _patch_starts(origin: int, first: int, length: int, patch_px: int, stride: int) -> range:
    """First pixels, in pixels of the piece, of the lattice's patches that touch the wanted part; one axis."""
    lowest = (origin + first - patch_px) // stride + 1
    return range(lowest * stride - origin, first + length, stride)


def _add_patch(total: NDArray[np.float64], hr: Plane, window: Window, weights: NDArray[np.float64]) -> None:
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
    up: Upscaler, settings: InferSettings, generator: np.random.Generator, *, symmetric: bool = True
) -> list[Upscaler]:
    """Every pass that the settings ask for: shifts times transformations.

    Args:
        up: The network.
        settings: Mode, self-ensemble, patches and shifts.
        generator: Draws the shifts; unused without them.
        symmetric: Whether the sensor's blur looks the same flipped and turned. If not, a turned scene is no
            scene of this sensor, and the eight transformations are left out.
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
        if all(way is up for way in ways):  # patches that see all they need: every shift is the same pass
            ways = [up]
    turns = TURNS if settings.self_ensemble and symmetric else (0,)
    return [turned(way, k) for way in ways for k in turns]


def combine(answers: Iterable[Plane], reduce: Reduce) -> tuple[Plane, Plane]:
    """One answer of several, and how much they disagree.

    Args:
        answers: (y, x) float32 each, at least one; the mean holds no more than one at a time.
        reduce: "mean", "median", or "trimmed": the mean without the lowest and the highest quarter.

    Returns:
        The answer and the standard deviation over the answers (0 if there is one), both float32.

    Raises:
        ValueError: If there is no answer.
    """
    kept: Iterable[Plane] = answers if reduce == "mean" else list(answers)
    mean, spread = (part.numpy() for part in mean_and_spread(torch.from_numpy(each) for each in kept))
    if reduce == "mean":
        return mean, spread
    stacked = np.stack(list(kept)).astype(np.float64)
    if reduce == "median":
        return np.asarray(np.median(stacked, axis=0)).astype(np.float32), spread
    from scipy.stats import trim_mean  # a third of a second, in every process that imports this module

    return np.asarray(trim_mean(stacked, TRIM_FRACTION, axis=0)).astype(np.float32), spread


def mean_and_spread(
    answers: Iterable[Float32[Tensor, "*shape"]],
) -> tuple[Float32[Tensor, "*shape"], Float32[Tensor, "*shape"]]:
    """Mean and standard deviation, on the answers' device; sums are float64 and hold one answer at a time.

    Raises:
        ValueError: If there is no answer.
    """
    count, only = 0, None
    mean = squares = torch.zeros(())
    for answer in answers:
        count += 1
        if count == 1:
            only = answer
            continue
        if only is not None:
            mean, only = only.double(), None
            squares = torch.zeros_like(mean)
        # Welford's update: the sum of squares of numbers near 300 K would drown a spread of millikelvins.
        exact = answer.double()
        difference = exact - mean
        mean.add_(difference, alpha=1 / count)
        squares.addcmul_(difference, exact.sub_(mean))
    if count == 0:
        raise ValueError("at least one answer is needed to combine")
    if only is not None:
        return only, torch.zeros_like(only)
    return mean.float(), squares.div_(count).sqrt_().float()

"""Large scenes in small pieces, without seams.

A tile is computed with a halo as wide as its upscaler's reach, and only its own pixels are
kept. So the same pixels come out whatever the size of the tiles and their order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.grid import Window
from pipeline.raster import cut_mirrored
from pipeline.superres.applying.passes import TURNS, Reduce, combine
from pipeline.superres.applying.upscaler import Piece, Plane, Upscaler

# How far a scene goes on as its own mirror image. The same for every tile, so it makes no seams; the
# attention network (reach above 50) differs by 1e-5 K from a mirror as wide as its reach, and is twice as
# fast on a scene of 128 pixels.
BORDER_PX = 24


def compute_window(up: Upscaler, lr: Plane, window: Window) -> Plane:
    """The answer for one window of the scene, the same whatever the window.

    Args:
        up: What to apply. Without a finite reach it is given the whole scene for every window.
        lr: (y, x) the whole scene, without NaN.
        window: In scene pixels; it may reach beyond the scene, which goes on as its mirror image.

    Returns:
        (scale * window.height, scale * window.width).

    Raises:
        ValueError: If the pixels it needs are not all finite: one NaN would spread as far as `up` reaches.
    """
    return compute_passes((up,), lr, window, "mean")[0]


def compute_passes(
    passes: Sequence[Upscaler], lr: Plane, window: Window, reduce: Reduce
) -> tuple[Plane, Plane]:
    """The passes' common answer for one window of the scene, and their spread.

    The base, which all passes share, is computed once over the widest halo that one of them asks for.
    """
    base, scale = passes[0].base, passes[0].scale
    reaches = [up.own_reach_px for up in passes]
    finite = [reach for reach in reaches if reach is not None]
    seen = _seen(max(finite) if len(finite) == len(reaches) else None, lr.shape, window)
    base_hr = None if base is None else compute_window(base, lr, seen)
    piece = Piece(_cut_finite(lr, seen), base_hr, (seen.row, seen.column), window.within(seen))
    inner = piece.wanted.refine(scale).slices
    if reduce == "mean" and len(passes) == len(TURNS) and passes[0].eight is not None:
        added, spread = passes[0].eight(piece)
    else:
        added, spread = combine((np.ascontiguousarray(up.added(piece)[inner]) for up in passes), reduce)
    return (added if base_hr is None else base_hr[inner] + added), spread


def _cut_finite(lr: Plane, seen: Window) -> Plane:
    piece = cut_mirrored(lr, seen)
    if not np.isfinite(piece).all():
        raise ValueError(
            f"{np.count_nonzero(~np.isfinite(piece))} of the {piece.size} pixels from row {seen.row}, "
            f"column {seen.column} on are not finite; fill them first (holes.fill_nearest)"
        )
    return piece


def _seen(reach_px: int | None, shape: tuple[int, ...], window: Window) -> Window:
    """The window with its halo: `reach_px` wide within the scene, at most `BORDER_PX` beyond its border."""
    bottom, right = window.row + window.height, window.column + window.width
    if reach_px is None:
        top, left = min(window.row, 0), min(window.column, 0)
        bottom, right = max(bottom, shape[0]), max(right, shape[1])
        return Window(top, left, bottom - top, right - left)
    top = min(window.row, max(window.row - reach_px, -BORDER_PX))
    left = min(window.column, max(window.column - reach_px, -BORDER_PX))
    bottom = max(bottom, min(bottom + reach_px, shape[0] + BORDER_PX))
    right = max(right, min(right + reach_px, shape[1] + BORDER_PX))
    return Window(top, left, bottom - top, right - left)

"""Large scenes in small pieces, without seams.

A tile borrows a halo as wide as its upscaler looks, and gives back only its own
pixels. So the same pixels come out whatever the size of the tiles and their order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

import numpy as np
from dask.base import compute
from dask.delayed import Delayed, delayed

from pipeline.grid import Window, tile_windows
from pipeline.raster import cut_mirrored
from pipeline.superres.applying.passes import Reduce, combine
from pipeline.superres.applying.upscaler import Floats, Upscaler

Answer = TypeVar("Answer")

# How far a scene goes on as its own mirror image. The same for every tile, so it makes no seams; the
# attention network (reach above 50) differs by 1e-5 K from a mirror as wide as its reach, and is twice as
# fast on a scene of 128 pixels.
BORDER_PX = 24


def compute_window(up: Upscaler, lr: Floats, window: Window) -> Floats:
    """The answer for one window of the scene, the same whatever the window.

    Args:
        up: What to apply. Without a finite reach it is given the whole scene for every window.
        lr: (y, x) the whole scene, without NaN.
        window: In scene pixels.

    Returns:
        (scale * window.height, scale * window.width) float32.

    Raises:
        ValueError: If the pixels it needs are not all finite: one NaN would spread as far as `up` reaches.
    """
    seen = _seen(up.reach_px, lr.shape, window)
    piece = cut_mirrored(lr, seen)
    if not np.isfinite(piece).all():
        raise ValueError(
            f"{np.count_nonzero(~np.isfinite(piece))} of the {piece.size} pixels around row {window.row}, "
            f"column {window.column} are not finite; fill them first (nodata.fill_nearest)"
        )
    hr = up(piece, (seen.row, seen.column))
    return np.ascontiguousarray(hr[window.within(seen).refine(up.scale).slices])


def _seen(reach_px: int | None, shape: tuple[int, ...], window: Window) -> Window:
    """The window with its halo: `reach_px` wide within the scene, at most `BORDER_PX` beyond its border."""
    if reach_px is None:
        return Window(0, 0, shape[0], shape[1])
    beyond = min(reach_px, BORDER_PX)
    top, left = max(window.row - reach_px, -beyond), max(window.column - reach_px, -beyond)
    bottom = min(window.row + window.height + reach_px, shape[0] + beyond)
    right = min(window.column + window.width + reach_px, shape[1] + beyond)
    return Window(top, left, bottom - top, right - left)


def compute_passes(
    passes: Sequence[Upscaler], lr: Floats, window: Window, reduce: Reduce
) -> tuple[Floats, Floats]:
    """The passes' common answer for one window of the scene, and their spread; each with its own halo."""
    return combine((compute_window(up, lr, window) for up in passes), reduce)


def tile_tasks(
    function: Callable[[Window], Answer], shape: tuple[int, int], tile_px: int
) -> list[tuple[Window, Delayed]]:
    """Every tile once, not yet computed: its window in scene pixels, and the promise of its answer."""
    # pure=False: hashing the function would walk through the scene and the network's weights.
    task = delayed(function, pure=False)
    return [(window, task(window)) for window in tile_windows(shape, tile_px)]


def map_tiles(
    function: Callable[[Window], Floats],
    shape: tuple[int, int],
    tile_px: int,
    scale: int,
    *,
    scheduler: Literal["threads", "synchronous"] = "threads",
    workers: int = 1,
) -> Floats:
    """A whole scene's answer in memory, tile by tile.

    Args:
        function: A window of the scene to (scale * height, scale * width) float32; safe to run in threads.
        shape: Rows and columns of the scene.
        tile_px: Side of a tile, in scene pixels; any size.
        scale: Linear enlargement.
        scheduler: Dask's: threads of this process, or one tile after another.
        workers: Tiles at a time; torch's threads come on top (`device.share_threads`).

    Returns:
        (scale * y, scale * x) float32.
    """
    answer = np.empty((shape[0] * scale, shape[1] * scale), dtype=np.float32)

    def fill(window: Window) -> None:
        answer[window.refine(scale).slices] = function(window)

    tasks = [task for _, task in tile_tasks(fill, shape, tile_px)]
    compute(*tasks, scheduler=scheduler, num_workers=workers)  # type: ignore[no-untyped-call]
    return answer

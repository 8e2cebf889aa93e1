"""How far a network sees, worked out exactly: every layer says which pixels it looks at for a run of pixels.

Windows lie on a lattice that is fixed to the scene, so a pixel at their edge sees farther to one side than
to the other; the reach is the farthest that any pixel of the lattice sees. Columns are as rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

Run: TypeAlias = tuple[int, int]  # first and last pixel along one axis
Look: TypeAlias = Callable[[Run], Run]


def convolution_look(half_px: int) -> Look:
    """A convolution or a pooling that looks `half_px` to either side."""
    return lambda run: (run[0] - half_px, run[1] + half_px)


def window_look(window_px: int, *, shift_px: int = 0, overlap_px: int = 0) -> Look:
    """Windows side by side, the first one beginning at `shift_px`, that see `overlap_px` beyond."""

    def look(run: Run) -> Run:
        first = (run[0] - shift_px) // window_px * window_px + shift_px
        last = (run[1] - shift_px) // window_px * window_px + shift_px + window_px - 1
        return first - overlap_px, last + overlap_px

    return look


def beside_look(*looks: Look) -> Look:
    """Layers side by side, whose answers are added."""

    def look(run: Run) -> Run:
        runs = [each(run) for each in looks]
        return min(first for first, _ in runs), max(last for _, last in runs)

    return look


def reach_of(looks: Sequence[Look], lattice_px: int = 1) -> int:
    """The farthest that a pixel sees through layers in this order, whatever its place on the lattice."""
    reach_px = 0
    for pixel in range(lattice_px):
        run = (pixel, pixel)
        for look in reversed(looks):
            run = look(run)
        reach_px = max(reach_px, pixel - run[0], run[1] - pixel)
    return reach_px

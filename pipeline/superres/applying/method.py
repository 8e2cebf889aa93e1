"""How a picture becomes finer: a base, the network's detail times a gain, a projection.

The same object is applied to the scene and, in its self-test, to a degraded scene: so what is judged
is what is published, to the last step.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray

from pipeline.grid import Window, tile_windows
from pipeline.superres.applying.passes import Reduce
from pipeline.superres.applying.upscaler import Plane, Upscaler
from pipeline.superres.applying.windows import compute_passes, compute_window
from pipeline.superres.bases.projection import Projection

PIECE_PX = 512  # a tile with its halo is one piece


@dataclass(frozen=True)
class Picture:
    """What is enlarged.

    Attributes:
        lr: (y, x) float32 in working units, holes filled.
        valid: (y, x), true where `lr` was measured.
        gain: (y, x) float32, 0 to 1.5: how much of the network's detail is wanted.
    """

    lr: Plane
    valid: NDArray[np.bool_]
    gain: Plane

    @classmethod
    def of(cls, lr: Plane, valid: Bool[NDArray[np.bool_], "y x"], gain: float = 1.0) -> Picture:
        """A picture with the same gain everywhere, which takes no memory."""
        return cls(lr, valid, np.broadcast_to(np.float32(gain), lr.shape))

    @property
    def window(self) -> Window:
        """All of it."""
        return Window(0, 0, *self.lr.shape)


class Answer(NamedTuple):
    """A finer window in working units; `spread` is the standard deviation over the network's passes."""

    hr: Plane
    spread: Plane


class Parts(NamedTuple):
    """What an answer is put together from, for any gain; (y, x) on the fine grid of `outer`.

    Attributes:
        base: Without the network.
        detail: What the network adds at full gain.
        spread: Standard deviation over the network's passes, at full gain.
        window: What is answered for, in scene pixels.
        outer: The window with the halo of the projection.
    """

    base: Plane
    detail: Plane
    spread: Plane
    window: Window
    outer: Window


@dataclass(frozen=True)
class Method:
    """Pure; the same pixels whatever the windows.

    Attributes:
        base: What is published without the network.
        passes: Ways to apply the network, each over the base that it was taught over; none without a network.
        reduce: How the passes become one answer.
        projection: The last step; None leaves the answer as it is.
    """

    base: Upscaler
    passes: tuple[Upscaler, ...] = ()
    reduce: Reduce = "mean"
    projection: Projection | None = None

    @property
    def scale(self) -> int:
        """Linear enlargement."""
        return self.base.scale

    def __call__(self, picture: Picture, window: Window) -> Answer:
        """One window of the picture, `scale` times finer."""
        return self.finish(picture, self.parts(picture, window))

    def parts(self, picture: Picture, window: Window) -> Parts:
        """Base and detail of a window; no detail where the picture wants none."""
        # Beyond the scene's own border every step mirrors it by itself; inside, a halo is borrowed.
        outer = window.grow(self.projection.reach_px if self.projection is not None else 0, picture.lr.shape)
        fine = (outer.height * self.scale, outer.width * self.scale)
        base, detail, spread = (np.zeros(fine, dtype=np.float32) for _ in range(3))
        for piece in self._pieces(outer):
            there = piece.within(outer).refine(self.scale).slices
            base[there] = compute_window(self.base, picture.lr, piece)
            if self.passes and picture.gain[piece.slices].any():
                mean, spread[there] = compute_passes(self.passes, picture.lr, piece, self.reduce)
                detail[there] = mean - base[there]
        return Parts(base, detail, spread, window, outer)

    def _pieces(self, window: Window) -> list[Window]:
        """The window in pieces, so that a whole scene takes no more memory in a network than one of them."""
        if any(up.reach_px is None for up in (self.base, *self.passes)):
            return [window]  # each piece would look at the whole scene
        pieces = tile_windows((window.height, window.width), PIECE_PX)
        return [
            dataclasses.replace(p, row=window.row + p.row, column=window.column + p.column) for p in pieces
        ]

    def finish(self, picture: Picture, parts: Parts) -> Answer:
        """Base, gain times detail, projection."""
        outer = parts.outer
        gain = picture.gain[outer.slices]
        fine_gain = np.repeat(np.repeat(gain, self.scale, axis=0), self.scale, axis=1)
        hr = parts.base + fine_gain * parts.detail
        if self.projection is not None:
            hr = self.projection(hr, picture.lr[outer.slices], picture.valid[outer.slices])
        inner = parts.window.within(outer).refine(self.scale).slices
        spread = fine_gain * parts.spread
        return Answer(*(np.ascontiguousarray(part[inner]) for part in (hr, spread)))

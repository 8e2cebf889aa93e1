"""The nouns of applying: a piece of a scene, and something that enlarges it.

Whoever calls an `Upscaler` gives it more of the scene than is wanted and throws the
border away, `reach_px` wide: there the answer may depend on where the piece was cut.
Beyond a scene's own border the scene is mirrored, so no method ever meets a border.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from pipeline.grid import Window
from pipeline.raster import cut_mirrored

Plane = Float32[NDArray[np.float32], "_ _"]  # pieces and their enlargements: sizes differ in one call


@dataclass(frozen=True)
class Piece:
    """A piece of a scene, and of its enlargement by a base.

    Attributes:
        lr: (y, x) working units, without NaN.
        base: (scale * y, scale * x) the same ground, enlarged; None for methods without a base.
        origin: The scene's row and column of the first pixel; may be negative.
        wanted: The part that is answered for, in pixels of the piece; the rest is halo.
    """

    lr: Plane
    base: Plane | None
    origin: tuple[int, int]
    wanted: Window

    @classmethod
    def whole(cls, lr: Plane, base: Plane | None = None, origin: tuple[int, int] = (0, 0)) -> Piece:
        """A piece without halo."""
        return cls(lr, base, origin, Window(0, 0, *lr.shape))

    def cut(self, window: Window, scale: int) -> Piece:
        """A part of the piece that may reach beyond its edges, where it is mirrored; all of it is wanted."""
        base = None if self.base is None else cut_mirrored(self.base, window.refine(scale))
        origin = (self.origin[0] + window.row, self.origin[1] + window.column)
        return Piece.whole(cut_mirrored(self.lr, window), base, origin)


@dataclass(frozen=True)
class Upscaler:
    """Enlarges a piece of a scene.

    Attributes:
        apply: A piece to (scale * y, scale * x) float32: what is to be added to the piece's base, or the
            whole answer where there is no base. Only the wanted part counts. Pure.
        scale: Linear enlargement.
        own_reach_px: How far one scene pixel can change what `apply` gives, its base left aside, in scene
            (LR) pixels along rows or columns; None if every pixel counts everywhere.
        base: What is added to; an upscaler without a base of its own, or None.
        eight: The mean over the eight turns of a piece, and its standard deviation, of the wanted part alone,
            where that is quicker than turn by turn; else None.
    """

    apply: Callable[[Piece], Plane]
    scale: int
    own_reach_px: int | None
    base: Upscaler | None = None
    eight: Callable[[Piece], tuple[Plane, Plane]] | None = None

    def __post_init__(self) -> None:
        if self.scale < 1:
            raise ValueError(f"scale must be at least 1, got {self.scale}")
        if self.own_reach_px is not None and self.own_reach_px < 0:
            raise ValueError(f"own_reach_px must not be negative, got {self.own_reach_px}")

    @property
    def reach_px(self) -> int | None:
        """How far one scene pixel can change the answer, the base's part included; None: everywhere."""
        base_px = 0 if self.base is None else self.base.reach_px
        return None if self.own_reach_px is None or base_px is None else self.own_reach_px + base_px

    def __call__(self, lr: Plane, origin: tuple[int, int] = (0, 0)) -> Plane:
        """(y, x) whose first pixel is the scene's `origin`, all of it wanted, to (scale * y, scale * x)."""
        base = None if self.base is None else self.base(lr)
        hr = self.added(Piece.whole(lr, base, origin))
        return hr if base is None else base + hr

    def added(self, piece: Piece) -> Plane:
        """`apply`, its answer checked: ValueError where shape or dtype are not those that were promised."""
        hr = self.apply(piece)
        wanted = (piece.lr.shape[0] * self.scale, piece.lr.shape[1] * self.scale)
        if hr.shape != wanted or hr.dtype != np.float32:
            raise ValueError(
                f"x{self.scale} of {piece.lr.shape} pixels must be {wanted} float32, "
                f"got {hr.shape} {hr.dtype}"
            )
        return hr

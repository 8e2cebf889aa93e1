"""The noun for "something that enlarges a piece of a scene", and how far it looks.

Whoever calls an `Upscaler` gives it more of the scene than is wanted and throws the
border away, `reach_px` wide: there the answer may depend on where the piece was cut.
Beyond a scene's own border the scene is mirrored, so no method ever meets a border.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Upscaler:
    """Enlarges a piece of a scene.

    Attributes:
        apply: (y, x) float32 without NaN, and the scene's row and column of its first pixel (may be
            negative), to (scale * y, scale * x) float32. Pure.
        scale: Linear enlargement.
        reach_px: How far one scene pixel can change the answer, in scene (LR) pixels along rows or columns;
            None if every pixel counts everywhere, as with statistics over the whole input.
    """

    apply: Callable[[Floats, tuple[int, int]], Floats]
    scale: int
    reach_px: int | None

    def __post_init__(self) -> None:
        if self.scale < 1:
            raise ValueError(f"scale must be at least 1, got {self.scale}")
        if self.reach_px is not None and self.reach_px < 0:
            raise ValueError(f"reach_px must not be negative, got {self.reach_px}")

    def __call__(self, lr: Floats, origin: tuple[int, int] = (0, 0)) -> Floats:
        """(y, x) whose first pixel is the scene's `origin`, to (scale * y, scale * x)."""
        hr = self.apply(lr, origin)
        wanted = (lr.shape[0] * self.scale, lr.shape[1] * self.scale)
        if hr.shape != wanted or hr.dtype != np.float32:
            raise ValueError(
                f"x{self.scale} of {lr.shape} pixels must be {wanted} float32, got {hr.shape} {hr.dtype}"
            )
        return hr

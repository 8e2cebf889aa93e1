"""How a picture becomes finer: a base, the network's detail times a gain, a projection.

The same object is applied to the scene and, in its self-test, to a degraded scene. That is the
point of it: what is judged is what is published, to the last step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.grid import Window
from pipeline.superres.applying.passes import Reduce
from pipeline.superres.applying.upscaler import Upscaler
from pipeline.superres.applying.windows import compute_passes, compute_window
from pipeline.superres.bases.projection import Projection

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Picture:
    """What is enlarged.

    Attributes:
        lr: (y, x) float32 in working units, holes filled.
        valid: (y, x), true where `lr` was measured.
        gain: (y, x) float32, 0 to 1: how much of the network's detail is wanted.
    """

    lr: Floats
    valid: NDArray[np.bool_]
    gain: Floats

    @classmethod
    def of(cls, lr: Floats, valid: NDArray[np.bool_], gain: float = 1.0) -> Picture:
        """A picture with the same gain everywhere."""
        return cls(lr, valid, np.full(lr.shape, gain, dtype=np.float32))

    @property
    def window(self) -> Window:
        """All of it."""
        return Window(0, 0, *self.lr.shape)


class Answer(NamedTuple):
    """A finer window in working units; `spread` is the standard deviation over the network's passes."""

    hr: Floats
    base: Floats
    spread: Floats


@dataclass(frozen=True)
class Method:
    """Pure; the same pixels whatever the windows.

    Attributes:
        base: What the network adds to.
        passes: Ways to apply the network, each giving base and detail together; none without a network.
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

    def without_network(self) -> Method:
        """The base alone, projected."""
        return replace(self, passes=())

    def __call__(self, picture: Picture, window: Window) -> Answer:
        """One window of the picture, `scale` times finer."""
        # Beyond the scene's own border every step mirrors it by itself; inside, a halo is borrowed.
        outer = window.grow(self.projection.reach_px if self.projection is not None else 0, picture.lr.shape)
        base = compute_window(self.base, picture.lr, outer)
        hr, spread = base, np.zeros_like(base)
        gain = picture.gain[outer.slices]
        if self.passes and gain.any():
            mean, spread = compute_passes(self.passes, picture.lr, outer, self.reduce)
            fine_gain = np.repeat(np.repeat(gain, self.scale, axis=0), self.scale, axis=1)
            hr = base + fine_gain * (mean - base)
            spread = fine_gain * spread
        if self.projection is not None:
            hr = self.projection(hr, picture.lr[outer.slices], picture.valid[outer.slices])
        inner = window.within(outer).refine(self.scale).slices
        return Answer(*(np.ascontiguousarray(part[inner]) for part in (hr, base, spread)))

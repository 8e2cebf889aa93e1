"""Small upscalers with known reach, which make a mess at the borders of what they are given."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from pipeline.grid import tile_windows
from pipeline.superres.applying.enlarge import network_upscaler
from pipeline.superres.applying.upscaler import Upscaler
from pipeline.superres.bases.base import bicubic_base


@dataclass(frozen=True)
class Repeat:
    """The plainest base: every pixel split."""

    scale: int
    reach_px: int = 0

    def __call__(self, lr):
        return np.repeat(np.repeat(lr, self.scale, axis=0), self.scale, axis=1)


class SmallNetwork(nn.Module):
    """Random convolutions of the scene without its local mean, zeros beyond the border."""

    reach_px = 2 + 1 + 1

    def __init__(self, scale: int, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.scale = scale
        self.register_buffer("first", torch.randn(8, 1, 5, 5, generator=generator) / 5)
        self.register_buffer("last", torch.randn(scale**2, 8, 3, 3, generator=generator) / 5)

    def forward(self, lr, base):
        detail = lr - functional.avg_pool2d(lr, 3, stride=1, padding=1, count_include_pad=False)
        hidden = torch.relu(functional.conv2d(detail, self.first, padding=2))
        return base + functional.pixel_shuffle(functional.conv2d(hidden, self.last, padding=1), self.scale)


def small_upscaler(scale: int = 2) -> Upscaler:
    """Reach 4, over the plainest base."""
    return network_upscaler(SmallNetwork(scale), base=Repeat(scale), device=torch.device("cpu"))


def smooth_upscaler(scale: int = 4) -> Upscaler:
    """Reach 6, over a base without steps."""
    return network_upscaler(SmallNetwork(scale), base=bicubic_base(scale), device=torch.device("cpu"))


def global_upscaler(scale: int = 2) -> Upscaler:
    """Sees all it is given, like group normalization: adds the contrast to the mean of the input."""

    def apply(piece):
        mean = piece.lr.mean(dtype=np.float64)
        return (Repeat(scale)(piece.lr).astype(np.float64) * 1.5 - 0.5 * mean).astype(np.float32)

    return Upscaler(apply, scale, None)


def map_tiles(function, shape, tile_px, scale, *, workers=1):
    """A whole scene's answer, tile by tile: `function` takes a window of the scene."""
    answer = np.empty((shape[0] * scale, shape[1] * scale), dtype=np.float32)

    def fill(window):
        answer[window.refine(scale).slices] = function(window)

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(fill, tile_windows(shape, tile_px)))
    return answer


def hills(height: int, width: int) -> np.ndarray:
    """(height, width) float32 kelvin, smooth: whatever is rough in an answer was made on the way."""
    rows, columns = np.mgrid[:height, :width]
    return (290 + 5 * np.sin(rows / 9) + 4 * np.cos(columns / 7 + rows / 11)).astype(np.float32)


def landscape(height: int, width: int, seed: int = 0) -> np.ndarray:
    """(height, width) float32 kelvin: hills, a river's edge, a little noise."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    rough = generator.normal(0, 0.2, (height, width)) - 6 * (columns > rows)
    return (hills(height, width) + rough).astype(np.float32)

"""What was written, in figures, counted while the tiles are written.

Nobody reads a large store twice to learn its mean. Sums are kept per tile and added
in the tiles' order, so the figures do not depend on how many workers there were.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from pipeline import figures
from pipeline.grid import Window
from pipeline.raster import bicubic, block_means
from pipeline.scene import FLAG_MEANINGS, Pixels


@dataclass(frozen=True)
class TileFigures:
    """What is remembered of a tile after it was written; float64 sums over its pixels.

    Attributes:
        valid: Pixels with data.
        sum_k: Sum of their temperatures.
        min_k: Lowest, +inf without data.
        max_k: Highest, -inf without data.
        flags: Pixels by flag value.
        blocks: Scene pixels whose whole block has data.
        block_sum_k: Sum over these of block mean minus scene.
        block_square_k2: Sum of its square.
        learned_k2: Sum over pixels of what the network added times the difference to bicubic.
        to_bicubic_k2: Sum of the square of that difference; 0 where nobody asked what the network added.
    """

    valid: int
    sum_k: float
    min_k: float
    max_k: float
    flags: Mapping[int, int]
    blocks: int
    block_sum_k: float
    block_square_k2: float
    learned_k2: float = 0.0
    to_bicubic_k2: float = 0.0


@dataclass(frozen=True)
class StoreSummary:
    """What was written, in figures.

    Attributes:
        path: The store.
        variable: Name of the temperature in it.
        shape: Rows and columns.
        chunk_px: Rows and columns of a chunk.
        tiles: Number of tiles, each computed once.
        valid_fraction: Share of pixels with data.
        min_k: Lowest temperature; NaN without data, as the following.
        mean_k: Mean temperature.
        max_k: Highest temperature.
        block_bias_k: Mean of (mean over scale x scale pixels minus the scene's pixel).
        block_rms_k: Root mean square of the same.
        flag_fractions: Share of pixels by flag meaning.
        learned_fraction: The network's share of the difference to bicubic; None where nobody asked.
    """

    path: Path
    variable: str
    shape: tuple[int, int]
    chunk_px: tuple[int, int]
    tiles: int
    valid_fraction: float
    min_k: float
    mean_k: float
    max_k: float
    block_bias_k: float
    block_rms_k: float
    flag_fractions: Mapping[str, float] = field(default_factory=dict)
    learned_fraction: float | None = None

    def figures(self) -> dict[str, float]:
        """The numbers for a record, by name."""
        numbers = {
            figures.VALID: self.valid_fraction,
            figures.MIN: self.min_k,
            figures.MEAN: self.mean_k,
            figures.MAX: self.max_k,
            figures.BLOCK_BIAS: self.block_bias_k,
            figures.BLOCK_RMS: self.block_rms_k,
            **{figures.FLAGS[value]: self.flag_fractions[name] for value, name in FLAG_MEANINGS.items()},
        }
        if self.learned_fraction is not None:
            numbers[figures.LEARNED_SHARE] = self.learned_fraction
        return {figure.name: number for figure, number in numbers.items()}


def count_tile(
    pixels: Pixels, scene: Float32[NDArray[np.float32], "y x"], window: Window, scale: int
) -> TileFigures:
    """Count the tile that lies over a window of the scene's (y, x) temperature."""
    coarse = scene[window.slices]
    valid = pixels.temperature[np.isfinite(pixels.temperature)].astype(np.float64)
    difference = block_means(pixels.temperature, scale, least_valid=scale**2) - coarse
    difference = difference[np.isfinite(difference)]
    values, counts = np.unique(pixels.flag, return_counts=True)
    return TileFigures(
        valid=valid.size,
        sum_k=float(valid.sum()),
        min_k=float(valid.min(initial=np.inf)),
        max_k=float(valid.max(initial=-np.inf)),
        flags={int(value): int(count) for value, count in zip(values, counts, strict=True)},
        blocks=difference.size,
        block_sum_k=float(difference.sum()),
        block_square_k2=float(np.square(difference).sum()),
        **_learned(pixels, scene, window, scale),
    )


def _learned(
    pixels: Pixels, scene: Float32[NDArray[np.float32], "y x"], window: Window, scale: int
) -> dict[str, float]:
    """How much of the difference to bicubic is the network's: both as sums of products, which add up."""
    if pixels.learned is None:
        return {}
    difference = pixels.temperature.astype(np.float64) - bicubic(scene, window, scale)
    known = np.isfinite(difference)
    difference, learned = difference[known], pixels.learned[known]
    return {"learned_k2": float((difference * learned).sum()), "to_bicubic_k2": float((difference**2).sum())}


def summarize(
    path: Path,
    variable: str,
    shape: tuple[int, int],
    *,
    chunks: tuple[int, int],
    tiles: tuple[TileFigures, ...],
) -> StoreSummary:
    """Add up the tiles of a store, in their order."""
    valid = sum(tile.valid for tile in tiles)
    blocks = sum(tile.blocks for tile in tiles)
    size = shape[0] * shape[1]
    nothing = float("nan")
    learned_k2 = math.fsum(tile.learned_k2 for tile in tiles)
    to_bicubic_k2 = math.fsum(tile.to_bicubic_k2 for tile in tiles)
    return StoreSummary(
        path=path,
        variable=variable,
        shape=shape,
        chunk_px=chunks,
        tiles=len(tiles),
        valid_fraction=valid / size,
        min_k=min(tile.min_k for tile in tiles) if valid else nothing,
        mean_k=math.fsum(tile.sum_k for tile in tiles) / valid if valid else nothing,
        max_k=max(tile.max_k for tile in tiles) if valid else nothing,
        block_bias_k=math.fsum(tile.block_sum_k for tile in tiles) / blocks if blocks else nothing,
        block_rms_k=math.sqrt(math.fsum(tile.block_square_k2 for tile in tiles) / blocks)
        if blocks
        else nothing,
        flag_fractions={
            meaning: sum(tile.flags.get(value, 0) for tile in tiles) / size
            for value, meaning in FLAG_MEANINGS.items()
        },
        learned_fraction=learned_k2 / to_bicubic_k2 if to_bicubic_k2 else None,
    )

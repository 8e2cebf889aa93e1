"""Where a training looks: how often at each part of the scene, as its patches are drawn, and where never."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Float64
from numpy.typing import NDArray

from pipeline.superres.streams import Stream
from pipeline.superres.training.levels import Level
from pipeline.superres.training.pairs import ScenePairs

CELLS = 64  # a side, in which the scene is looked at
PARTS = 8  # a side, which are told one by one
HELD_OUT_BLOCK_PX = 32
HELD_OUT_SHARE = 4  # one block in four is held out


def coverage(pairs: ScenePairs, valid: Bool[NDArray[np.bool_], "y x"], patches: int) -> dict[str, Any]:
    """In how many patches a place of the scene is expected to be, whatever the level of the pyramid.

    Args:
        pairs: Of the scene.
        valid: True where the scene has data.
        patches: How many were drawn.

    Returns:
        Plain JSON: the share of valid places that are expected in one patch or more, and the expected
        patches in each of 8 x 8 parts of the scene, row by row.
    """
    area = np.array([level.truth.size for level in pairs.levels], dtype=np.float64)
    shares = [_chance(level, pairs) for level in pairs.levels]
    weights = area / area.sum()
    seen = patches * np.sum([w * share for w, share in zip(weights, shares, strict=True)], axis=0)
    measured = _cells(valid.astype(np.float64)) > 0
    side = CELLS // PARTS
    parts = seen.reshape(PARTS, side, PARTS, side).mean(axis=(1, 3))
    return {
        "patches": patches,
        "patch_coverage_fraction": float((seen[measured] >= 1).mean()) if measured.any() else 0.0,
        "patches_by_part": np.round(parts, 1).tolist(),
    }


def _chance(level: Level, pairs: ScenePairs) -> Float64[NDArray[np.float64], "cell cell"]:
    """Chance that a patch of this level holds a place."""
    (height, width), crop = level.lr.shape, pairs.drawn_px
    chosen = pairs.settings.informative_fraction
    centers = chosen * np.diff(level.informative, prepend=0) + (1 - chosen) * np.diff(
        level.anywhere, prepend=0
    )
    rows, columns = np.divmod(np.arange(height * width), width)
    corners = np.zeros((height + 1, width + 1))
    top, left = (
        np.clip(place - crop // 2, 0, size - crop) for place, size in ((rows, height), (columns, width))
    )
    for row, column, sign in ((0, 0, 1), (crop, 0, -1), (0, crop, -1), (crop, crop, 1)):
        np.add.at(corners, (top + row, left + column), sign * centers)
    return _cells(corners.cumsum(axis=0).cumsum(axis=1)[:height, :width])


def _cells(values: Float64[NDArray[np.float64], "_ _"]) -> Float64[NDArray[np.float64], "cell cell"]:
    """The nearest values on a grid of `CELLS` a side."""
    rows, columns = (((np.arange(CELLS) + 0.5) / CELLS * size).astype(int) for size in values.shape)
    return values[np.ix_(rows, columns)]


def held_out_blocks(shape: tuple[int, ...], seed: int) -> Bool[NDArray[np.bool_], "y x"]:
    """True in one of every 2 x 2 blocks, drawn, so that held-out pixels lie all over the scene."""
    generator = Stream.PAIRS.generator(seed, 1)
    side = min(HELD_OUT_BLOCK_PX, max(min(shape) // 4, 1))
    blocks = [-(-size // side) for size in shape]
    rows, columns = (-(-count // 2) for count in blocks)
    chosen = generator.integers(HELD_OUT_SHARE, size=(rows, columns))
    quads = np.zeros((2 * rows, 2 * columns), dtype=bool)
    row, column = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    quads[2 * row + chosen // 2, 2 * column + chosen % 2] = True
    fine = np.repeat(np.repeat(quads, side, axis=0), side, axis=1)
    return fine[: shape[0], : shape[1]]

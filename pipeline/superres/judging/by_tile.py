"""Where the self-test was won and where it was lost: errors tile by tile.

One figure for a whole scene hides a city where sharpening fails behind a plain where it cannot. So every
tile of 16 pixels is compared by itself, and the worst one is named.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from pipeline.superres.judging.selftest import TILE_PX, SelfTest, tile_sums

MIN_TILE_PIXELS = 64  # a quarter of a tile
NO_ERROR_K = 1e-3  # two errors below it are equal
# Ends of the histograms' bins; what lies beyond is counted in the last one.
BICUBIC_EDGES = tuple(round(0.5 + 0.025 * step, 3) for step in range(31))
BASE_EDGES = tuple(round(0.9 + 0.01 * step, 2) for step in range(21))


@dataclass(frozen=True)
class TileErrors:
    """RMSE of the product relative to bicubic's and to the base's, one value a tile; below 1 is better.

    Attributes:
        vs_bicubic: Of those with enough compared pixels.
        vs_base: The same against the base; all 1 where the network is off.
    """

    vs_bicubic: Float64[NDArray[np.float64], " tiles"]
    vs_base: Float64[NDArray[np.float64], " tiles"]

    def figures(self) -> dict[str, float | None]:
        """Shares of tiles that the product wins, and its worst tile; None where it is the base itself."""
        if not self.vs_bicubic.size:
            return {}
        changed = bool((self.vs_base != 1).any())
        return {
            "tiles_beating_bicubic_fraction": float((self.vs_bicubic < 1).mean()),
            "tiles_beating_base_fraction": float((self.vs_base < 1).mean()) if changed else None,
            "worst_tile_vs_bicubic": float(self.vs_bicubic.max()),
            "worst_tile_vs_base": float(self.vs_base.max()) if changed else None,
        }

    def to_json(self) -> dict[str, Any]:
        """Both as histograms, for a picture."""
        histograms = {
            name: {"edges": list(edges), "tiles": _histogram(ratios, edges)}
            for name, ratios, edges in (
                ("vs_bicubic", self.vs_bicubic, BICUBIC_EDGES),
                ("vs_base", self.vs_base, BASE_EDGES),
            )
        }
        return {"tile_px": TILE_PX, **histograms}


def compare_by_tile(test: SelfTest) -> TileErrors:
    """The product beside bicubic and the base, tile by tile of the compared pixels."""
    pixels = tile_sums(test.compared.astype(np.float64))
    used = pixels >= MIN_TILE_PIXELS
    product, smooth, base = (
        tile_sums(np.where(test.compared, answer - test.truth, 0).astype(np.float64) ** 2)[used]
        + pixels[used] * NO_ERROR_K**2
        for answer in (test.product, test.bicubic, test.base)
    )
    return TileErrors(np.sqrt(product / smooth), np.sqrt(product / base))


def _histogram(ratios: NDArray[np.float64], edges: tuple[float, ...]) -> list[int]:
    counts, _ = np.histogram(np.clip(ratios, edges[0], edges[-1]), bins=edges)
    return [int(count) for count in counts]

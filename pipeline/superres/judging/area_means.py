"""How wrong the mean over an area is: what analysts publish, tested on the scene itself.

The surprise: errors of neighbors cancel faster than independent ones, for the projection fixes their mean.
The noise of the measurement is in these figures; alone it falls with the root of the number of scene pixels.
What is common to a whole area is not in them: the sensor's calibration, the retrieval's emissivity.
"""

from __future__ import annotations

import math

import numpy as np

from pipeline.raster import block_means
from pipeline.superres.judging.selftest import SelfTest

AREAS_PX = (1, 4, 16, 64)  # scene pixels in an area, all of them squares
MIN_AREAS = 8


def area_figures(test: SelfTest, scale: int) -> dict[str, float | None]:
    """RMS error of the product's mean over squares of scene pixels, in working units, one scale up.

    Args:
        test: The self-test; its degraded scene had the scene's noise.
        scale: Linear enlargement.

    Returns:
        "area_error_1px_k" and the like; None where fewer than eight squares are compared throughout.
    """
    error = np.where(test.compared, test.product - test.truth, np.float32(np.nan)).astype(np.float64)
    figures: dict[str, float | None] = {}
    for area_px in AREAS_PX:
        side = scale * math.isqrt(area_px)
        blocks = block_means(error, side, least_valid=side**2)
        known = blocks[np.isfinite(blocks)]
        enough = known.size >= MIN_AREAS
        figures[f"area_error_{area_px}px_k"] = float(np.sqrt(np.mean(known**2))) if enough else None
    return figures

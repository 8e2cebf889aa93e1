"""The radiometric contract: blurred and averaged as the sensor does it, the product is the scene.

It is checked on the file as it was written, over measured pixels, tile by tile, so that memory does not grow
with the scene: the 99th percentile is read from a histogram whose steps are half a percent wide.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from pipeline.grid import Window, tile_windows
from pipeline.superres.sensing.prepare import Prepared

TILE_PX = 256
MOST_BIAS_K = 0.01
LEAST_NOISE_K = 2e-3  # what rounding and iteration leave where a scene has no noise
P99_NOISES = 3.0
_EDGES_K = np.concatenate([[0.0], np.geomspace(1e-6, 1e4, 4600), [np.inf]])

Read = Callable[[Window], Float32[NDArray[np.float32], "h w"]]


def consistency_figures(prepared: Prepared, read: Read) -> dict[str, float]:
    """How far the degraded product is from the scene, in working kelvin; empty where nothing can be compared.

    Args:
        prepared: The scene.
        read: A window of the fine grid to the product's kelvin there, NaN for no data.
    """
    degrade, lr, valid = prepared.degrade, prepared.lr, prepared.valid
    total, squares, largest = 0.0, 0.0, 0.0
    counts = np.zeros(_EDGES_K.size - 1, np.int64)
    for window in tile_windows(lr.shape, TILE_PX):
        outer = window.grow(degrade.reach_px, lr.shape)
        seen = degrade(prepared.domain.enter(read(outer.refine(degrade.scale))))
        residual = (seen[window.within(outer).slices] - lr[window.slices])[valid[window.slices]]
        residual = residual[np.isfinite(residual)].astype(np.float64)
        if residual.size:
            total, squares = total + float(residual.sum()), squares + float((residual**2).sum())
            largest = max(largest, float(np.abs(residual).max()))
            counts += np.histogram(np.abs(residual), _EDGES_K)[0]
    count = int(counts.sum())
    if count == 0:
        return {}
    upper = _EDGES_K[1 + int(np.searchsorted(counts.cumsum(), 0.99 * count))]
    return {
        "consistency_rmse_k": math.sqrt(squares / count),
        "consistency_bias_k": total / count,
        "consistency_p99_k": min(float(upper), largest),
        "consistency_max_k": largest,
    }


def broken_contract(figures: Mapping[str, float], noise_k: float) -> str:
    """What a product breaks of the contract, in one line; empty where it keeps it, or nobody can tell.

    Args:
        figures: From `consistency_figures`.
        noise_k: Standard deviation of the scene's noise, kelvin.
    """
    noise_k = max(noise_k, LEAST_NOISE_K)
    limits = {
        "bias": ("consistency_bias_k", MOST_BIAS_K),
        "RMS": ("consistency_rmse_k", noise_k),
        "99th percentile": ("consistency_p99_k", P99_NOISES * noise_k),
    }
    broken = [
        f"{words} {figures[name]:.3g} K, at most {most_k:.3g} K is wanted"
        for words, (name, most_k) in limits.items()
        if not abs(figures.get(name, 0.0)) <= most_k
    ]
    return f"the degraded product is not the scene: {'; '.join(broken)}" if broken else ""

"""A picture for the eye: unsharp masking, stronger where there are edges.

It is never the temperature: the store keeps it in a variable of its own, on request.
Pixels are read from the store a chunk at a time with a halo, so memory stays small.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import zarr
from jaxtyping import Float32, Float64
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.grid import Window, tile_windows

SIGMA_PX = 1.0
_HALO_PX = 5  # the blur reaches four pixels, the Laplacian one; they do not add up


@dataclass(frozen=True)
class Unsharp:
    """How much is sharpened.

    Attributes:
        strength: Share of the difference from the blurred picture that is added.
        largest_share: Of the sharpened picture in the result, where the edge is strongest.
    """

    strength: float = 0.5
    largest_share: float = 0.3


def write_unsharp_mask(temperature: zarr.Array[Any], target: zarr.Array[Any], how: Unsharp) -> None:
    """Sharpen a stored (y, x) temperature into another array of the same shape and chunks, by chunks."""
    shape = cast(tuple[int, int], temperature.shape)
    windows = tile_windows(shape, max(temperature.chunks))
    strongest = max(_strongest_edge(temperature, window) for window in windows)
    for window in windows:
        grown = window.grow(_HALO_PX, shape)
        sharpened = unsharp_mask(_read(temperature, grown), how, strongest_k=strongest)
        target[window.slices] = sharpened[window.within(grown).slices]


def unsharp_mask(
    temperature: Float32[NDArray[np.float32], "y x"], how: Unsharp, *, strongest_k: float
) -> Float32[NDArray[np.float32], "y x"]:
    """The original's post-processing: (y, x) kelvin, sharpened by a share of an unsharp mask.

    Args:
        temperature: NaN where there is no data; missing pixels neither blur nor sharpen their neighbors.
        how: How much.
        strongest_k: The magnitude of the Laplacian that counts as a full edge.
    """
    valid = np.isfinite(temperature)
    values = np.where(valid, temperature, 0).astype(np.float64)
    weight = _blur(valid.astype(np.float64))
    blurred = np.divide(_blur(values), weight, out=values.copy(), where=valid)
    share = how.largest_share * np.clip(_edges(temperature) / max(strongest_k, 1e-9), 0, 1)
    sharpened = values + share * how.strength * (values - blurred)
    return np.where(valid, sharpened, np.nan).astype(np.float32)


def _strongest_edge(temperature: zarr.Array[Any], window: Window) -> float:
    grown = window.grow(_HALO_PX, cast(tuple[int, int], temperature.shape))
    return float(_edges(_read(temperature, grown))[window.within(grown).slices].max(initial=0))


def _read(temperature: zarr.Array[Any], window: Window) -> Float32[NDArray[np.float32], "y x"]:
    return np.asarray(temperature[window.slices])


def _edges(temperature: Float32[NDArray[np.float32], "y x"]) -> Float64[NDArray[np.float64], "y x"]:
    """Magnitude of the Laplacian, kelvin; zero beside missing pixels, whose edge is none of the scene."""
    laplacian = np.abs(ndimage.laplace(temperature.astype(np.float64), mode="nearest"))
    return np.where(np.isfinite(laplacian), laplacian, 0)


def _blur(values: Float64[NDArray[np.float64], "y x"]) -> Float64[NDArray[np.float64], "y x"]:
    return ndimage.gaussian_filter(values, SIGMA_PX, mode="nearest", truncate=4.0)

"""Synthetic temperature for tests of the physics: rough as the ground is, with a known spectrum."""

from functools import lru_cache

import numpy as np
from scipy import ndimage


def rough(shape, seed=0, slope=1.5, contrast_k=4.0):
    """(y, x) float32 kelvin around 300 whose power falls as roughness^-slope, roughness being the negative
    Laplacian's eigenvalue, about the squared frequency; cut from a larger field."""
    return (300 + contrast_k * _field(shape, seed, slope)).astype(np.float32)


@lru_cache(maxsize=8)
def _field(shape, seed, slope):
    line_y, line_x = (2 - 2 * np.cos(2 * np.pi * np.fft.fftfreq(2 * side)) for side in shape)
    roughness = np.add.outer(line_y, line_x)
    roughness[0, 0] = np.inf
    noise = np.random.default_rng(seed).normal(size=roughness.shape)
    plane = np.fft.ifft2(np.fft.fft2(noise) * roughness ** (-slope / 2)).real[: shape[0], : shape[1]]
    return (plane - plane.mean()) / plane.std()


def holes(shape, seed=0, share=0.3):
    """(y, x) mask, true where missing: blobs of a few pixels and single pixels."""
    generator = np.random.default_rng(seed)
    field = rough(shape, seed, slope=2.0)
    return (field > np.quantile(field, 1 - share)) | (generator.random(shape) < 0.01)


def smooth_noise(side=96, seed=0):
    """(side, side) float32 without a unit: white noise blurred by a Gaussian of 1.5 pixels."""
    noise = np.random.default_rng(seed).normal(size=(side, side))
    return ndimage.gaussian_filter(noise, 1.5).astype(np.float32)


def leaning(scale, long_px=1.0, short_px=0.4, angle=0.6):
    """A Gaussian kernel on the fine grid, longer along one direction: no column and row make it.

    Its sides are in scene pixels, the angle in radians from the rows.
    """
    half = round(4 * long_px * scale)
    y, x = np.mgrid[-half : half + 1, -half : half + 1] / scale
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    return np.exp(-0.5 * ((along / long_px) ** 2 + (across / short_px) ** 2))

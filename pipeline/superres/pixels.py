"""The product's pixels: which gain and which flag each has, and any window of them on demand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, uniform_filter

from pipeline.grid import Window
from pipeline.raster import cut_mirrored, in_bands, known_sample, split_pixels, thinned
from pipeline.scene import (
    FLAG_ARTIFACT,
    FLAG_EDGE,
    FLAG_FALLBACK,
    FLAG_FILLED_NEIGHBOR,
    FLAG_GOOD,
    FLAG_NO_DATA,
    FLAG_OUT_OF_RANGE,
    Pixels,
)
from pipeline.superres.applying.method import Method, Parts, Picture
from pipeline.superres.detail import Detail
from pipeline.superres.judging.assess import Assessment
from pipeline.superres.judging.contract import consistency_figures
from pipeline.superres.judging.error_model import ErrorModel
from pipeline.superres.judging.selftest import enlarge_smoothly
from pipeline.superres.sensing.holes import near_border, near_missing
from pipeline.superres.sensing.prepare import Prepared

Plane = Float32[NDArray[np.float32], "_ _"]  # coarse and fine ones stand in one call
Mask = Bool[NDArray[np.bool_], "y x"]
Flags = UInt8[NDArray[np.uint8], "y x"]

EDGE_PX = 2  # scene pixels along the border whose surroundings are mirrored, not measured
NEIGHBOR_PX = 2  # scene pixels beside a hole, which depend on filled values
RANGE_LIMIT = 10.0  # local contrast, in RMS of the scene's detail, that no training pair reaches
RANGE_WINDOW_PX = 9
UNSURE_TIMES = 3.0  # the scene's contrast
SPOT_SHARE = 0.75  # of a spot's contrast; flat spots of one scene pixel overshoot by 0.2 to 0.75 of it
LEAST_CONTRAST = 0.1  # working kelvin; a scene of less contrast is counted as one of this much


@dataclass(frozen=True)
class ProductPixels:
    """The product's pixels, window by window; an object and no closure, so that it travels to workers."""

    method: Method
    picture: Picture
    prepared: Prepared
    errors: ErrorModel
    activity: Plane
    flags: Flags
    unsure: float  # working units; pixels with a larger standard error are flagged
    local: Plane  # working units; errors of damage and of spots, which no self-test knows
    tells_learned: bool = False

    @classmethod
    def of(
        cls,
        method: Method,
        prepared: Prepared,
        detail: Detail,
        assessment: Assessment,
        contrast: Plane,
        *,
        tells_learned: bool,
    ) -> ProductPixels:
        """The pixels with the gain that was decided, and none where the network is out of its range."""
        gain = assessment.gain.value
        beyond = _beyond_range(prepared.lr, prepared.valid)
        picture = _picture(prepared, gain, beyond)
        flags = _flags(picture, gain, beyond, prepared.measured.artifacts.damaged, wanted=detail.wanted)
        known = _unsure(prepared), _local(prepared, beyond), tells_learned
        return cls(method, picture, prepared, assessment.errors, contrast, flags, *known)

    def __call__(self, window: Window) -> Pixels:
        """Fine pixels of a window of the scene, in kelvin."""
        scale = self.method.scale
        valid = split_pixels(self.picture.valid[window.slices], scale)
        flag = split_pixels(self.flags[window.slices], scale)
        if not valid.any():  # a scene cut from a swath may be empty for the most part
            nothing = np.full(valid.shape, np.nan, dtype=np.float32)
            learned = nothing.copy() if self.tells_learned else None
            return Pixels(temperature=nothing, uncertainty=nothing.copy(), flag=flag, learned=learned)
        parts = self.method.parts(self.picture, window)
        answer = self.method.finish(self.picture, parts)
        kelvin = self.prepared.domain.leave(answer.hr)
        contrast = _smooth_window(self.activity, window, scale)
        sigma = self.errors.sigma(contrast, answer.spread)
        sigma = np.hypot(sigma, _smooth_window(self.local, window, scale))
        flag = np.where((flag == FLAG_GOOD) & (sigma > self.unsure), np.uint8(FLAG_OUT_OF_RANGE), flag)
        sigma = sigma * self.prepared.domain.kelvin_per_unit(kelvin)
        missing = np.float32(np.nan)
        learned = np.where(valid, kelvin - self._base(parts), missing) if self.tells_learned else None
        return Pixels(
            temperature=np.where(valid, kelvin, missing).astype(np.float32),
            uncertainty=np.where(valid, sigma, missing).astype(np.float32),
            flag=flag,
            learned=learned,
        )

    def without_network(self) -> ProductPixels:
        """The base alone, with flags that say so."""
        picture = Picture.of(self.picture.lr, self.picture.valid, 0.0)
        flags = np.where(self.flags == FLAG_GOOD, np.uint8(FLAG_FALLBACK), self.flags)
        return dataclasses.replace(self, picture=picture, flags=flags)

    def _base(self, parts: Parts) -> Plane:
        """The same window without the network, projected as the product is; (y, x) kelvin."""
        return self.prepared.domain.leave(self.method.finish(self.without_network().picture, parts).hr)

    def consistency(self, read: Callable[[Window], Plane]) -> dict[str, float]:
        """As `consistency_figures`, of what `read` gives."""
        return consistency_figures(self.prepared, read)


def _smooth_window(values: Plane, window: Window, scale: int) -> Plane:
    """A window of a coarse map on the fine grid, the same whatever the window."""
    outer = Window(window.row - 1, window.column - 1, window.height + 2, window.width + 2)
    fine = enlarge_smoothly(cut_mirrored(values, outer), scale)
    return fine[window.within(outer).refine(scale).slices]


def _picture(prepared: Prepared, gain: float, beyond: Mask) -> Picture:
    """The scene with the gain of every pixel: none where contrasts are beyond anything in training."""
    picture = Picture.of(prepared.lr, prepared.valid, gain)
    if not beyond.any() or gain == 0:
        return picture
    # A hot spot raises the local mean around it, so for the network its neighbors are out of range too.

    def share(part: Mask) -> Plane:
        known = 1.0 - maximum_filter(part, RANGE_WINDOW_PX).astype(np.float64)
        known = uniform_filter(known, 5, mode="reflect")
        return np.asarray(np.float32(gain) * np.clip(2 * known - 1, 0, 1), dtype=np.float32)

    return dataclasses.replace(picture, gain=in_bands(share, RANGE_WINDOW_PX, beyond))


def _beyond_range(lr: Plane, valid: Mask) -> Mask:
    """(y, x), true where a measured pixel stands out of its surroundings as no training pixel did."""
    contrast = in_bands(partial(_contrast, float(np.median(thinned(lr)))), RANGE_WINDOW_PX // 2, lr)
    known = known_sample(contrast, valid)
    typical = float(np.sqrt(np.mean(np.minimum(known, np.quantile(known, 0.999)) ** 2)))
    return valid & (contrast > RANGE_LIMIT * max(typical, 1e-3))


def _contrast(level: float, lr: Plane) -> Float64[NDArray[np.float64], "y x"]:
    """(y, x) distance of a pixel from the mean around it."""
    exact = lr.astype(np.float64) - level
    return np.asarray(np.abs(exact - uniform_filter(exact, RANGE_WINDOW_PX, mode="reflect")))


def _local(prepared: Prepared, beyond: Mask) -> Plane:
    """(y, x) standard error that damage and spots add: a spot's shape below a pixel is unknown."""
    level, noise = float(np.median(thinned(prepared.lr))), prepared.measured.artifacts.noise

    def local(lr: Plane, beyond: Mask, noise: Plane) -> Plane:
        spots = maximum_filter(np.where(beyond, _contrast(level, lr), 0.0), 3)
        return np.hypot(noise, SPOT_SHARE * spots).astype(np.float32)

    return in_bands(local, RANGE_WINDOW_PX, prepared.lr, beyond, noise) if beyond.any() else noise


def _unsure(prepared: Prepared) -> float:
    """The standard error that is many times the scene's contrast: half of its middle 68 % of values."""
    known = known_sample(prepared.lr, prepared.valid).astype(np.float64)
    low, high = np.quantile(known, (0.16, 0.84))
    return UNSURE_TIMES * max(float(high - low) / 2, prepared.noise, LEAST_CONTRAST)


def _flags(picture: Picture, gain: float, beyond: Mask, damaged: Mask, *, wanted: bool) -> Flags:
    """(y, x) flag of every scene pixel; the first of: no data, range, damage, edge, fallback, hole."""
    valid = picture.valid
    flags = np.full(valid.shape, FLAG_GOOD, dtype=np.uint8)
    flags[near_missing(valid, NEIGHBOR_PX)] = FLAG_FILLED_NEIGHBOR
    if wanted:
        flags[picture.gain < 0.5 * max(gain, 1e-6)] = FLAG_FALLBACK
    flags[near_border(valid.shape, EDGE_PX)] = FLAG_EDGE
    flags[damaged] = FLAG_ARTIFACT
    flags[beyond] = FLAG_OUT_OF_RANGE
    flags[~valid] = FLAG_NO_DATA
    return flags

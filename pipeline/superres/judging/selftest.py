"""Wald's test on the scene itself: degrade it, recover it, compare with what was measured.

The scene is its own truth, one scale up. Only pixels that a training never saw are compared.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float32, Float64
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from pipeline.grid import Window
from pipeline.raster import in_bands
from pipeline.superres.applying.method import Method, Picture
from pipeline.superres.bases.base import bicubic
from pipeline.superres.judging.sample import sample_figures
from pipeline.superres.sensing.holes import fill_nearest, near_border, near_missing
from pipeline.superres.sensing.prepare import Prepared

Plane = Float32[NDArray[np.float32], "_ _"]  # coarse and fine ones stand in one call
Mask = Bool[NDArray[np.bool_], "y x"]
TILE_PX = 16
MIN_TILES = 4
MIN_SIDE_PX = 8
REFINEMENTS, CLOSE = 3, 0.02  # of the fitted gain, and the change at which it ends
LEAST_REFINED, MOST_REFINED = 0.05, 2.0  # gains at which the fit is done once more


@dataclass(frozen=True)
class SelfTest:
    """A recovered scene beside the measured one; all (y, x) in working units, cut to whole coarse pixels.

    Attributes:
        truth: The measured scene.
        bicubic: Recovered by interpolation.
        recover: The network's gain to what the method recovers with it, to the last step. Under noise the
            projection is not linear, so an answer at one gain does not tell that at another.
        spread: Standard deviation over the network's passes, at full gain.
        activity: Local contrast of the degraded scene, enlarged; what uncertainty is counted in.
        compared: True where answers are compared: measured, away from borders and holes, never trained on.
        gain: Of `product`.
        inner: As `compared`, but where a training looked, too; None where none did.
        windows: Pieces of the scene that lie side by side; one is all of it.
    """

    truth: Plane
    bicubic: Plane
    recover: Callable[[float], Plane]
    spread: Plane
    activity: Plane
    compared: Mask
    gain: float = 1.0
    inner: Mask | None = None
    windows: int = 1

    @cached_property
    def base(self) -> Plane:
        """Recovered without the network."""
        return self.recover(0.0)

    @cached_property
    def product(self) -> Plane:
        """Recovered with `gain`."""
        return self.base if self.gain == 0 else self.recover(self.gain)

    def at(self, gain: float) -> SelfTest:
        """The same test of the product with another gain."""
        other = dataclasses.replace(self, gain=gain)
        other.__dict__["base"] = self.base  # the same at every gain: not computed anew
        return other


@dataclass(frozen=True)
class FittedGain:
    """The share of the network's detail that fits the compared pixels best.

    Attributes:
        gain: 0 to 1 and beyond.
        error: Its standard error, by leaving out a tile at a time; infinite where too few tiles are there.
        tiles: Tiles with pixels to compare.
    """

    gain: float
    error: float
    tiles: int


def self_test(
    method: Method,
    prepared: Prepared,
    windows: Sequence[Window],
    generator: np.random.Generator,
    held_out: Mask | None = None,
) -> SelfTest | None:
    """Degrade, recover, compare.

    Args:
        method: As it will be applied to the scene; tuned without `held_out`.
        prepared: The scene.
        windows: Of the scene, as `sample_windows` draws them.
        generator: Draws noise; the degraded scene gets as much as the scene has.
        held_out: True where training never looked; None if nothing was trained on this scene.

    Returns:
        None where the scene is too small to be degraded.
    """
    tests = [_test_window(method, prepared, window, generator, held_out) for window in windows]
    known = [test for test in tests if test is not None]
    return _side_by_side(known) if known else None


def _test_window(
    method: Method, prepared: Prepared, window: Window, generator: np.random.Generator, held_out: Mask | None
) -> SelfTest | None:
    """The test of a window, as if it were a scene of its own."""
    scale = prepared.scale
    height, width = (size // scale * scale for size in (window.height, window.width))
    if min(height, width) // scale < MIN_SIDE_PX:
        return None
    cut = dataclasses.replace(window, height=height, width=width).slices
    truth, valid = prepared.lr[cut], prepared.valid[cut]
    seen = prepared.degrade(np.where(valid, truth, np.float32(np.nan)))
    if not np.isfinite(seen).any():
        return None
    coarse = fill_nearest(seen + generator.normal(0.0, prepared.noise, seen.shape).astype(np.float32))
    picture = Picture.of(coarse, np.isfinite(seen))
    parts = method.parts(picture, picture.window)
    whole = valid.reshape(height // scale, scale, width // scale, scale).all(axis=(1, 3))
    away = ~near_border(valid.shape, 2 * scale)
    compared, inner = valid & np.repeat(np.repeat(whole, scale, 0), scale, 1) & away, None
    if held_out is not None:
        compared &= held_out[cut]
        near_hole = near_missing(prepared.valid[window.slices], scale)[:height, :width]
        inner = valid & ~near_hole & away

    def recover(gain: float) -> Plane:
        return method.finish(Picture.of(coarse, picture.valid, gain), parts).hr

    return SelfTest(
        truth=truth,
        bicubic=bicubic(coarse, scale),
        recover=recover,
        spread=parts.spread,
        activity=enlarge_smoothly(activity(coarse), scale),
        compared=compared,
        inner=inner,
    )


def _side_by_side(tests: list[SelfTest]) -> SelfTest:
    """The tests of a scene's windows as one."""
    if len(tests) == 1:
        return tests[0]
    inner = [test.inner for test in tests if test.inner is not None]
    return SelfTest(
        truth=np.hstack([test.truth for test in tests]),
        bicubic=np.hstack([test.bicubic for test in tests]),
        recover=lambda gain: np.hstack([test.recover(gain) for test in tests]),
        spread=np.hstack([test.spread for test in tests]),
        activity=np.hstack([test.activity for test in tests]),
        compared=np.hstack([test.compared for test in tests]),
        inner=np.hstack(inner) if inner else None,
        windows=len(tests),
    )


def activity(lr: Plane, window_px: int = 5) -> Plane:
    """(y, x) standard deviation of the picture around every pixel, in working units."""
    level = float(np.mean(lr, dtype=np.float64))

    def deviation(part: Plane) -> Plane:
        exact = part.astype(np.float64) - level
        mean = uniform_filter(exact, window_px, mode="reflect")
        square = uniform_filter(exact**2, window_px, mode="reflect")
        return np.sqrt(np.maximum(square - mean**2, 0.0)).astype(np.float32)

    return in_bands(deviation, window_px // 2, lr)


def enlarge_smoothly(
    lr: Float32[NDArray[np.float32], "y x"], scale: int
) -> Float32[NDArray[np.float32], "{scale}*y {scale}*x"]:
    """(y, x) to the fine grid without overshoot: bilinear between pixel centers, constant at the border."""
    for axis in (0, 1):
        position = (np.arange(lr.shape[axis] * scale) + 0.5) / scale - 0.5
        position = np.clip(position, 0, lr.shape[axis] - 1)
        lower = np.minimum(position.astype(np.int64), max(lr.shape[axis] - 2, 0))
        upper = np.minimum(lower + 1, lr.shape[axis] - 1)
        share = (position - lower).astype(np.float32)
        share = share[:, None] if axis == 0 else share[None]
        lr = lr.take(lower, axis) * (1 - share) + lr.take(upper, axis) * share
    return lr


def fit_gain(test: SelfTest) -> FittedGain:
    """The gain that fits the compared pixels best, and how sure that is.

    Least squares of (truth - base) on what the network adds to the published answer: first at full gain,
    then at the gain that was found, because under noise the projection is not linear.
    """
    fitted = _fit_share(test.at(1.0))
    for _ in range(REFINEMENTS):
        gain = fitted.gain
        if not math.isfinite(fitted.error) or not LEAST_REFINED < gain < MOST_REFINED:
            break
        share = _fit_share(test.at(gain))
        fitted = FittedGain(share.gain * gain, share.error * gain, share.tiles)
        if abs(share.gain - 1) < CLOSE:
            break
    return fitted


def _fit_share(test: SelfTest) -> FittedGain:
    """The share of the product's detail that fits best; its error by the jackknife over tiles."""
    missing = np.where(test.compared, test.truth - test.base, 0).astype(np.float64)
    detail = np.where(test.compared, test.product - test.base, 0).astype(np.float64)
    product, power = tile_sums(missing * detail), tile_sums(detail**2)
    used = power > 0
    product, power = product[used], power[used]
    if product.size < MIN_TILES:
        return FittedGain(0.0, math.inf, int(product.size))
    gain = product.sum() / power.sum()
    without = (product.sum() - product) / (power.sum() - power)
    count = product.size
    error = math.sqrt((count - 1) / count * float(((without - without.mean()) ** 2).sum()))
    return FittedGain(float(gain), error, count)


def skill_figures(test: SelfTest) -> Mapping[str, float | None]:
    """Errors of the self-test in kelvin and how they compare; None where no pixel is compared."""
    if not test.compared.any():
        names = ("selftest_rmse_k", "selftest_bicubic_rmse_k", "selftest_base_rmse_k", "selftest_bias_k")
        return dict.fromkeys((*names, "selftest_skill_vs_bicubic", "selftest_skill_vs_base"))
    rmse, smooth, base = (_rmse(part, test) for part in (test.product, test.bicubic, test.base))
    return {
        "selftest_rmse_k": rmse,
        "selftest_bicubic_rmse_k": smooth,
        "selftest_base_rmse_k": base,
        "selftest_bias_k": float((test.product - test.truth)[test.compared].mean(dtype=np.float64)),
        "selftest_skill_vs_bicubic": 1 - rmse / smooth if smooth > 0 else 0.0,
        "selftest_skill_vs_base": 1 - rmse / base if base > 0 else 0.0,
        **sample_figures(test.product, test.truth, test.compared, test.windows),
    }


def _rmse(answer: Plane, test: SelfTest) -> float:
    return float(np.sqrt(np.mean((answer - test.truth)[test.compared].astype(np.float64) ** 2)))


def tile_sums(values: Float64[NDArray[np.float64], ...]) -> Float64[NDArray[np.float64], ...]:
    """Sums over tiles of `TILE_PX`; the last row and column of tiles may be smaller."""
    rows = np.add.reduceat(values, np.arange(0, values.shape[0], TILE_PX), axis=0)
    return np.add.reduceat(rows, np.arange(0, values.shape[1], TILE_PX), axis=1).ravel()

"""Wald's test on the scene itself: degrade it, recover it, compare with what was measured.

The scene is its own truth, one scale up. The part that training never saw is the jury; it sets
the network's gain and the uncertainty. A small jury may be wrong, so it counts by its own scatter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.superres.applying.method import Method, Picture
from pipeline.superres.bases.base import bicubic
from pipeline.superres.sensing.degrade import Degrade
from pipeline.superres.sensing.holes import fill_nearest

Floats = NDArray[np.float32]
JURY_TILE_PX = 16
MIN_JURY_TILES = 4
MIN_SIDE_PX = 8
LEAST_GAIN = 0.1  # less is not worth a network
PRIOR_SCATTER = 0.2  # of the best gain from scene to scene, at least
# At most, where detail is not alike from scale to scale. Degraded Landsat with a prior, against Tikhonov:
# uncut 0.95-1.09, at 0.5 0.95-1.02, at 0.25 0.96-1.00.
ALARMED_GAIN = 0.25
TAUGHT_SCALE = 2  # the enlargement up to which a network taught by this scene alone is believed as judged
# Up to which a prior is believed where a scene is too small for a test at its own scale. Landsat at x8, where
# the truth has no finest octave: at 0.96 of the detail 5 % worse than the base, at half 1.4 to 1.6 %.
UNHEARD_SCALE = 4
JURY_SCALE_ERROR = 0.15  # of the best gain from one scale to the next, per octave


@dataclass(frozen=True)
class SelfTest:
    """A recovered scene beside the measured one; all (y, x) in working units, cut to whole coarse pixels.

    Attributes:
        truth: The measured scene.
        bicubic: Recovered by interpolation.
        base: Recovered without the network, projected.
        full: Recovered with the network at full gain, projected.
        spread: Standard deviation over the network's passes.
        activity: Local contrast of the degraded scene, enlarged; what uncertainty is counted in.
        jury: True where the answer may be judged: measured, away from borders and holes, never trained on.
    """

    truth: Floats
    bicubic: Floats
    base: Floats
    full: Floats
    spread: Floats
    activity: Floats
    jury: NDArray[np.bool_]


@dataclass(frozen=True)
class Verdict:
    """What the jury says of the network.

    Attributes:
        gain: The share of the network's detail that fits best, 0 to 1 and beyond.
        gain_error: Its standard error, by leaving out a tile at a time.
        tiles: Tiles in the jury.
    """

    gain: float
    gain_error: float
    tiles: int


UNHEARD = Verdict(0.0, math.inf, 0)  # what a jury that could not be called would say


def self_test(
    method: Method,
    lr: Floats,
    valid: NDArray[np.bool_],
    *,
    degrade: Degrade,
    noise: float,
    generator: np.random.Generator,
    held_out: NDArray[np.bool_] | None = None,
) -> SelfTest | None:
    """Degrade, recover, compare.

    Args:
        method: As it will be applied to the scene; tuned without `held_out`.
        lr: (y, x) working units, holes filled.
        valid: (y, x), true where measured.
        degrade: The forward model.
        noise: Standard deviation of the scene's noise; the degraded scene gets as much.
        generator: Draws that noise.
        held_out: (y, x), true where training never looked; None if nothing was trained on this scene.

    Returns:
        None where the scene is too small to be degraded.
    """
    scale = degrade.scale
    height, width = (size // scale * scale for size in lr.shape)
    if min(height, width) // scale < MIN_SIDE_PX:
        return None
    truth, valid = lr[:height, :width], valid[:height, :width]
    seen = degrade(np.where(valid, truth, np.float32(np.nan)))
    if not np.isfinite(seen).any():
        return None
    son = fill_nearest(seen + generator.normal(0.0, noise, seen.shape).astype(np.float32))
    son_valid = np.isfinite(seen)
    picture = Picture.of(son, son_valid)
    base = method.without_network()(picture, picture.window)
    full = method(picture, picture.window) if method.passes else base
    jury = valid & (held_out[:height, :width] if held_out is not None else True)
    whole = valid.reshape(height // scale, scale, width // scale, scale).all(axis=(1, 3))
    jury &= np.repeat(np.repeat(whole, scale, 0), scale, 1)
    border = 2 * scale
    jury[:border], jury[-border:], jury[:, :border], jury[:, -border:] = False, False, False, False
    return SelfTest(
        truth=truth,
        bicubic=bicubic(son, scale),
        base=base.hr,
        full=full.hr,
        spread=full.spread,
        activity=enlarge_smoothly(activity(son), scale),
        jury=jury,
    )


def activity(lr: Floats, window_px: int = 5) -> Floats:
    """(y, x) standard deviation of the picture around every pixel, in working units."""
    from scipy.ndimage import uniform_filter

    exact = lr.astype(np.float64) - float(np.mean(lr, dtype=np.float64))
    mean = uniform_filter(exact, window_px, mode="reflect")
    square = uniform_filter(exact**2, window_px, mode="reflect")
    return np.sqrt(np.maximum(square - mean**2, 0.0)).astype(np.float32)


def enlarge_smoothly(lr: Floats, scale: int) -> Floats:
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


def judge(test: SelfTest) -> Verdict:
    """The gain that fits the jury best, and how sure that is.

    Least squares of (truth - base) on the network's detail; the error by the jackknife over tiles.
    """
    missing = np.where(test.jury, test.truth - test.base, 0).astype(np.float64)
    detail = np.where(test.jury, test.full - test.base, 0).astype(np.float64)
    product, power = tile_sums(missing * detail), tile_sums(detail**2)
    used = power > 0
    product, power = product[used], power[used]
    if product.size < MIN_JURY_TILES:
        return Verdict(0.0, math.inf, int(product.size))
    gain = product.sum() / power.sum()
    without = (product.sum() - product) / (power.sum() - power)
    count = product.size
    error = math.sqrt((count - 1) / count * float(((without - without.mean()) ** 2).sum()))
    return Verdict(float(gain), error, count)


def published_gain(
    verdict: Verdict,
    *,
    scale: int,
    prior_gain: float | None = None,
    prior_error: float = 0.0,
    voice: bool = True,
    alarmed: bool = False,
) -> float:
    """The gain to publish with, 0 to 1.

    Without a prior the jury alone decides, less one standard error: a published pixel should not be expected
    to be worse than the base. The network was taught at the very scale that it is judged at, so beyond x2 it
    is believed less: on real scenes a gain of 1.3 was fitted at x4 where 0.14 was best one scale down.

    With a prior its own left-out scenes count too, each side by its certainty; where the jury has no `voice`,
    only those count: it was taught by this scene, or the scene was heard at x2 already. Either way the jury
    has a veto: where even its own error leaves the product worse than the base on the scene itself, the gain
    is cut to where it is not.

    Where the scene's detail is not alike from scale to scale (`alarmed`), neither the jury nor a prior's
    left-out scenes speak for what is published: then a quarter of the network's detail at most. Where the
    scene is too small for a jury, a prior is believed in full up to x4 and by half at x8.
    """
    if prior_gain is None:
        gain = (verdict.gain - verdict.gain_error) * TAUGHT_SCALE / max(scale, TAUGHT_SCALE)
    else:
        jury_error = math.hypot(verdict.gain_error, JURY_SCALE_ERROR * math.log2(scale))
        prior_error = max(prior_error, PRIOR_SCATTER)
        jury_weight, prior_weight = 1 / jury_error**2 if voice else 0.0, 1 / prior_error**2
        fitted = verdict.gain if math.isfinite(verdict.gain_error) else 0.0
        gain = (jury_weight * fitted + prior_weight * prior_gain) / (jury_weight + prior_weight)
        # Squared errors on the jury are those of the base plus something times gain * (gain - 2 * fitted).
        gain = min(gain, 2 * max(fitted + jury_error, 0.0))
    most = 1.0 if math.isfinite(verdict.gain_error) else min(1.0, UNHEARD_SCALE / scale)
    most = min(most, ALARMED_GAIN) if alarmed else most
    return 0.0 if not math.isfinite(gain) or gain < LEAST_GAIN else min(gain, most)


def at_gain(test: SelfTest, gain: float) -> Floats:
    """(y, x) what the method recovers with this gain; every step of it is linear in the gain."""
    return test.base + np.float32(gain) * (test.full - test.base)


def skill_figures(test: SelfTest, gain: float) -> Mapping[str, float | None]:
    """Errors of the self-test in kelvin and how they compare; None where no pixel may be judged."""
    if not test.jury.any():
        names = ("selftest_rmse_k", "selftest_bicubic_rmse_k", "selftest_base_rmse_k", "selftest_bias_k")
        return dict.fromkeys((*names, "selftest_skill_vs_bicubic", "selftest_skill_vs_base"))
    answer = at_gain(test, gain)
    rmse, smooth, base = (_rmse(part, test) for part in (answer, test.bicubic, test.base))
    return {
        "selftest_rmse_k": rmse,
        "selftest_bicubic_rmse_k": smooth,
        "selftest_base_rmse_k": base,
        "selftest_bias_k": float((answer - test.truth)[test.jury].mean(dtype=np.float64)),
        "selftest_skill_vs_bicubic": 1 - rmse / smooth if smooth > 0 else 0.0,
        "selftest_skill_vs_base": 1 - rmse / base if base > 0 else 0.0,
    }


def _rmse(answer: Floats, test: SelfTest) -> float:
    return float(np.sqrt(np.mean((answer - test.truth)[test.jury].astype(np.float64) ** 2)))


def tile_sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums over tiles of the jury's size; the last row and column of tiles may be smaller."""
    rows = np.add.reduceat(values, np.arange(0, values.shape[0], JURY_TILE_PX), axis=0)
    return np.add.reduceat(rows, np.arange(0, values.shape[1], JURY_TILE_PX), axis=1).ravel()

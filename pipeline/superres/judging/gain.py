"""How far the network may be trusted on this scene, and how wrong the product may be.

Here the witnesses are heard: the scene's self-test, a prior's left-out scenes, and the alarm that says when
neither speaks for the published scale. What they say together is the gain, and why it is zero if it is.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.recipe import Recipe
from pipeline.superres.applying.method import Method
from pipeline.superres.detail import Learned
from pipeline.superres.judging.by_tile import TileSkill, tile_skill
from pipeline.superres.judging.error_model import ErrorModel, fit_errors
from pipeline.superres.judging.resolution import resolution_figures
from pipeline.superres.judging.scale_alarm import scale_invariance
from pipeline.superres.judging.selftest import (
    UNHEARD,
    SelfTest,
    Verdict,
    judge,
    published_gain,
    self_test,
    skill_figures,
)
from pipeline.superres.sensing.holes import near_border, near_missing
from pipeline.superres.sensing.prepare import Working
from pipeline.superres.streams import Stream


@dataclass(frozen=True)
class Judged:
    """What the self-test decided.

    Attributes:
        gain: Share of the network's detail that is published.
        reason: Why the network is off, or "".
        verdict: Of the jury; None where none could be called.
        errors: For the uncertainty of every pixel.
        figures: For the record.
        tiles: The self-test tile by tile; None where there was none.
    """

    gain: float
    reason: str
    verdict: Verdict | None
    errors: ErrorModel
    figures: Mapping[str, float | str | None]
    tiles: TileSkill | None = None


def judge_scene(
    method: Method, work: Working, recipe: Recipe, learned: Learned, *, gsd_m: tuple[float, float]
) -> Judged:
    """Ask the scene how far the network may be trusted.

    Args:
        method: As it will be applied to the scene.
        work: The scene in working units.
        recipe: Resolved.
        learned: The network, and what vouches for it.
        gsd_m: The scene's pixel spacing as (y, x), NaN where no grid tells it; only for figures in meters.
    """
    test = self_test(
        method,
        work.lr,
        work.valid,
        degrade=work.degrade,
        noise=work.noise,
        generator=Stream.SELF_TEST.generator(recipe.seed),
        held_out=learned.held_out,
    )
    invariance = scale_invariance(work.lr, work.valid, work.degrade)
    gain, reason, verdict = _gain(test, recipe, learned, alarmed=bool(invariance.alarm))
    if test is not None and learned.network is not None and learned.held_out is not None and gain == 0:
        # Without the network every measured pixel may judge the base, not only those held out from training.
        test = dataclasses.replace(test, jury=np.isfinite(test.truth) & _inner(test, work))
    errors = fit_errors(test, gain, work.noise, recipe.scale)
    if invariance.alarm:
        errors = dataclasses.replace(errors, calibrated=False)
    figures: dict[str, float | str | None] = {"gain": gain, "gain_expected": learned.prior_gain}
    figures |= {"scale_invariance": _finite(invariance.share), "scale_alarm": invariance.alarm}
    tiles = None
    if verdict is not None:
        figures |= {"gain_fitted": verdict.gain, "gain_error": _finite(verdict.gain_error)}
        figures |= {"jury_tiles": float(verdict.tiles)}
    if test is not None:
        tiles = tile_skill(test, gain)
        figures |= {**skill_figures(test, gain), **tiles.figures()}
        figures |= resolution_figures(test, gain, scale=recipe.scale, gsd_m=gsd_m)
    figures["uncertainty_coverage"] = _finite(errors.coverage)
    figures["uncertainty_calibrated"] = float(errors.calibrated)
    return Judged(gain, reason, verdict, errors, figures, tiles)


def _gain(
    test: SelfTest | None, recipe: Recipe, learned: Learned, *, alarmed: bool
) -> tuple[float, str, Verdict | None]:
    """The published gain, why it is zero if it is, and the jury's verdict if there was a jury."""
    if learned.network is None:
        return 0.0, learned.reason, None
    if not recipe.gate.enabled:
        return 1.0, "", None
    if test is None and learned.prior_gain is None:
        return 0.0, "the scene is too small to test the network on itself", None
    verdict = None if test is None else judge(test)
    gain = published_gain(
        verdict or UNHEARD,
        scale=recipe.scale,
        prior_gain=learned.prior_gain,
        prior_error=learned.prior_gain_error,
        voice=learned.voice,
        alarmed=alarmed,
    )
    if gain > 0:
        return gain, "", verdict
    if verdict is None:
        return (
            0.0,
            f"on scenes like this one the prior adds nothing (best share {learned.prior_gain:.2f})",
            None,
        )
    share = f"{verdict.gain:.2f} +- {verdict.gain_error:.2f}"
    return 0.0, f"the self-test found no gain over the base (best share {share})", verdict


def _inner(test: SelfTest, work: Working) -> NDArray[np.bool_]:
    height, width = test.truth.shape
    inner = work.valid[:height, :width] & ~near_missing(work.valid, work.degrade.scale)[:height, :width]
    return inner & ~near_border((height, width), 2 * work.degrade.scale)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

"""How much of a prior's detail suits a scene at x4 and x8, asked where the scene can answer well: at x2.

A scene's own test at x4 and x8 starts from a sixteenth and less of its pixels and looks two or three octaves
away. At x2 it starts from a quarter and looks one octave away. The scenes left out of the prior tell how the
best gain at x2 goes with the best gain beyond: a line through their pairs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from pipeline.recipe import Recipe
from pipeline.superres.detail import Detail, compose_method, detail_of_prior, fit_scene_base
from pipeline.superres.judging.gain import PRIOR_SCATTER, Evidence, expected_gain, record_evidence
from pipeline.superres.judging.sample import sample_windows
from pipeline.superres.judging.selftest import FittedGain, fit_gain, self_test
from pipeline.superres.sensing.prepare import Prepared
from pipeline.superres.streams import Stream

ASKED_SCALE = 2
CAUTION = 0.5  # standard errors less than expected: too much detail costs more than too little
# Before a record says otherwise, the gain at x2 is the gain beyond, plus or minus these.
OFFSET_ERROR = 0.5
SLOPE_ERROR = 1.0
SCENE_SCATTER = 0.25  # of one scene's best gain around the line
MOST = 1.5  # larger gains at x2 are not in any record


def evidence_at_x2(
    prepared: Prepared, recipe: Recipe, detail: Detail, *, device: torch.device
) -> Evidence | None:
    """The gain to expect on this very scene, from its test at x2 and the prior's record.

    None where nothing was taken from a prior, where the scene taught that prior, where it has no weights for
    x2 or no record, where a measured PSF fits one enlargement only, and where the scene is too small. The
    prior is asked as it was before this scene trained it: a few steps change the detail little.

    Args:
        prepared: The scene.
        recipe: Resolved.
        detail: From the prior, for the scale of the recipe.
        device: Where it runs.
    """
    prior = detail.prior
    if prior is None or detail.network is None or not recipe.gate.enabled:
        return None
    if detail.fed:
        return None
    scores = prior.card.get("skill", ())
    if prepared.scale <= ASKED_SCALE or prepared.blur.kernel is not None:
        return None
    if not scores or ASKED_SCALE not in prior.scales:
        return None
    prepared, scale = prepared.at_scale(ASKED_SCALE), prepared.scale
    base = fit_scene_base(prepared, recipe)
    asked = detail_of_prior(prepared, prior)
    method = compose_method(prepared, recipe, base=base, detail=asked, device=device)
    generator = Stream.AT_X2.generator(recipe.seed)
    test = self_test(method, prepared, sample_windows(prepared.valid, generator), generator)
    if test is None:
        return None
    gain, error = gain_at_x2(fit_gain(test), record_evidence(prior, ASKED_SCALE))
    gain, error = carried_gain(scores, scale, gain, error)
    return expected_gain("the scene at x2 and the prior's record", gain - CAUTION * error, error)


def gain_at_x2(fitted: FittedGain, record: Evidence) -> tuple[float, float]:
    """Best gain of this scene at x2 and its standard error: what its own test found, and the record."""
    if not math.isfinite(fitted.error):
        return record.gain, record.error
    trust, known = 1 / max(fitted.error, 1e-3) ** 2, 1 / max(record.error, PRIOR_SCATTER) ** 2
    return (trust * fitted.gain + known * record.gain) / (trust + known), 1 / math.sqrt(trust + known)


def carried_gain(
    scores: Sequence[Mapping[str, Any]], scale: int, near: float, near_error: float = 0.0
) -> tuple[float, float]:
    """Best gain to expect at a large enlargement, and its standard error.

    A line through the record's pairs (best gain at x2, best gain at `scale`), fitted as a Bayesian would who
    expects the gain to stay as it is: a short record moves it little.

    Args:
        scores: A prior's record on scenes that did not teach it; every entry names its `scene`, `scale`,
            `noise_k` and best `gain`.
        scale: Linear enlargement.
        near: Best gain of the scene in question at x2.
        near_error: Its standard error.
    """
    best = {(score["scene"], score["noise_k"], int(score["scale"])): float(score["gain"]) for score in scores}
    both = [key for key in best if key[2] == scale and (*key[:2], ASKED_SCALE) in best]
    here = np.asarray([best[*key[:2], ASKED_SCALE] for key in both])
    there = np.asarray([best[key] for key in both])
    # A scene's entries with and without noise are hardly two scenes: each counts by its share.
    names = [key[0] for key in both]
    share = np.asarray([1 / names.count(name) for name in names])
    design = np.stack([np.ones_like(here), here - 1], axis=1)
    weighted = design * (share / SCENE_SCATTER**2)[:, None]
    certainty = weighted.T @ design + np.diag([1 / OFFSET_ERROR**2, 1 / SLOPE_ERROR**2])
    line = np.linalg.solve(certainty, weighted.T @ (there - here))
    near = float(np.clip(near, 0.0, MOST))
    at = np.asarray([1.0, near - 1.0])
    residual = there - here - design @ line
    scatter = math.sqrt(float(share @ residual**2) / share.sum()) if both else SCENE_SCATTER
    line_error = math.sqrt(float(at @ np.linalg.solve(certainty, at)))
    error = math.sqrt(scatter**2 + line_error**2 + ((1 + line[1]) * near_error) ** 2)
    return float(near + at @ line), error

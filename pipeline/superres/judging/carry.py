"""How much of a prior's detail suits a scene at x4 and x8, asked where the scene can answer well: at x2.

A scene's own test at x4 and x8 starts from a sixteenth and less of its pixels and looks two or three octaves
away. At x2 it starts from a quarter and looks one octave away, and a scene that likes a prior's detail at x2
likes it beyond: the prior's left-out scenes say how the one goes with the other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.superres.judging.selftest import PRIOR_SCATTER, Verdict

NEAR_SCALE = 2
# Before a record says otherwise, the gain at x2 is the gain beyond, plus or minus these.
OFFSET_ERROR = 0.5
SLOPE_ERROR = 1.0
SCENE_SCATTER = 0.25  # of one scene's best gain around the line
MOST = 1.5  # larger gains at x2 are not in any record


def near_gain(verdict: Verdict, record_gain: float, record_error: float) -> tuple[float, float]:
    """Best gain of this scene at x2 and its standard error: what its jury found, and the record behind it.

    Args:
        verdict: Of the scene's own test at x2.
        record_gain: What the prior's left-out scenes recommend at x2.
        record_error: How they scatter.
    """
    if not math.isfinite(verdict.gain_error):
        return record_gain, record_error
    trust, record = 1 / max(verdict.gain_error, 1e-3) ** 2, 1 / max(record_error, PRIOR_SCATTER) ** 2
    return (trust * verdict.gain + record * record_gain) / (trust + record), 1 / math.sqrt(trust + record)


def carried_gain(
    skills: Sequence[Mapping[str, Any]], scale: int, near: float, near_error: float = 0.0
) -> tuple[float, float]:
    """Best gain to expect at a large enlargement, and its standard error.

    A line through the record's pairs (best gain at x2, best gain at `scale`), fitted as a Bayesian would who
    expects the gain to stay as it is: a short record moves it little.

    Args:
        skills: A prior's record on scenes that did not feed it; every entry names its `scene`, `scale`,
            `noise_k` and best `gain`.
        scale: Linear enlargement.
        near: Best gain of the scene in question at x2.
        near_error: Its standard error.
    """
    best = {(skill["scene"], skill["noise_k"], int(skill["scale"])): float(skill["gain"]) for skill in skills}
    both = [key for key in best if key[2] == scale and (*key[:2], NEAR_SCALE) in best]
    here = np.asarray([best[*key[:2], NEAR_SCALE] for key in both])
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

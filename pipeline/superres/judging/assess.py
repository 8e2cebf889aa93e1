"""How far the network is trusted on this scene, and how wrong the product may be: all figures of both."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32
from numpy.typing import NDArray

from pipeline.recipe import Recipe
from pipeline.superres.applying.method import Method
from pipeline.superres.detail import Detail
from pipeline.superres.judging.area_means import area_figures
from pipeline.superres.judging.at_x2 import evidence_at_x2
from pipeline.superres.judging.by_tile import TileErrors, compare_by_tile
from pipeline.superres.judging.error_model import ErrorModel, fit_errors
from pipeline.superres.judging.gain import Evidence, Gain, gain_of_prior, gain_of_trained, record_evidence
from pipeline.superres.judging.next_octave import find_octaves
from pipeline.superres.judging.resolution import resolution_figures
from pipeline.superres.judging.sample import sample_windows
from pipeline.superres.judging.scale_alarm import scale_invariance
from pipeline.superres.judging.selftest import (
    FittedGain,
    fit_gain,
    self_test,
    skill_figures,
)
from pipeline.superres.sensing.prepare import Prepared
from pipeline.superres.streams import Stream

UNTESTED = FittedGain(0.0, math.inf, 0)


@dataclass(frozen=True)
class Assessment:
    """What is known of a method on a scene.

    Attributes:
        gain: Share of the network's detail that is published, and why.
        errors: For the uncertainty of every pixel.
        figures: For the record.
        tiles: The self-test tile by tile; None where there was none.
    """

    gain: Gain
    errors: ErrorModel
    figures: Mapping[str, float | str | None]
    tiles: TileErrors | None = None


def assess(
    method: Method,
    prepared: Prepared,
    detail: Detail,
    recipe: Recipe,
    *,
    device: torch.device,
    contrast: Float32[NDArray[np.float32], "y x"],
    slope: float | None,
) -> Assessment:
    """Test a method on the scene itself, decide the network's gain, calibrate the uncertainty.

    Args:
        method: As it will be applied to the scene.
        prepared: The scene.
        detail: The network, and where it comes from.
        recipe: Resolved.
        device: Where networks run.
        contrast: (y, x) local contrast of the scene, as `activity` tells it.
        slope: Of the scene's spectrum; None where the base does not know it.
    """
    generator = Stream.SELF_TEST.generator(recipe.seed)
    windows = sample_windows(prepared.valid, generator)
    test = self_test(method, prepared, windows, generator, detail.held_out)
    scales = scale_invariance(prepared.lr, prepared.valid, prepared.degrade, prepared.measured.white_noise)
    fitted = None if test is None or detail.network is None else fit_gain(test)
    at_x2 = evidence_at_x2(prepared, recipe, detail, device=device)
    record = None if detail.prior is None else record_evidence(detail.prior, prepared.scale)
    alarmed = bool(scales.alarm)
    gain = _decide(fitted, recipe, detail, at_x2=at_x2, record=record, alarmed=alarmed)
    if test is not None:
        test = test.at(gain.value)
    if test is not None and test.inner is not None and gain.value == 0:
        # Without the network every inner pixel may test the base, not only those held out from training.
        test = dataclasses.replace(test, compared=test.inner)
    lr = np.hstack([prepared.lr[window.slices] for window in windows])
    valid = np.hstack([prepared.valid[window.slices] for window in windows])
    around = np.hstack([contrast[window.slices] for window in windows])
    octaves = None if slope is None else find_octaves(lr, valid, slope)
    errors = fit_errors(test, prepared.noise).carry(octaves, prepared.scale, around[valid])
    if scales.alarm:
        errors = dataclasses.replace(errors, calibrated=False)
    figures: dict[str, float | str | None] = {
        "gain": gain.value,
        "gain_expected": None if (expected := at_x2 or record) is None else expected.gain,
        "scale_invariance": _finite(scales.share),
        "scale_alarm": scales.alarm,
        "uncertainty_coverage": _finite(errors.coverage),
        "uncertainty_calibrated": float(errors.calibrated),
    }
    if fitted is not None and recipe.gate.enabled:
        figures |= {"gain_fitted": fitted.gain, "gain_error": _finite(fitted.error)}
        figures |= {"selftest_tiles": float(fitted.tiles)}
    if test is None:
        return Assessment(gain, errors, figures)
    tiles = compare_by_tile(test)
    figures |= {**skill_figures(test), **tiles.figures(), **area_figures(test, prepared.scale)}
    figures |= resolution_figures(
        test, scale=prepared.scale, gsd_m=prepared.scene.gsd_m, sample_px=prepared.sample_px
    )
    return Assessment(gain, errors, figures, tiles)


def _decide(
    fitted: FittedGain | None,
    recipe: Recipe,
    detail: Detail,
    *,
    at_x2: Evidence | None,
    record: Evidence | None,
    alarmed: bool,
) -> Gain:
    if detail.network is None:
        return Gain(0.0, detail.reason)
    if not recipe.gate.enabled:
        return Gain(1.0)
    if record is not None:
        return gain_of_prior(
            fitted or UNTESTED,
            at_x2 or record,
            scale=recipe.scale,
            alarmed=alarmed,
            own_counts=at_x2 is None and not detail.fed,
        )
    if fitted is None:
        return Gain(0.0, "the scene is too small to test the network on itself")
    pixels = "held-out pixels" if detail.trained else "own test"
    return gain_of_trained(fitted, scale=recipe.scale, alarmed=alarmed, pixels=pixels)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

"""The method, start to end: from a scene in kelvin to finer pixels on demand.

Everything that looks at the whole scene happens here, once; what is returned computes any window
of the product from it. Where no network is wanted, or none can be trusted, the product is the base.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from pipeline.recipe import Recipe
from pipeline.scene import Enhancement, Scene
from pipeline.superres.bases.base import Base
from pipeline.superres.detail import Detail, compose_method, find_detail, fit_scene_base
from pipeline.superres.judging.assess import Assessment, assess
from pipeline.superres.judging.selftest import activity
from pipeline.superres.kept import kept_network
from pipeline.superres.networks.pretrained import Pretrained
from pipeline.superres.pixels import ProductPixels
from pipeline.superres.prior.weights import Prior
from pipeline.superres.sensing.prepare import Prepared, prepare
from pipeline.superres.training.state import Checkpoint

Progress = Callable[[str, float], None]


def quiet(_stage: str, _fraction: float) -> None:
    """A `Progress` that says nothing."""


def enhance(
    scene: Scene,
    recipe: Recipe,
    *,
    device: torch.device,
    prior: Prior | None = None,
    pretrained: Pretrained | None = None,
    kernel: Float[NDArray[np.floating], "ky kx"] | None = None,
    checkpoint: Checkpoint | None = None,
    progress: Progress = quiet,
    tells_learned: bool = False,
) -> Enhancement:
    """Find base, network, gain and error model of a scene; its finer pixels are computed later, on demand.

    Args:
        scene: In kelvin, NaN for no data.
        recipe: All that changes a pixel.
        device: Where networks train and run.
        prior: What `recipe.prior` names, already loaded.
        pretrained: What `recipe.network.pretrained` names, already loaded.
        kernel: What `recipe.degrade.kernel` names, already loaded.
        checkpoint: Keeps the training's state, so that a killed run goes on.
        tells_learned: Pixels tell what the network added; it takes a second projection.
        progress: Told "normalize", "train" and "judge" with a fraction.

    Returns:
        An `Enhancement` whose pixels are not computed yet. Same scene, recipe and seed: same pixels on a CPU.

    Raises:
        SkippedSceneError: If no pixel is valid.
        UnusableInputError: If a setting does not fit the scene.
    """
    recipe = recipe.resolved()
    progress("normalize", 0.0)
    prepared = prepare(scene, recipe, kernel)
    base = fit_scene_base(prepared, recipe)
    progress("train", 0.0)
    detail = find_detail(
        prepared,
        recipe,
        base=base,
        device=device,
        prior=prior,
        pretrained=pretrained,
        checkpoint=checkpoint,
        progress=lambda fraction: progress("train", fraction),
    )
    method = compose_method(prepared, recipe, base=base, detail=detail, device=device)
    progress("judge", 0.0)
    contrast = activity(prepared.lr)
    assessment = assess(method, prepared, detail, recipe, device=device, contrast=contrast, slope=base.slope)
    compute = ProductPixels.of(method, prepared, detail, assessment, contrast, tells_learned=tells_learned)
    return Enhancement(
        scene=prepared.scene,
        scale=recipe.scale,
        compute=compute,
        provenance=_provenance(recipe, prepared, base=base, detail=detail, assessment=assessment),
        figures={**_scene_figures(prepared, recipe), **_coverage(detail), **assessment.figures},
        fallback=assessment.gain.reason,
        check=compute.consistency,
        without_network=compute.without_network(),
        tells_learned=tells_learned,
        weights=b"" if not detail.trained else kept_network(detail, prepared, recipe).save(),
    )


def _coverage(detail: Detail) -> dict[str, float]:
    name = "patch_coverage_fraction"
    return {name: float(detail.facts[name])} if name in detail.facts else {}


def _scene_figures(prepared: Prepared, recipe: Recipe) -> dict[str, float | str | None]:
    told = {"native_source"} if prepared.finer_than_sensor else set()  # every reader must know it
    facts: dict[str, float | str | None] = {
        name: value for name, value in prepared.facts.items() if not name.endswith("_source") or name in told
    }
    if prepared.units.clip:  # on request only, and never in silence
        outside = prepared.units.count_outside(prepared.lr[prepared.valid])
        facts["clipped_pixels"] = float(outside)
    kelvin, limits = prepared.scene.temperature, recipe.normalize
    beyond = (kelvin < limits.low_k) | (kelvin > limits.high_k)  # false where there is no data
    facts["outside_range_pixels"] = float(np.count_nonzero(beyond))
    return {**facts, "oversampling": _finite(prepared.measured.oversampling)}


def _provenance(
    recipe: Recipe, prepared: Prepared, *, base: Base, detail: Detail, assessment: Assessment
) -> dict[str, Any]:
    """How the pixels come to be; plain JSON."""
    gain, tiles = assessment.gain, assessment.tiles
    return {
        "recipe": recipe.model_dump(mode="json"),
        "recipe_digest": recipe.digest,
        "seed": recipe.seed,
        "forward_model": dict(prepared.facts),
        "normalization": prepared.units.to_json(),
        "base": {"name": base.name, "regularization": list(base.regularization), "reach_px": base.reach_px},
        "network": dict(detail.facts),
        "training": None if detail.report is None else detail.report.to_json(),
        "gain": gain.value,
        "gain_evidence": gain.to_json(),
        "fallback": gain.reason,
        "selftest": None if tiles is None else tiles.to_json(),
        "error_model": {
            name: value if isinstance(value, bool) else _finite(value)
            for name, value in dataclasses.asdict(assessment.errors).items()
        },
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

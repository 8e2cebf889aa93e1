"""A prior's word for one scene at x4 and x8, after the scene was heard at x2.

The prior's own network for x2 is tried on the scene, degraded by two; what the scene makes of its detail is
carried to the larger enlargement by the prior's record.
"""

from __future__ import annotations

import dataclasses

import torch

from pipeline.recipe import Recipe
from pipeline.scene import Scene
from pipeline.superres.detail import Learned, learn, method_of, scene_base
from pipeline.superres.judging.carry import NEAR_SCALE, carried_gain, near_gain
from pipeline.superres.judging.selftest import judge, self_test
from pipeline.superres.prior.weights import Prior
from pipeline.superres.sensing.normalize import Normalization
from pipeline.superres.sensing.prepare import working_scene
from pipeline.superres.streams import Stream

CAUTION = 0.5  # standard errors less than expected: too much detail costs more than too little


def heard_nearby(
    scene: Scene,
    recipe: Recipe,
    learned: Learned,
    *,
    units: Normalization,
    device: torch.device,
    prior: Prior | None,
) -> Learned:
    """The same network, with the gain that its prior expects on this very scene.

    Unchanged where nothing was taken from a prior, where the scene fed it (its answer would flatter), where
    the prior has no weights for x2 or no record, where a supplied kernel is sampled for one scale only, and
    where the scene is too small to be asked.

    Args:
        scene: In kelvin, on its native grid.
        recipe: Resolved.
        learned: From the prior, for the scale of the recipe.
        units: What the network sees.
        device: Where it runs.
        prior: What `recipe.prior` names.
    """
    if prior is None or learned.prior_gain is None or not learned.voice:
        return learned
    skills = prior.card.get("skill", ())
    asked = recipe.scale > NEAR_SCALE and recipe.gate.enabled and recipe.degrade.kernel is None
    if not asked or not skills or NEAR_SCALE not in prior.scales:
        return learned
    near = recipe.model_copy(update={"scale": NEAR_SCALE})
    work = working_scene(scene, recipe.degrade, NEAR_SCALE)
    base = scene_base(work, near)
    taken = learn(work, near, units=units, base=base, device=device, prior=prior)
    test = self_test(
        method_of(work, near, units=units, base=base, learned=taken, device=device),
        work.lr,
        work.valid,
        degrade=work.degrade,
        noise=work.noise,
        generator=Stream.AT_X2.generator(recipe.seed),
    )
    if test is None or taken.prior_gain is None:
        return learned
    gain, gain_error = near_gain(judge(test), taken.prior_gain, taken.prior_gain_error)
    gain, gain_error = carried_gain(skills, recipe.scale, gain, gain_error)
    return dataclasses.replace(
        learned, prior_gain=gain - CAUTION * gain_error, prior_gain_error=gain_error, voice=False
    )

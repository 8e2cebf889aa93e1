"""What a training learns from."""

import numpy as np

from pipeline.recipe_settings import PairSettings
from pipeline.superres.bases.base import bicubic_base
from pipeline.superres.sensing.degrade import Degrade
from pipeline.superres.training.pairs import make_pairs

SETTINGS = PairSettings(crop_px=16, batch=4)


def pairs_of(scene, *, valid=None, scale=2, settings=SETTINGS, seed=1, **extra):
    valid = np.ones(scene.shape, bool) if valid is None else valid
    degrade = Degrade.gaussian(scale, 0.4)
    return make_pairs(
        scene,
        valid,
        degrade,
        bicubic_base(scale),
        scale=scale,
        settings=settings,
        generator=np.random.default_rng(seed),
        **extra,
    )

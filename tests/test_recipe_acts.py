"""Every setting of a recipe changes pixels, or is refused with a line that says why it would not.

For every kind of detail each setting gets another value. Either the product of a tiny scene differs, in
kelvin or in its uncertainty, or the recipe refuses the setting. A new setting is tried at once: `OTHER` needs
a value only where its type and its default suggest none.
"""

import re
from functools import cache
from typing import get_args

import numpy as np
import pytest
import torch

from pipeline.errors import SettingsError
from pipeline.grid import Window
from pipeline.recipe import CONDITIONS, Recipe, value_at
from pipeline.recipe_files import load_kernel, load_pretrained, load_prior
from pipeline.scene import Sensor
from pipeline.settings_sources import load_settings
from pipeline.superres.enhance import enhance
from tests.scenes import scene_of, truth_and_lr
from tests.superres.networks.published import as_pth, made

SENSOR = Sensor("one band", 140.0, 0.35, 0.05, 10.9, "made for tests")
KINDS = {
    "prior": ("recipe.scale=2", "recipe.detail=prior"),
    "trained": (
        "recipe.scale=2",
        "recipe.prior=none",
        "recipe.train.steps=3",
        "recipe.train.learning_rate=0.02",
        "recipe.pairs.crop_px=8",
        "recipe.pairs.batch=2",
        "recipe.network.channels=8",
        "recipe.network.blocks=1",
        "recipe.infer.self_ensemble=false",
        "recipe.gate.enabled=false",  # so that what was learned is published
    ),
    "started": (  # trained, from the prior
        "recipe.scale=2",
        "recipe.detail=trained",
        "recipe.train.steps=3",
        "recipe.train.learning_rate=0.003",
        "recipe.pairs.crop_px=8",
        "recipe.pairs.batch=2",
        "recipe.infer.self_ensemble=false",
        "recipe.gate.enabled=false",
    ),
    "pretrained": (
        "recipe.scale=2",
        "recipe.network.pretrained={weights}",
        "recipe.infer.self_ensemble=false",
        "recipe.gate.enabled=false",
    ),
    "none": ("recipe.scale=2", "recipe.detail=none"),
}
NAMES_A_FILE = ("degrade.kernel", "network.pretrained")
# A training that is long and restless enough for its validations to decide something.
JUDGED = (
    "recipe.gate.enabled=true",
    "recipe.network.base=bicubic",
    "recipe.degrade.nedt_k=0",
    "recipe.train.steps=120",
    "recipe.train.schedule=step",
    "recipe.train.validate_every=20",
)
SHIFTED = (
    "recipe.infer.mode=shifts",
    "recipe.infer.patch_px=20",
    "recipe.infer.num_shift_passes=2",
    "recipe.infer.self_ensemble=false",
)
SWINIR = ("recipe.network.name=swinir", "recipe.network.layers=1", "recipe.network.window_px=4")
HSPA = ("recipe.network.attention=hspa", "recipe.network.window_px=4")
# What must be said beside a setting, so that it has something to do; by kind where they differ.
BESIDE = {
    "normalize": ("recipe.network.mean_window_px=0",),
    "normalize.low_k": ("recipe.normalize.method=absolute",),
    "normalize.high_k": ("recipe.normalize.method=absolute",),
    "pairs.gradual": ("recipe.scale=4",),
    "network.channels": ("recipe.network.channels=8",),
    "network.attention_every": ("recipe.network.blocks=2",),
    "network.layers": SWINIR,
    "network.window_px": SWINIR,
    "network.topk": HSPA,
    "network.residual_scale": HSPA,
    "network.similarity_reduction": HSPA,
    "network.mapping_px": ("recipe.network.name=srcnn",),
    "network.noise_input": ("recipe.degrade.nedt_k=0.3",),
    "train.min_learning_rate": ("recipe.train.schedule=cosine",),
    "train.validate_every": {
        "trained": (*JUDGED, "recipe.train.steps=100"),
        "started": (*JUDGED, "recipe.train.steps=100", "recipe.train.learning_rate=0.005"),
    },
    "train.patience_fraction": {
        "trained": (*JUDGED, "recipe.train.learning_rate=0.0005"),
        "started": (*JUDGED, "recipe.train.learning_rate=0.005"),
    },
    "infer.reduce": ("recipe.infer.self_ensemble=true",),
    "infer.patch_px": SHIFTED,
    "infer.context_px": SHIFTED,
    "infer.overlap_fraction": (
        "recipe.infer.mode=blend",
        "recipe.infer.patch_px=20",
        "recipe.infer.self_ensemble=false",
    ),
    "infer.num_shift_passes": SHIFTED,
    "infer.max_shift_ratio": SHIFTED,
}
# Another value, where half or twice the usual one or another word would not do; by kind where they differ.
OTHER = {
    "scale": 4,
    "seed": 1,
    "detail": {
        "prior": "none",
        "trained": "none",
        "started": "prior",
        "pretrained": "none",
        "none": "prior",
    },
    "prior": {
        "prior": "none",
        "trained": "shipped",
        "started": "none",
        "pretrained": "none",
        "none": "none",
    },
    "normalize.high_percentile": 90.0,
    "normalize.high_k": 400.0,
    "degrade.psf_sigma_px": 0.6,
    "degrade.mtf_nyquist": 0.2,
    "degrade.nedt_k": 0.5,
    "degrade.domain": "kelvin",
    "degrade.native": 2,
    "degrade.blur": "estimate",
    "degrade.mend": "damage",
    "pairs.crop_px": 12,
    "pairs.photometric_probability": 1.0,
    "network.channels": 16,
    "network.blocks": 2,
    "network.size": "original",
    "network.name": "srcnn",
    "network.layers": 2,
    "network.window_px": 8,
    "network.topk": 2,
    "network.mapping_px": 5,
    "network.norm": "group",
    "network.attention_kernel_px": 3,
    "network.attention_every": 2,
    "network.attention_window_px": 3,
    "network.mean_window_px": 3,
    "network.base_input": False,
    "network.upsampler": "stages",
    "train.steps": 2,
    "train.schedule": "step",
    "train.ema_decay": 0.0,
    "train.min_learning_rate": 2e-4,
    "train.weight_decay": 1.0,
    "train.pull": 100.0,
    "train.explosion_loss": 1e-9,
    "train.gradient_clip": 1e-9,
    "train.validate_every": 1000,
    "train.patience_fraction": 0.01,
    "infer.reduce": "median",
    "infer.self_ensemble": {
        "prior": False,
        "trained": True,
        "started": True,
        "pretrained": True,
        "none": False,
    },
    "gate.enabled": {"prior": False, "trained": True, "started": True, "pretrained": True, "none": False},
    "infer.patch_px": 16,
    "infer.context_px": 4,
}


@pytest.fixture(scope="module", autouse=True)
def weights(tmp_path_factory):
    """A file of weights of others, named in the settings of their kind."""
    file = tmp_path_factory.mktemp("weights") / "srcnn.pth"
    file.write_bytes(as_pth(made("srcnn", bands=1)))
    unnamed = KINDS["pretrained"]
    KINDS["pretrained"] = tuple(word.format(weights=file) for word in unnamed)
    yield file
    KINDS["pretrained"] = unnamed


@cache
def scene(side_px, nedt_k):
    """With two scans in its lower corner that alternate, so that there is something to mend."""
    _, lr = truth_and_lr(2 * side_px, 2, nedt_k=nedt_k, seed=3)
    if side_px < 80:  # without its fire, which takes half of the time
        lr = np.minimum(lr, np.percentile(lr, 98))
    lr[-14:, -14:] += 3 * (np.indices((14, 14)).sum(0) % 2)
    return scene_of(lr, sensor=SENSOR, quantity="brightness_temperature")


@cache
def product(told):
    """Kelvin and uncertainty of the tiny scene, and the recipe's digest."""
    recipe = load_settings(assignments=told, environment={}).recipe
    seen = scene(80, 0.0) if set(JUDGED) <= set(told) else scene(40, 0.3)
    files = {
        "prior": load_prior(recipe),
        "pretrained": load_pretrained(recipe),
        "kernel": load_kernel(recipe),
    }
    enhancement = enhance(seen, recipe, device=torch.device("cpu"), **files)
    pixels = enhancement.compute(Window(0, 0, *enhancement.scene.grid.shape))
    return np.stack([pixels.temperature, pixels.uncertainty]), recipe.digest


def another(name, kind):
    """Another value of a setting."""
    if name in OTHER:
        return OTHER[name][kind] if isinstance(OTHER[name], dict) else OTHER[name]
    usual = value_at(Recipe(), name)
    if isinstance(usual, bool):
        return not usual
    if isinstance(usual, str):
        *branches, leaf = name.split(".")
        field = type(value_at(Recipe(), branches[0])).model_fields[leaf]
        return next(word for word in get_args(field.annotation) if word != usual)
    return (
        usual / 2 if isinstance(usual, float) and usual else 0.5 if isinstance(usual, float) else usual // 2
    )


def beside(name, kind):
    """What must be said beside a setting, as far as this kind knows it."""
    told, words = (), BESIDE.get(name, ())
    words = words.get(kind, ()) if isinstance(words, dict) else words
    for word in (*BESIDE.get(name.split(".")[0], ()), *words):
        if not refused((*KINDS[kind], *told, word)):
            told = (*told, word)
    return told


def refused(told):
    """The line that refuses these settings, or ""."""
    try:
        load_settings(assignments=told, environment={})
    except SettingsError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [name for name in CONDITIONS if name not in ("preset", *NAMES_A_FILE)])
def test_a_setting_changes_pixels_or_is_refused(name, kind):
    plain = (*KINDS[kind], *beside(name, kind))
    told = (*plain, f"recipe.{name}={another(name, kind)}")
    if refusal := refused(told):
        assert re.search(r"changes nothing in this recipe: it acts where|but prior is", refusal)
        return
    (before, first), (after, second) = product(plain), product(told)
    differs = before.shape != after.shape or not np.array_equal(before, after, equal_nan=True)
    assert differs == (first != second)
    assert differs


@pytest.mark.parametrize("kind", KINDS)
def test_a_kernels_file_changes_pixels(kind, tmp_path):
    line = np.exp(-(np.arange(-3, 4) ** 2) / 2)
    np.save(tmp_path / "psf.npy", np.outer(line, line))
    told = (*KINDS[kind], f"recipe.degrade.kernel='{tmp_path / 'psf.npy'}'")
    assert not np.array_equal(product(told)[0], product(KINDS[kind])[0], equal_nan=True)


def test_other_weights_of_others_are_other_pixels(weights, tmp_path):
    other = tmp_path / "other.pth"
    other.write_bytes(as_pth(made("srcnn", bands=1, seed=1)))
    told = [word.replace(str(weights), str(other)) for word in KINDS["pretrained"]]
    (before, first), (after, second) = product(KINDS["pretrained"]), product(tuple(told))
    assert first != second
    assert not np.array_equal(before, after, equal_nan=True)

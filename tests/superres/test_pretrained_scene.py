"""A network of others on a thermal scene: in kelvin, by tiles, judged, and shown as losing where it loses."""

import numpy as np
import pytest
import torch
from safetensors.torch import save

from pipeline.errors import UnusableInputError
from pipeline.grid import Window
from pipeline.recipe import Recipe
from pipeline.superres.enhance import enhance
from pipeline.superres.networks.measure import require_memory_to_apply
from pipeline.superres.networks.pretrained import read_pretrained
from tests.scenes import scene_of, truth_and_lr
from tests.superres.networks.published import answer, made
from tests.superres.textures import rough

CPU = torch.device("cpu")
PLAIN = {
    "infer": {"self_ensemble": False},
    "gate": {"enabled": False, "project": False},
    "normalize": {"method": "absolute", "low_k": 200.0, "high_k": 320.0},
}
BASE = {"scale": 2, "detail": "none", "network": {"base": "bicubic"}}


def recipe(scale=2, **more):
    told = {"scale": scale, "network": {"pretrained": "weights.pth", "base": "bicubic"}, **more}
    return Recipe.model_validate(told)


def enhanced(lr, tensors, wanted):
    return enhance(scene_of(lr), wanted, device=CPU, pretrained=read_pretrained(save(tensors)))


def kelvin(enhancement):
    return enhancement.compute(Window(0, 0, *enhancement.scene.grid.shape)).temperature


def sharpening(strength):
    """SRCNN's layers as one filter: the enlarged scene, and its difference to its mean over 5 x 5."""
    first, middle, last = torch.zeros(1, 1, 9, 9), torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 5, 5)
    first[0, 0, 4, 4] = 1
    last[0, 0, 2, 2] = 1 + strength
    last -= strength / 25
    lifted = torch.full((1,), 5.0)  # so that no unit is silent
    weights = {"conv1.weight": first, "conv2.weight": middle, "conv3.weight": last}
    return weights | {"conv1.bias": lifted, "conv2.bias": torch.zeros(1), "conv3.bias": -lifted}


@pytest.fixture(scope="module")
def scene():
    return truth_and_lr(192, 2, seed=3)


@pytest.mark.parametrize("base", ["bicubic", "tikhonov"])
def test_the_product_is_its_answer_in_kelvin_by_the_recipes_normalization(base):
    """Whatever the base: what it answers stands in place of base and detail, and is rounded nowhere."""
    lr, tensors = rough((48, 48), slope=2.0), made("swinir", layers=(1,))
    told = recipe(**PLAIN, network={"pretrained": "weights.pth", "base": base})
    expected = answer("swinir", tensors, (torch.from_numpy(lr) - 200) / 120)[24:-24, 24:-24]
    found = (kelvin(enhanced(lr, tensors, told))[24:-24, 24:-24] - 200) / 120
    np.testing.assert_allclose(found, expected, atol=1e-5 * float(expected.abs().max()))


def test_tiles_are_without_seams(scene):
    enhancement = enhanced(scene[1], made("swinir"), recipe())
    whole = kelvin(enhancement)
    tile = enhancement.compute(Window(33, 18, 21, 30)).temperature
    np.testing.assert_allclose(tile, whole[66:108, 36:96], atol=1e-3)


def test_weights_that_help_are_published_by_the_share_that_the_scene_supports(scene):
    truth, lr = scene
    found = enhanced(lr, sharpening(0.6), recipe(gate={"project": False}))
    plain = kelvin(enhanced(lr, sharpening(0.0), recipe(gate={"project": False})))
    assert found.figures["gain"] > 0.3
    assert "own test" in found.provenance["gain_evidence"][0]["source"]
    errors = [float(np.sqrt(np.mean((each - truth) ** 2))) for each in (kelvin(found), plain)]
    assert errors[0] < 0.97 * errors[1]


def test_weights_that_ruin_a_scene_are_not_published(scene):
    found = enhanced(scene[1], made("swinir"), recipe())
    assert found.figures["gain"] == 0
    assert "no gain over the base is expected of the network (the scene's own test" in found.fallback
    alone = enhance(scene_of(scene[1]), Recipe.model_validate(BASE), device=CPU)
    np.testing.assert_array_equal(kelvin(found), kelvin(alone))


def test_a_network_that_looks_at_everything_is_refused_where_it_cannot_fit_and_goes_by_patches(scene):
    hat = made("hat", layers=(1,))
    build = read_pretrained(save(hat)).build
    with pytest.raises(UnusableInputError, match=r"hat looks at everything .* 60000 x 60000 .*tiles.*blend"):
        require_memory_to_apply("hat", lambda: build(2), seen=(60_000, 60_000), device=CPU)
    swinir = read_pretrained(save(made("swinir"))).build
    require_memory_to_apply("swinir", lambda: swinir(2), seen=(60_000, 60_000), device=CPU)  # by tiles
    patches = {"mode": "blend", "patch_px": 16, "context_px": 4, "self_ensemble": False}
    found = enhanced(scene[1][:40, :48], hat, recipe(**{**PLAIN, "infer": patches}))
    assert np.isfinite(kelvin(found)).all()

"""Weights of others: the same numbers as their own networks, and one line for a file that is none of them."""

import pickle

import pytest
import torch
from safetensors.torch import save

from pipeline.superres.networks.pretrained import read_pretrained
from tests.superres.networks.published import answer, as_pth, made

BUILDS = {
    "srcnn of one band": ("srcnn", {"bands": 1}, None),
    "swinir classical x2": ("swinir", {}, 2),
    "swinir classical x3 of one band": ("swinir", {"scale": 3, "bands": 1}, 3),
    "swinir lightweight x4": ("swinir", {"scale": 4, "direct": True, "layers": (2, 2)}, 4),
    "hat x4": ("hat", {"scale": 4, "layers": (2, 1)}, 4),
    "hspan x2": ("hspan", {"layers": (2, 2)}, 2),
    "hspan x8": ("hspan", {"scale": 8, "layers": (1,)}, 8),
}


@pytest.mark.parametrize("build", BUILDS)
def test_a_loaded_network_answers_as_the_published_one_does(build):
    name, how, scale = BUILDS[build]
    tensors = made(name, **how)
    loaded = read_pretrained(save(tensors))
    assert (loaded.name, loaded.scale) == (name, scale)
    generator = torch.Generator().manual_seed(5)
    picture = torch.rand(8, 12, generator=generator)
    base = torch.rand(8 * (scale or 2), 12 * (scale or 2), generator=generator)
    with torch.no_grad():
        found = loaded.network(scale or 2)(picture[None, None], base[None, None])[0, 0]
    expected = answer(name, tensors, picture, base)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


def test_a_pth_is_read_as_a_safetensors_is_whatever_stands_around_its_tensors():
    tensors = made("swinir")
    plain = read_pretrained(save(tensors)).weights
    buffers = {"layers.0.residual_group.blocks.1.attn_mask": torch.zeros(4, 16, 16)}
    buffers["layers.0.residual_group.blocks.0.attn.relative_position_index"] = torch.zeros(16, 16).long()
    wrapped = {f"module.{name}": tensor for name, tensor in (tensors | buffers).items()}
    kept = as_pth({}, params={"other": torch.zeros(1)}, params_ema=wrapped)
    read = read_pretrained(kept).weights
    assert read.keys() == plain.keys()
    assert all(torch.equal(read[name], plain[name]) for name in plain)


def test_reach_is_finite_where_windows_are_all_that_is_seen():
    assert read_pretrained(save(made("swinir"))).network(2).reach_px is not None
    assert read_pretrained(save(made("hat", layers=(2,)))).network(2).reach_px is None  # its mean of all


class Harm:
    """What a pickle of a stranger may hold."""

    def __reduce__(self):
        return (pickle.loads, (b"never called",))


def _without(tensors, *parts):
    return {name: tensor for name, tensor in tensors.items() if not any(part in name for part in parts)}


BAD = {
    "code": (as_pth({}, params=made("srcnn"), more=Harm()), "holds more than tensors, code perhaps"),
    "no tensors": (as_pth({}, epoch=3), "tensors by name are wanted"),
    "half a file": (save(made("srcnn"))[:400], "damaged, or neither safetensors nor .pth"),
    "text": (b"weights, later", "damaged|holds more than tensors"),
    "another network": (save({"backbone.conv.weight": torch.zeros(3)}), "found backbone.conv.weight"),
    "a network for photographs": (
        save(made("swinir") | {"conv_up1.weight": torch.zeros(4, 4, 3, 3)}),
        "classical and lightweight networks are read",
    ),
    "a part is missing": (
        save(_without(made("swinir"), "layers.1.residual_group.blocks.2.mlp.fc1.bias")),
        r"mlp\.0\.bias: \(24,\) is wanted in swinir, found nothing",
    ),
    "a first part is missing": (save(_without(made("hat"), "conv_first")), "conv_first.weight is wanted"),
    "another shape": (
        save(made("hspan", layers=(2, 2)) | {"body.0.body.0.body.2.weight": torch.zeros(12, 12, 5, 5)}),
        r"body\.0\.body\.0\.body\.2\.weight: \(12, 12, 3, 3\) is wanted in hspan, found \(12, 12, 5, 5\)",
    ),
    "a tensor of nobody": (
        save(made("srcnn") | {"conv4.weight": torch.zeros(1)}),
        r"conv4\.weight: nothing is wanted in srcnn",
    ),
    "kernels without a center": (
        save(made("srcnn") | {"conv1.weight": torch.zeros(8, 3, 8, 8)}),
        "kernels of odd sides",
    ),
    "a number that is none": (
        save(made("srcnn") | {"conv3.bias": torch.full((3,), torch.nan)}),
        "no finite number",
    ),
    "more numbers than bytes": (
        as_pth({"conv1.weight": torch.zeros(1).expand(10**6, 10**6)}),
        "more numbers than it has bytes",
    ),
    "tensors without sides": (
        save({name: torch.zeros(()) for name in made("srcnn")}),
        "of no build that is known",
    ),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_file_that_cannot_be_used_is_refused_in_one_line(bad):
    kept, reason = BAD[bad]
    with pytest.raises(ValueError, match=reason) as caught:
        read_pretrained(kept)
    assert "\n" not in str(caught.value)

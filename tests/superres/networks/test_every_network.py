"""Claims that hold for every network in NETWORKS, at every size that it comes in."""

from itertools import product

import numpy as np
import pytest
import torch

from pipeline.grid import Window
from pipeline.superres.applying.enlarge import network_upscaler
from pipeline.superres.applying.windows import compute_window
from pipeline.superres.bases.base import bicubic_base
from pipeline.superres.networks import NETWORKS, count_parameters
from pipeline.superres.networks.device import sees_everything
from pipeline.superres.networks.high_similarity import HighSimilarityAttention
from tests.superres.networks.made import make_network, pictures, wake

SIZES = ("small", "standard", "original")
SCALES = (2, 4, 8)
DEEP = {"blocks": 2, "layers": 2}  # in place of the many groups of these networks' larger sizes, all alike
FEW = {"swinir": DEEP, "hat": DEEP, "hspan": DEEP}

every_network = pytest.mark.parametrize(
    ("name", "size", "scale"),
    [(name, size, scale) for name, size, scale in product(NETWORKS, SIZES, SCALES)],
)


def make(name, scale, size="small", **settings):
    """As `make_network`, with few groups, and little windows where pixels are compared by similarity."""
    few = {} if size == "small" else FEW.get(name, {})
    little = {"window_px": 8} if name == "hspan" and size != "original" else {}
    return make_network(name, scale, size, **few, **little, **settings)


@every_network
def test_an_untrained_network_is_its_base_except_the_original_one(name, size, scale):
    lr, base = pictures(scale, side=11)
    original = (name, size) == ("attention", "original")  # starts at random
    assert torch.equal(make(name, scale, size)(lr, base), base) != original


@every_network
def test_the_answer_has_the_shape_of_the_base(name, size, scale):
    lr, base = pictures(scale, count=2, shape=(11, 13))
    assert wake(make(name, scale, size))(lr, base).shape == (2, 1, 11 * scale, 13 * scale)


@pytest.mark.parametrize("name", NETWORKS)
def test_same_seed_same_weights(name):
    one, other, third = (make_network(name, 2, seed=seed) for seed in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one.parameters(), third.parameters(), strict=True))


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_reach_is_where_gradients_end(name, scale):
    network = wake(make(name, scale, channels=8))
    assert network.reach_px - 4 <= seen_px(network, scale) <= network.reach_px


@pytest.mark.parametrize("size", ["standard", "original"])
@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_beyond_the_stated_reach_has_a_gradient_in_larger_sizes(name, size):
    network = wake(make(name, 2, size, channels=8))
    if network.reach_px is None:
        assert sees_everything(network)
    else:
        assert seen_px(network, 2) <= network.reach_px


def seen_px(network, scale):
    """Farthest LR pixel, in rows or columns, that has a gradient on any sub-pixel of the center one.

    Of a network with windows, wherever the center one lies in its window.
    """
    # Small positive weights, so that no unit sleeps and no attention saturates.
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_().clamp_(max=0.05)
        for module in network.modules():
            if isinstance(module, HighSimilarityAttention):  # all alike, so that each takes from all
                module.own[0].weight.zero_()
    side = 2 * (network.reach_px + 4 + network.lattice_px) + 1
    farthest = 0
    for phase in sorted({0, network.lattice_px // 2, network.lattice_px - 1}):
        center = side // 2 // network.lattice_px * network.lattice_px + phase
        lr, base = (picture.requires_grad_() for picture in pictures(scale, side))
        inner = slice(center * scale, (center + 1) * scale)
        network(lr, base)[0, 0, inner, inner].sum().backward()
        changed = lr.grad[0, 0] != 0 if lr.grad is not None else torch.zeros(side, side, dtype=torch.bool)
        changed |= (base.grad[0, 0].reshape(side, scale, side, scale) != 0).any(3).any(1)
        rows, columns = torch.nonzero(changed, as_tuple=True)
        farthest = max(farthest, int((rows - center).abs().max()), int((columns - center).abs().max()))
    return farthest


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", ["small", "standard"])
def test_the_answer_does_not_depend_on_the_tile(name, size):
    network = wake(make(name, 2, size))
    reach = network.reach_px
    up = network_upscaler(network, base=bicubic_base(2), device=torch.device("cpu"))
    lr = pictures(2, side=2 * reach + 40)[0][0, 0].numpy()
    whole = compute_window(up, lr, Window(0, 0, *lr.shape))
    window = Window(reach + 3, reach + 5, 18, 18)
    tile = compute_window(up, lr, window)
    np.testing.assert_allclose(tile, whole[window.refine(2).slices], atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", ["small", "standard"])
def test_a_scene_shifted_in_kelvin_gets_the_same_detail(name, size):
    network = wake(make(name, 2, size))
    lr, base = pictures(2, side=24)
    shifted = network(lr + 3.0, base + 3.0) - 3.0
    torch.testing.assert_close(shifted, network(lr, base), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_scene_of_twice_the_contrast_gets_twice_the_detail(name):
    network = wake(make_network(name, 2))
    lr, base = pictures(2, side=24)
    plain = network(lr, base)
    network.calibrate(unit=2.0)
    torch.testing.assert_close(network(2 * lr, 2 * base), 2 * plain, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("scale", [2, 4])
def test_reduced_precision_stays_within_a_hundredth_of_a_kelvin(name, scale):
    """Where 0.3 K RMS are added, more than a network adds to any real scene that was tried."""
    network = wake(make_network(name, scale))
    lr, base = (300.0 + 2.0 * part for part in pictures(scale, side=24))
    detail = network(lr, base) - base
    network.calibrate(unit=1.0, sigma=0.3 / float(detail.detach().std()))
    with torch.inference_mode():
        full = network(lr, base)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            reduced = network(lr, base)
    assert reduced.dtype == torch.float32
    difference = float((reduced - full).square().mean().sqrt())
    assert 0 < difference <= 0.01


def test_the_seed_network_has_the_parameters_that_were_counted():
    millions = {
        scale: count_parameters(make_network("attention", scale, "original")) / 1e6 for scale in (4, 8, 16)
    }
    assert {scale: round(count, 3) for scale, count in millions.items()} == {4: 0.939, 8: 1.086, 16: 1.234}


def test_the_large_seed_network_has_the_parameters_that_were_counted():
    network = make_network("attention", 8, "original", channels=128, blocks=16)
    assert round(count_parameters(network) / 1e6, 2) == 6.73


@pytest.mark.parametrize(
    ("name", "size", "scale", "millions"),
    [
        ("swinir", "standard", 4, 0.911),  # its lightweight one
        ("swinir", "original", 2, 11.75),
        ("hat", "original", 4, 20.8),
        ("hspan", "original", 4, 33.6),
    ],
)
def test_the_papers_networks_have_the_papers_number_of_parameters(name, size, scale, millions):
    with torch.device("meta"):
        network = make_network(name, scale, size, base_input=False)
    assert count_parameters(network) / 1e6 == pytest.approx(millions, rel=0.005)


def test_an_unknown_network_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="'attention', 'zssr', 'srcnn', 'swinir', 'hat' or 'hspan'"):
        make_network("edsr", 2)


def test_the_noise_is_seen_by_a_network_that_is_told_it():
    network = wake(make_network("attention", 2, noise_input=True))
    lr, base = pictures(2, side=24)
    quiet = network(lr, base)
    network.calibrate(unit=1.0, noise=0.5)
    assert not torch.allclose(network(lr, base), quiet)
    torch.testing.assert_close(network(lr, base, torch.zeros(1, 1, 1, 1)), quiet)

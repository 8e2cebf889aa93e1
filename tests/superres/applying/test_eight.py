"""Eight turns on the coarse grid are the eight turned pictures, in whatever part and whatever network."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from pipeline.grid import Window
from pipeline.recipe_settings import InferSettings
from pipeline.superres.applying.eight import turn_maps
from pipeline.superres.applying.enlarge import network_upscaler
from pipeline.superres.applying.passes import TURNS, blended, passes, turn
from pipeline.superres.applying.windows import compute_passes
from pipeline.superres.bases.base import bicubic_base
from pipeline.superres.sensing.normalize import Normalization
from tests.superres.networks.made import make_network, wake
from tests.superres.upscalers import landscape

CPU = torch.device("cpu")
UNITS = Normalization(290.0, 8.0, "absolute")
WINDOW = Window(3, 9, 20, 13)


def network_of(scale, **settings):
    network = wake(make_network("attention", scale, **settings))
    network.calibrate(unit=0.7, sigma=0.5)
    return network


def upscaler(network, scale, **options):
    return network_upscaler(network, base=bicubic_base(scale), device=CPU, **options)


def both_ways(up, lr, window):
    """Mean and spread by eight turns at once, and turn by turn."""
    ways = passes(up, InferSettings(), np.random.default_rng(0))
    singly = [dataclasses.replace(way, eight=None) for way in ways]
    return compute_passes(ways, lr, window, "mean"), compute_passes(singly, lr, window, "mean")


@pytest.mark.parametrize("scale", [2, 4])
def test_eight_turns_at_once_are_the_eight_turned_pictures(scale):
    up = upscaler(network_of(scale), scale, units=UNITS)
    together, singly = both_ways(up, landscape(40, 33), WINDOW)
    assert singly[1].max() > 0.05
    for found, wanted in zip(together, singly, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-4)


def test_in_half_precision_they_agree_to_a_millikelvin():
    up = upscaler(network_of(4), 4, units=UNITS, mixed_precision="bfloat16")
    (found, _), (wanted, _) = both_ways(up, landscape(40, 33), WINDOW)
    assert np.sqrt(np.mean((found - wanted).astype(np.float64) ** 2)) < 1e-3


@pytest.mark.parametrize("k", TURNS)
def test_what_a_network_is_given_turned_is_what_it_is_given_of_the_turned_picture(k):
    network, lr = network_of(2), landscape(12, 10)
    base = bicubic_base(2)(lr)
    given = network.inputs(*(torch.from_numpy(part)[None, None] for part in (lr, base)))
    turned = network.inputs(*(torch.from_numpy(turn(part, k))[None, None] for part in (lr, base)))
    torch.testing.assert_close(turn_maps(given, 2, k), turned, rtol=0, atol=2e-4)


def test_a_network_that_unfolds_in_stages_or_in_patches_is_given_turned_pictures():
    staged = network_of(4, upsampler="stages", base_input=False)
    assert upscaler(staged, 4).eight is None
    clipping = dataclasses.replace(UNITS, clip=True)
    assert upscaler(network_of(4), 4, units=clipping).eight is None
    up = upscaler(network_of(4), 4)
    assert up.eight is not None
    assert blended(up, patch_px=8, overlap_fraction=0.25, context_px=2).eight is None


def test_tiles_of_eight_turns_leave_no_seams():
    ways = passes(upscaler(network_of(2), 2), InferSettings(), np.random.default_rng(0))
    lr = landscape(70, 66)
    whole, spread = compute_passes(ways, lr, Window(0, 0, 70, 66), "mean")
    part, its_spread = compute_passes(ways, lr, WINDOW, "mean")
    fine = WINDOW.refine(2).slices
    np.testing.assert_allclose(part, whole[fine], rtol=0, atol=2e-4)
    np.testing.assert_allclose(its_spread, spread[fine], rtol=0, atol=2e-4)

"""Attributions add up to what they explain, lie where the network looks, and spread as it spreads."""

import numpy as np
import pytest
import torch

from pipeline.grid import Window
from pipeline.superres.bases.base import bicubic_base
from pipeline.superres.judging.attribution import Attribution, attribute, box_feature, pixel_feature
from pipeline.superres.networks import NETWORKS
from tests.superres.networks.made import make_network, wake
from tests.superres.textures import smooth_noise

SIDE = 32
FEW = {"channels": 8, "blocks": 1, "layers": 2, "window_px": 8}


def enlarger(network):
    base = bicubic_base(2)

    def enlarge(lr):
        enlarged = base(lr)
        return enlarged if network is None else network(lr[None, None], enlarged[None, None])[0, 0]

    return enlarge


def scene():
    return (300 + 5 * smooth_noise(SIDE)).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "feature"),
    [*((name, box_feature(Window(28, 28, 8, 8))) for name in NETWORKS), ("hspan", pixel_feature(31, 33))],
)
def test_the_shares_add_up_to_what_the_answer_gained(name, feature):
    network = wake(make_network(name, 2, **FEW))
    found = attribute(scene(), enlarger(network), feature)
    assert found.end != found.start
    gained = found.end - found.start
    assert abs(found.shares.sum() - gained) < 0.01 * abs(gained)
    assert found.missing_fraction < 0.01


def test_the_shares_of_a_linear_answer_are_its_weights_times_the_way():
    """Exact for bicubic: weight times (scene minus blurred scene), whatever the number of steps."""
    few, many = (attribute(scene(), enlarger(None), pixel_feature(31, 33), steps=n) for n in (2, 16))
    np.testing.assert_allclose(few.shares, many.shares, atol=1e-4)
    rows, columns = np.nonzero(np.abs(many.shares) > 1e-6)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (14, 17, 15, 18)


def test_nothing_beyond_the_reach_has_a_share():
    network = wake(make_network("srcnn", 2, channels=8))
    found = attribute(scene(), enlarger(network), pixel_feature(31, 33), steps=4)
    rows, columns = np.nonzero(found.shares)
    reach = network.reach_px + 2  # bicubic looks two pixels
    assert max(np.abs(rows - 15).max(), np.abs(columns - 16).max()) <= reach


def test_the_diffusion_index_runs_from_one_pixel_to_all():
    one, all_alike, half = np.zeros((10, 10)), np.ones((10, 10)), np.zeros((10, 10))
    one[3, 4], half[:5] = 7.0, -2.0
    index = [Attribution(shares, 0.0, 1.0).diffusion_index for shares in (one, all_alike, half)]
    assert index == pytest.approx([1.0, 100.0, 50.0])
    assert Attribution(np.zeros((3, 3)), 0.0, 0.0).diffusion_index == 100.0


def test_a_network_that_looks_farther_spreads_more():
    near, far = (wake(make_network(name, 2, **FEW)) for name in ("srcnn", "hspan"))
    feature = box_feature(Window(28, 28, 8, 8))
    indices = [attribute(scene(), enlarger(each), feature, steps=4).diffusion_index for each in (near, far)]
    assert indices[0] < indices[1]
    assert torch.isfinite(torch.tensor(indices)).all()

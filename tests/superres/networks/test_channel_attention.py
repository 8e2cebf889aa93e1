"""Channel attention in its two published forms: by average and maximum, and by the average alone."""

import pytest
import torch

from pipeline.superres.networks import attention
from pipeline.superres.networks.attention import ChannelAttention
from tests.superres.networks.made import make_network


@pytest.fixture(autouse=True)
def the_same_first_weights():
    """Weights come from torch's own generator, which other tests have moved on."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        yield


def features(channels=64):
    return torch.randn((2, channels, 9, 11), generator=torch.Generator().manual_seed(2))


def test_by_the_average_alone_with_a_squeeze_of_sixteen_it_is_the_published_formula():
    attend, seen = ChannelAttention(64, 16, 0, pooling="average"), features()
    squeeze, _, unfold = attend.weigh
    assert squeeze.weight.shape == (4, 64, 1, 1)
    mean = seen.mean(dim=(2, 3))
    hidden = torch.relu(mean @ squeeze.weight[:, :, 0, 0].T + squeeze.bias)
    weight = torch.sigmoid(hidden @ unfold.weight[:, :, 0, 0].T + unfold.bias)
    torch.testing.assert_close(attend(seen), seen * weight[:, :, None, None])


@pytest.mark.parametrize(("pooling", "notices"), [("average", False), ("both", True)])
def test_only_the_form_with_the_maximum_notices_an_extreme_pixel(pooling, notices):
    attend, calm = ChannelAttention(64, 16, 0, pooling=pooling), features()
    extreme = calm.clone()
    extreme[..., 0, 0] += 50
    extreme[..., 8, 10] -= 50  # the mean stays
    same = torch.allclose(attend(calm)[..., 4, 4], attend(extreme)[..., 4, 4], atol=1e-4)
    assert same != notices


def test_the_recipe_reaches_both_knobs():
    network = make_network("attention", 2, channels=32, attention_pooling="average", attention_reduction=16)
    (attend, *_) = [module for module in network.modules() if isinstance(module, ChannelAttention)]
    assert (attend.pooling, attend.weigh[0].out_channels) == ("average", 2)


@pytest.mark.parametrize("channels", [1, 6, 7, 32])
def test_the_highest_channel_is_the_same_with_and_without_gradients(channels):
    seen = features(channels)
    with torch.no_grad():
        found = attention._highest_channel(seen)
    assert torch.equal(found, seen.amax(dim=1, keepdim=True))
    assert torch.equal(found, attention._highest_channel(seen))

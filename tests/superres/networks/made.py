"""Networks and what they are given."""

import torch

from pipeline.network_settings import NetworkSettings
from pipeline.recipe import Recipe
from pipeline.superres.networks import build_network


def make_network(name, scale, size="small", seed=0, **settings):
    recipe = Recipe(scale=scale, network=NetworkSettings(name=name, size=size, **settings)).resolved()
    return build_network(recipe.network, scale, seed=seed)


def wake(network, seed=1):
    """Give the last layer something to say."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.head.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return network.eval()


def pictures(scale, side=12, seed=0, count=1, shape=None):
    generator = torch.Generator().manual_seed(seed)
    lr = torch.randn(count, 1, *(shape or (side, side)), generator=generator)
    base = torch.nn.functional.interpolate(lr, scale_factor=scale, mode="bicubic", align_corners=False)
    return lr, base.detach()

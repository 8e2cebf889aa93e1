"""The networks one can choose from.

To add one: a module beside this one with a function that builds a `DetailNetwork`, and a line in
`NETWORKS`; the tests in tests/superres/networks/test_every_network.py run on it at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from pipeline.network_settings import NetworkSettings
from pipeline.superres.networks.attention import attention_network
from pipeline.superres.networks.detail import DetailNetwork, detail_unit
from pipeline.superres.networks.hat import hat_network
from pipeline.superres.networks.hspan import hspan_network
from pipeline.superres.networks.srcnn import srcnn_network
from pipeline.superres.networks.swinir import swinir_network
from pipeline.superres.networks.zssr import zssr_network

NETWORKS: Mapping[str, Callable[[NetworkSettings, int], DetailNetwork]] = {
    "attention": attention_network,
    "zssr": zssr_network,
    "srcnn": srcnn_network,
    "swinir": swinir_network,
    "hat": hat_network,
    "hspan": hspan_network,
}


def build_network(settings: NetworkSettings, scale: int, *, seed: int) -> DetailNetwork:
    """A fresh network; same seed, same weights. The settings' size must be filled in (`Recipe.resolved`)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return NETWORKS[settings.name](settings, scale)


def count_parameters(network: torch.nn.Module) -> int:
    """Trainable numbers of a network."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


__all__ = ["NETWORKS", "DetailNetwork", "build_network", "count_parameters", "detail_unit"]

"""The plain zero-shot network: eight hidden layers on the enlarged base.

It works on the fine grid, so every enlargement has the same network, and its cost grows with the
product's pixels.

Source: Shocher et al. 2018, "Zero-Shot" Super-Resolution using Deep Internal Learning.
"""

from __future__ import annotations

from pipeline.network_settings import NetworkSettings
from pipeline.superres.networks.detail import Chain, DetailNetwork, alternate, convolution

HIDDEN_LAYERS = 8


def zssr_network(settings: NetworkSettings, scale: int) -> DetailNetwork:
    """Eight hidden layers of 3x3; channels as the settings say, 64 in the paper."""
    channels = settings.channels or 64
    hidden = [convolution(1, channels)]
    hidden += [convolution(channels, channels) for _ in range(HIDDEN_LAYERS - 1)]
    return DetailNetwork(
        Chain(*alternate(hidden), reach_px=HIDDEN_LAYERS),
        Chain(convolution(channels, 1), reach_px=1),
        scale=scale,
        grid="hr",
        mean_window_px=settings.mean_window_px or 0,
    )

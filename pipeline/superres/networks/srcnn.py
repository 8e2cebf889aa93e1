"""SRCNN: extract, map, reconstruct; three convolutions on the enlarged base.

Source: Dong et al. 2014, Learning a Deep Convolutional Network for Image Super-Resolution; the
base is added back here, which the paper does not do.
"""

from __future__ import annotations

from pipeline.network_settings import NetworkSettings
from pipeline.superres.networks.detail import Chain, DetailNetwork, alternate, convolution


def srcnn_network(settings: NetworkSettings, scale: int) -> DetailNetwork:
    """9x9 to 64 features, 1x1 or 5x5 to half of them, 5x5 to the detail."""
    channels, mapping_px = settings.channels or 64, settings.mapping_px
    layers = [convolution(1, channels, 9), convolution(channels, channels // 2, mapping_px)]
    return DetailNetwork(
        Chain(*alternate(layers), reach_px=4 + mapping_px // 2),
        Chain(convolution(channels // 2, 1, 5), reach_px=2),
        scale=scale,
        grid="hr",
        mean_window_px=settings.mean_window_px or 0,
    )

"""SwinIR: groups of layers that attend within windows, every second one shifted by half a window.

The size `standard` is the paper's lightweight network, `original` its classical one.

Source: Liang et al. 2021, SwinIR: Image Restoration Using Swin Transformer; the base is added back here,
which the paper does not do.
"""

from __future__ import annotations

from pipeline.network_settings import NetworkSettings, filled
from pipeline.superres.networks.detail import DetailNetwork
from pipeline.superres.networks.heads import coarse_inputs, coarse_network, direct_head, narrowed_head
from pipeline.superres.networks.window_body import WindowBody, WindowGroup, shifts
from pipeline.superres.networks.windows import WindowLayer


def swinir_network(settings: NetworkSettings, scale: int) -> DetailNetwork:
    """The network of these settings, its size filled in (`Recipe.resolved`)."""
    channels, blocks = filled(settings, "channels"), filled(settings, "blocks")
    layers, window_px = filled(settings, "layers"), filled(settings, "window_px")
    groups = [
        WindowGroup(
            channels,
            [WindowLayer(channels, window_px, shift_px=shift_px) for shift_px in shifts(layers, window_px)],
        )
        for _ in range(blocks)
    ]
    head = narrowed_head if settings.upsampler == "stages" else direct_head
    body = WindowBody(coarse_inputs(settings, scale), channels, groups, window_px=window_px)
    return coarse_network(settings, scale, body, head(channels, scale))

"""HAT: window attention beside channel attention, and windows that see over their border.

Source: Chen et al. 2023, Activating More Pixels in Image Super-Resolution Transformer; the base is added
back here, which the paper does not do. Its channel attention pools over the whole picture (the size
`original` does); in the other sizes it pools over a window, so that a pixel does not depend on its tile.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from pipeline.network_settings import NetworkSettings, filled
from pipeline.superres.networks.attention import ChannelAttention
from pipeline.superres.networks.detail import DetailNetwork, Maps, convolution
from pipeline.superres.networks.heads import coarse_inputs, coarse_network, direct_head, narrowed_head
from pipeline.superres.networks.looks import Look, convolution_look
from pipeline.superres.networks.window_body import WindowBody, WindowGroup, shifts
from pipeline.superres.networks.windows import WindowLayer

COMPRESSION = 3  # of the channels between the two convolutions of a channel attention block
SQUEEZE = 30  # of its channel attention


class ChannelAttentionBlock(nn.Module):
    """Two convolutions through fewer channels, and channel attention.

    Attributes:
        look: Which pixels it looks at.
    """

    def __init__(
        self, channels: int, window_px: int, *, compression: int = COMPRESSION, squeeze: int = SQUEEZE
    ) -> None:
        super().__init__()
        self.body = nn.Sequential(
            convolution(channels, channels // compression),
            nn.GELU(),
            convolution(channels // compression, channels),
            ChannelAttention(channels, squeeze, window_px, pooling="average"),
        )
        self.look: Look = convolution_look(2 + window_px // 2)

    def forward(self, features: Maps) -> Maps:
        """(n, channel, y, x) to the same."""
        return cast(Tensor, self.body(features))


def hat_network(settings: NetworkSettings, scale: int) -> DetailNetwork:
    """The network of these settings, its size filled in (`Recipe.resolved`)."""
    channels, window_px = filled(settings, "channels"), filled(settings, "window_px")
    groups = [_group(settings, channels, window_px) for _ in range(filled(settings, "blocks"))]
    body = WindowBody(
        coarse_inputs(settings, scale),
        channels,
        groups,
        window_px=window_px,
        sees_everything=settings.attention_window_px == 0,
    )
    head = narrowed_head if settings.upsampler == "stages" else direct_head
    return coarse_network(settings, scale, body, head(channels, scale))


def _group(settings: NetworkSettings, channels: int, window_px: int) -> WindowGroup:
    """Hybrid layers, one layer of overlapping windows (half a window wider), a convolution."""
    pooled_px = filled(settings, "attention_window_px")
    hybrid = [
        WindowLayer(
            channels,
            window_px,
            shift_px=shift_px,
            beside=ChannelAttentionBlock(channels, pooled_px),
        )
        for shift_px in shifts(filled(settings, "layers"), window_px)
    ]
    return WindowGroup(channels, [*hybrid, WindowLayer(channels, window_px, overlap_px=window_px // 4)])

"""The attention network: residual blocks that weigh what they found by channel and by place.

It works on the coarse grid and unfolds its answer at the end (sub-pixel convolution), so
it costs the same at x2 and x8. The original pools the channel attention over the whole picture, which
makes a pixel depend on its tile; here it pools over a window, except in the size `original`.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from pipeline.recipe_settings import NetworkSettings
from pipeline.superres.networks.detail import Chain, DetailNetwork, convolution, local_mean


class ChannelAttention(nn.Module):
    """Weighs channels by their average and their maximum nearby; one small network for both.

    Source: Woo et al. 2018, CBAM, with a window in place of the whole picture.
    """

    def __init__(self, channels: int, reduction: int, window_px: int) -> None:
        super().__init__()
        squeezed = max(channels // reduction, 1)
        self.weigh = nn.Sequential(
            nn.Conv2d(channels, squeezed, 1), nn.ReLU(), nn.Conv2d(squeezed, channels, 1)
        )
        self.window_px = window_px

    def forward(self, features: Float[Tensor, "n channel y x"]) -> Float[Tensor, "n channel y x"]:
        """(n, channel, y, x) to the same."""
        if self.window_px == 0:
            average = features.mean(dim=(-2, -1), keepdim=True)
            highest = features.amax(dim=(-2, -1), keepdim=True)
        else:
            average = local_mean(features, self.window_px)
            highest = _local_maximum(features, self.window_px)
        return features * torch.sigmoid(self.weigh(average) + self.weigh(highest))


class SpatialAttention(nn.Module):
    """Weighs places by the average and the maximum over channels. Source: Woo et al. 2018, CBAM."""

    def __init__(self, kernel_px: int) -> None:
        super().__init__()
        self.weigh = convolution(2, 1, kernel_px)

    def forward(self, features: Float[Tensor, "n channel y x"]) -> Float[Tensor, "n channel y x"]:
        """(n, channel, y, x) to the same."""
        summary = torch.cat((features.mean(dim=1, keepdim=True), features.amax(dim=1, keepdim=True)), dim=1)
        return features * torch.sigmoid(self.weigh(summary))


class ResidualBlock(nn.Module):
    """Two convolutions, the attentions, and the input added back."""

    def __init__(self, settings: NetworkSettings, channels: int, *, attend: bool) -> None:
        super().__init__()
        group, pooled = settings.norm == "group", attend and settings.channel_attention
        window_px = settings.attention_window_px or 0
        body: list[nn.Module] = [convolution(channels, channels)]
        body += [nn.GroupNorm(8, channels)] if group else []
        body += [nn.ReLU(), convolution(channels, channels)]
        body += [nn.GroupNorm(8, channels)] if group else []
        reach_px = 2
        if pooled:
            body.append(ChannelAttention(channels, settings.attention_reduction, window_px))
            reach_px += window_px // 2
        if attend and settings.spatial_attention:
            body.append(SpatialAttention(settings.attention_kernel_px))
            reach_px += settings.attention_kernel_px // 2
        # Statistics of the whole picture make every pixel depend on every other.
        self.reach_px = None if group or (pooled and window_px == 0) else reach_px
        self.body = nn.Sequential(*body)

    def forward(self, features: Float[Tensor, "n channel y x"]) -> Float[Tensor, "n channel y x"]:
        """(n, channel, y, x) to the same."""
        return cast(Tensor, features + self.body(features))


def attention_network(settings: NetworkSettings, scale: int) -> DetailNetwork:
    """The network of these settings, its size filled in (`Recipe.resolved`).

    Size `original` is that network as drawn: a 7x7 head, 8 blocks of 64 channels, fusion, log2(scale)
    stages, and the scene itself as only input; the others see the base too and unfold in one step.
    """
    if settings.channels is None or settings.blocks is None:
        raise ValueError("network.channels and network.blocks are unset; resolve the recipe first")
    channels, staged = settings.channels, settings.upsampler == "stages"
    inputs = 1 + (scale**2 if settings.base_input else 0) + settings.noise_input
    first_px = 7 if staged else 3
    blocks = [
        ResidualBlock(settings, channels, attend=(i + 1) % settings.attention_every == 0)
        for i in range(settings.blocks)
    ]
    reaches = [block.reach_px for block in blocks if block.reach_px is not None]
    body = Chain(
        convolution(inputs, channels, first_px),
        *blocks,
        convolution(channels, channels),
        reach_px=first_px // 2 + sum(reaches) + 1 if len(reaches) == len(blocks) else None,
    )
    return DetailNetwork(
        body,
        _staged_head(channels, scale) if staged else _direct_head(channels, scale),
        scale=scale,
        grid="lr",
        mean_window_px=settings.mean_window_px or 0,
        base_input=bool(settings.base_input),
        noise_input=settings.noise_input,
        starts_at_base=not staged,
    )


def _staged_head(channels: int, scale: int) -> Chain:
    """Doubles log2(scale) times, then projects. Its reach is 1 + 1/2 + 1/4 ..., below two LR pixels."""
    stages: list[nn.Module] = []
    for _ in range(int(math.log2(scale))):
        stages += [convolution(channels, 4 * channels), nn.PixelShuffle(2), nn.ReLU()]
    return Chain(*stages, convolution(channels, 1), reach_px=2)


def _direct_head(channels: int, scale: int) -> Chain:
    return Chain(nn.ReLU(), convolution(channels, scale**2), nn.PixelShuffle(scale), reach_px=1)


def _local_maximum(features: Tensor, window_px: int) -> Tensor:
    """Maximum over a window, rows first and columns after; the border adds nothing."""
    half = window_px // 2
    rows = functional.max_pool2d(features, (window_px, 1), stride=1, padding=(half, 0))
    return functional.max_pool2d(rows, (1, window_px), stride=1, padding=(0, half))

"""The attention network: residual blocks that weigh what they found by channel and by place.

It works on the coarse grid and unfolds its answer at the end (sub-pixel convolution), so
it costs the same at x2 and x8. The original pools the channel attention over the whole picture, which
makes a pixel depend on its tile; here it pools over a window, except in the size `original`.
"""

from __future__ import annotations

import math
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.network_settings import NetworkSettings, filled
from pipeline.superres.networks.detail import Chain, DetailNetwork, Maps, convolution, local_mean
from pipeline.superres.networks.heads import coarse_inputs, coarse_network
from pipeline.superres.networks.high_similarity import HighSimilarityAttention
from pipeline.superres.networks.looks import Look, convolution_look, reach_of
from pipeline.superres.networks.windows import WindowLayer


class ChannelAttention(nn.Module):
    """Weighs channels by their average and their maximum nearby, or by the average alone (`pooling`).

    One small network for both. Sources: Woo et al. 2018, CBAM; Zhang et al. 2018, RCAN (the average alone);
    with a window in place of the whole picture, unless `window_px` is 0. Over a window the channels are
    squeezed before they are pooled, which costs an eighth of it.
    """

    def __init__(
        self, channels: int, reduction: int, window_px: int, pooling: Literal["both", "average"] = "both"
    ) -> None:
        super().__init__()
        self.pooling = pooling
        squeezed = max(channels // reduction, 1)
        self.weigh = nn.Sequential(
            nn.Conv2d(channels, squeezed, 1), nn.ReLU(), nn.Conv2d(squeezed, channels, 1)
        )
        self.window_px = window_px

    def forward(self, features: Maps) -> Maps:
        """(n, channel, y, x) to the same."""
        squeeze, between, unfold = self.weigh
        if self.window_px == 0:
            weight = self.weigh(features.mean(dim=(-2, -1), keepdim=True))
            if self.pooling == "both":
                weight = weight + self.weigh(features.amax(dim=(-2, -1), keepdim=True))
            return features * torch.sigmoid(weight)
        squeezed = squeeze(features)
        pooled = between(local_mean(squeezed, self.window_px))
        if self.pooling == "both":
            pooled = pooled + between(_local_maximum(squeezed, self.window_px))
        return features * torch.sigmoid(unfold(pooled))


class SpatialAttention(nn.Module):
    """Weighs places by the average and the maximum over channels. Source: Woo et al. 2018, CBAM."""

    def __init__(self, kernel_px: int) -> None:
        super().__init__()
        self.weigh = convolution(2, 1, kernel_px)

    def forward(self, features: Maps) -> Maps:
        """(n, channel, y, x) to the same."""
        # The average as a convolution: fifteen times faster on a CPU than the mean over one axis.
        total = functional.conv2d(features, features.new_ones((1, features.shape[1], 1, 1)))
        average = total / features.shape[1]
        summary = torch.cat((average, _highest_channel(features)), dim=1)
        return features * torch.sigmoid(self.weigh(summary))


class WindowedAttention(nn.Module):
    """A layer of window attention for features of any size, continued to whole windows by their own border.

    Attributes:
        look: Which pixels it looks at.
    """

    def __init__(self, channels: int, window_px: int, *, shift_px: int = 0, overlap_px: int = 0) -> None:
        super().__init__()
        self.layer = WindowLayer(channels, window_px, shift_px=shift_px, overlap_px=overlap_px)
        self.side_px, self.look = window_px, self.layer.look

    def forward(self, features: Maps) -> Maps:
        """(n, channel, y, x) to the same."""
        height, width = features.shape[-2:]
        more = [-size % self.side_px for size in (height, width)]
        whole = functional.pad(features, (0, more[1], 0, more[0]), mode="replicate")
        return cast(Tensor, self.layer(whole.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)[..., :height, :width])


class ResidualBlock(nn.Module):
    """Two convolutions, the attentions, and the input added back.

    Attributes:
        looks: Which pixels its layers look at; None where one of them sees everything.
    """

    def __init__(self, settings: NetworkSettings, channels: int, *, attend: bool, odd: bool = False) -> None:
        super().__init__()
        group = settings.norm == "group"
        body: list[nn.Module] = [convolution(channels, channels)]
        body += [nn.GroupNorm(8, channels)] if group else []
        body += [nn.ReLU(inplace=True), convolution(channels, channels)]
        body += [nn.GroupNorm(8, channels)] if group else []
        attentions = _attentions(settings, channels, odd=odd) if attend else []
        self.body = nn.Sequential(*body, *(module for module, _ in attentions))
        everywhere = group or any(look is None for _, look in attentions)
        found = [look for _, look in attentions if look is not None]
        self.looks: list[Look] | None = None if everywhere else [convolution_look(2), *found]

    def forward(self, features: Maps) -> Maps:
        """(n, channel, y, x) to the same."""
        return cast(Tensor, features + self.body(features))


def _attentions(
    settings: NetworkSettings, channels: int, *, odd: bool
) -> list[tuple[nn.Module, Look | None]]:
    """The attentions of a block, each with its look (None: everything); `odd` shifts the windows."""
    if settings.attention == "cbam":
        found: list[tuple[nn.Module, Look | None]] = []
        if settings.channel_attention:
            pooled_px = settings.attention_window_px or 0
            module = ChannelAttention(
                channels, settings.attention_reduction, pooled_px, settings.attention_pooling
            )
            found.append((module, convolution_look(pooled_px // 2) if pooled_px else None))
        if settings.spatial_attention:
            kernel_px = settings.attention_kernel_px
            found.append((SpatialAttention(kernel_px), convolution_look(kernel_px // 2)))
        return found
    if settings.attention == "none":
        return []
    window_px = filled(settings, "window_px")
    shift_px = window_px // 2 if odd else 0
    if settings.attention == "hspa":
        similar = HighSimilarityAttention(
            channels,
            window_px=window_px,
            shift_px=shift_px,
            topk=settings.topk,
            residual_scale=settings.residual_scale,
            reduction=settings.similarity_reduction,
        )
        return [(similar, similar.look if window_px else None)]
    if settings.attention == "overlapping_window":
        wide = WindowedAttention(channels, window_px, overlap_px=window_px // 4)
        return [(wide, wide.look)]
    windowed = WindowedAttention(channels, window_px, shift_px=shift_px)
    return [(windowed, windowed.look)]


def attention_network(settings: NetworkSettings, scale: int) -> DetailNetwork:
    """The network of these settings, its size filled in (`Recipe.resolved`).

    Size `original` is that network as drawn: a 7x7 head, 8 blocks of 64 channels, fusion, log2(scale)
    stages, and the scene itself as only input; the others see the base too and unfold in one step.
    """
    channels, staged = filled(settings, "channels"), settings.upsampler == "stages"
    first_px = 7 if staged else 3
    blocks = []
    for index in range(filled(settings, "blocks")):
        attend = (index + 1) % settings.attention_every == 0
        blocks.append(ResidualBlock(settings, channels, attend=attend, odd=bool(index % 2)))
    looks: list[Look] | None = [convolution_look(first_px // 2)]
    for block in blocks:
        looks = None if looks is None or block.looks is None else looks + block.looks
    placed = settings.attention in ("window", "overlapping_window", "hspa") and bool(settings.window_px)
    lattice_px = filled(settings, "window_px") if placed else 1
    body = Chain(
        convolution(coarse_inputs(settings, scale), channels, first_px),
        *blocks,
        convolution(channels, channels),
        reach_px=None if looks is None else reach_of([*looks, convolution_look(1)], lattice_px),
        lattice_px=lattice_px,
    )
    head = _staged_head if staged else _direct_head
    return coarse_network(settings, scale, body, head(channels, scale), starts_at_base=not staged)


def _staged_head(channels: int, scale: int) -> Chain:
    """Doubles log2(scale) times, then projects. Its reach is 1 + 1/2 + 1/4 ..., below two LR pixels."""
    stages: list[nn.Module] = []
    for _ in range(int(math.log2(scale))):
        stages += [convolution(channels, 4 * channels), nn.PixelShuffle(2), nn.ReLU()]
    return Chain(*stages, convolution(channels, 1), reach_px=2)


def _direct_head(channels: int, scale: int) -> Chain:
    return Chain(nn.ReLU(inplace=True), convolution(channels, scale**2), nn.PixelShuffle(scale), reach_px=1)


def _highest_channel(features: Tensor) -> Tensor:
    """Maximum over the channels: of halves, of quarters, and so on, twice as fast on a CPU as over one axis.

    The same numbers; in training, the gradient goes in equal parts to all channels that share the maximum.
    """
    while features.shape[1] > 1 and features.shape[1] % 2 == 0 and not torch.is_grad_enabled():
        half = features.shape[1] // 2
        features = torch.maximum(features[:, :half], features[:, half:])
    return features.amax(dim=1, keepdim=True)


def _local_maximum(features: Tensor, window_px: int) -> Tensor:
    """Maximum over a window, rows first and columns after; the border adds nothing."""
    half = window_px // 2
    if not torch.is_grad_enabled():
        rows = functional.pad(features, (0, 0, half, half), value=-math.inf)
        columns = functional.pad(_running_maximum(rows, window_px, -2), (half, half), value=-math.inf)
        return _running_maximum(columns, window_px, -1)
    # The same numbers; in training, the gradient goes to one of the pixels that share the maximum.
    rows = functional.max_pool2d(features, (window_px, 1), stride=1, padding=(half, 0))
    return functional.max_pool2d(rows, (1, window_px), stride=1, padding=(0, half))


def _running_maximum(features: Tensor, length: int, axis: int) -> Tensor:
    """Maximum of every `length` neighbors along an axis: of pairs, of pairs of pairs, and so on."""
    reached = 1
    while reached < length:
        step = min(reached, length - reached)
        count = features.shape[axis] - step
        features = torch.maximum(features.narrow(axis, 0, count), features.narrow(axis, step, count))
        reached += step
    return features

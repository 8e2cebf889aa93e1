"""HSPAN: residual blocks that look nearby, and attention to the few pixels that are most similar.

Its attention compares all pixels of the picture (the size `original` does), in memory that grows with
their number squared; in the other sizes it compares those of a window, every second one shifted by half.

Source: Su et al. 2023, High-Similarity-Pass Attention for Single Image Super-Resolution; the base is
added back here, which the paper does not do.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from pipeline.network_settings import NetworkSettings, filled
from pipeline.superres.networks.detail import DetailNetwork, Maps, convolution
from pipeline.superres.networks.heads import coarse_inputs, coarse_network, direct_head, staged_head
from pipeline.superres.networks.high_similarity import HighSimilarityAttention
from pipeline.superres.networks.looks import Look, convolution_look, reach_of
from pipeline.superres.networks.window_body import shifts


class LocalityBlock(nn.Module):
    """Two convolutions, and the input added back."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(convolution(channels, channels), nn.ReLU(), convolution(channels, channels))

    def forward(self, features: Maps) -> Maps:
        """(n, channel, y, x) to the same."""
        return cast(Tensor, features + self.body(features))


class SimilarityGroup(nn.Module):
    """Locality blocks, attention by similarity, a convolution; a share of it is added to the input."""

    def __init__(self, settings: NetworkSettings, channels: int, *, shift_px: int) -> None:
        super().__init__()
        blocks = [LocalityBlock(channels) for _ in range(filled(settings, "layers"))]
        attend = HighSimilarityAttention(
            channels,
            window_px=filled(settings, "window_px"),
            shift_px=shift_px,
            topk=settings.topk,
            residual_scale=settings.residual_scale,
            reduction=settings.similarity_reduction,
        )
        self.body = nn.Sequential(*blocks, attend, convolution(channels, channels))
        self.residual_scale = settings.residual_scale
        self.looks: list[Look] = [convolution_look(2 * len(blocks)), attend.look, convolution_look(1)]

    def forward(self, features: Maps) -> Maps:
        """(n, channel, y, x) to the same."""
        return cast(Tensor, features + self.residual_scale * self.body(features))


class SimilarityBody(nn.Module):
    """Groups between two convolutions, and the first one's features added back.

    Attributes:
        reach_px: How far it looks; None where all pixels are compared with all.
        lattice_px: Side of its windows, which lie where they do whatever piece of the scene is given.
    """

    def __init__(self, settings: NetworkSettings, inputs: int, channels: int) -> None:
        super().__init__()
        window_px = filled(settings, "window_px")
        groups = [
            SimilarityGroup(settings, channels, shift_px=shift_px)
            for shift_px in shifts(filled(settings, "blocks"), window_px)
        ]
        self.first = convolution(inputs, channels)
        self.deep = nn.Sequential(*groups, convolution(channels, channels))
        self.lattice_px = window_px or 1
        looks = [
            convolution_look(1),
            *(look for group in groups for look in group.looks),
            convolution_look(1),
        ]
        self.reach_px = reach_of(looks, window_px) if window_px else None

    def forward(self, inputs: Maps) -> Maps:
        """(n, input, y, x) to (n, channel, y, x)."""
        shallow = self.first(inputs)
        return cast(Tensor, shallow + self.deep(shallow))


def hspan_network(settings: NetworkSettings, scale: int) -> DetailNetwork:
    """The network of these settings, its size filled in (`Recipe.resolved`)."""
    channels = filled(settings, "channels")
    head = staged_head if settings.upsampler == "stages" else direct_head
    body = SimilarityBody(settings, coarse_inputs(settings, scale), channels)
    return coarse_network(settings, scale, body, head(channels, scale))

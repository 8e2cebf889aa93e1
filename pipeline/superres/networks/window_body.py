"""The body that SwinIR and HAT share: groups of window layers between two convolutions.

The input is continued to whole windows by its own border, and cut again at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.superres.networks.detail import Maps, convolution
from pipeline.superres.networks.looks import Look, convolution_look, reach_of
from pipeline.superres.networks.windows import WindowLayer


class WindowGroup(nn.Module):
    """Window layers, a convolution, and the input added back."""

    def __init__(self, channels: int, layers: Sequence[WindowLayer]) -> None:
        super().__init__()
        self.layers, self.after = nn.ModuleList(layers), convolution(channels, channels)
        self.looks: list[Look] = [*(layer.look for layer in layers), convolution_look(1)]

    def forward(self, features: Maps) -> Maps:
        """(n, channel, y, x) to the same."""
        across = features.permute(0, 2, 3, 1)
        for layer in self.layers:
            across = layer(across)
        return cast(Tensor, features + self.after(across.permute(0, 3, 1, 2)))


class WindowBody(nn.Module):
    """Features of the input by groups of window layers.

    Attributes:
        reach_px: How far it looks, in pixels of its grid; None if one of its layers sees everything.
        lattice_px: Side of its windows, which lie where they do whatever piece of the scene is given.
    """

    def __init__(
        self,
        inputs: int,
        channels: int,
        groups: Sequence[WindowGroup],
        *,
        window_px: int,
        sees_everything: bool = False,
    ) -> None:
        super().__init__()
        self.first, self.last = convolution(inputs, channels), convolution(channels, channels)
        self.before, self.after = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.groups = nn.ModuleList(groups)
        self.lattice_px = window_px
        looks = [
            convolution_look(1),
            *(look for group in groups for look in group.looks),
            convolution_look(1),
        ]
        self.reach_px = None if sees_everything else reach_of(looks, window_px)

    def forward(self, inputs: Maps) -> Maps:
        """(n, input, y, x) to (n, channel, y, x)."""
        height, width = inputs.shape[-2:]
        more = [-size % self.lattice_px for size in (height, width)]
        shallow = self.first(functional.pad(inputs, (0, more[1], 0, more[0]), mode="replicate"))
        deep = _by_pixel(self.before, shallow)
        for group in self.groups:
            deep = group(deep)
        deep = self.last(_by_pixel(self.after, deep))
        return cast(Tensor, (shallow + deep)[..., :height, :width])


def shifts(layers: int, window_px: int) -> list[int]:
    """Every second layer's windows are shifted by half a window."""
    return [window_px // 2 if index % 2 else 0 for index in range(layers)]


def _by_pixel(norm: nn.LayerNorm, features: Tensor) -> Tensor:
    """A norm over the channels of (n, channel, y, x)."""
    return torch.movedim(norm(torch.movedim(features, 1, -1)), -1, 1)

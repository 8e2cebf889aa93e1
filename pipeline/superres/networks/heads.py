"""How features on the coarse grid become detail on the fine one: by sub-pixel convolution."""

from __future__ import annotations

import math

from torch import nn

from pipeline.network_settings import NetworkSettings
from pipeline.superres.networks.detail import Chain, convolution

UNFOLDED_CHANNELS = 64  # features that SwinIR and HAT unfold


def direct_head(channels: int, scale: int) -> Chain:
    """All sub-pixels in one step."""
    return Chain(convolution(channels, scale**2), nn.PixelShuffle(scale), reach_px=1)


def staged_head(channels: int, scale: int) -> Chain:
    """Doubles log2(scale) times, then projects. Its reach is 1 + 1/2 + 1/4 ..., below two LR pixels."""
    stages: list[nn.Module] = []
    for _ in range(int(math.log2(scale))):
        stages += [convolution(channels, 4 * channels), nn.PixelShuffle(2)]
    return Chain(*stages, convolution(channels, 1), reach_px=2)


def narrowed_head(channels: int, scale: int) -> Chain:
    """Fewer features first, then as `staged_head`."""
    staged = staged_head(UNFOLDED_CHANNELS, scale)
    return Chain(convolution(channels, UNFOLDED_CHANNELS), nn.LeakyReLU(), *staged, reach_px=3)


def coarse_inputs(settings: NetworkSettings, scale: int) -> int:
    """How many channels a network on the coarse grid is given: scene, base, noise."""
    return 1 + (scale**2 if settings.base_input else 0) + settings.noise_input

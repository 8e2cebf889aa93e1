"""What networks with a body on the coarse grid share: what they are given, and sub-pixel convolutions."""

from __future__ import annotations

import math

from torch import nn

from pipeline.network_settings import NetworkSettings
from pipeline.superres.networks.detail import Chain, DetailNetwork, convolution

UNFOLDED_CHANNELS = 64  # features that SwinIR and HAT unfold


def direct_head(channels: int, scale: int, bands: int = 1) -> Chain:
    """All sub-pixels in one step."""
    return Chain(convolution(channels, bands * scale**2), nn.PixelShuffle(scale), reach_px=1)


def staged_head(channels: int, scale: int, bands: int = 1) -> Chain:
    """Doubles log2(scale) times, or triples; then projects. Its reach is below two LR pixels: 1 + 1/2 ..."""
    stages: list[nn.Module] = []
    for step in [3] if scale == 3 else [2] * int(math.log2(scale)):
        stages += [convolution(channels, step**2 * channels), nn.PixelShuffle(step)]
    return Chain(*stages, convolution(channels, bands), reach_px=2)


def narrowed_head(channels: int, scale: int, bands: int = 1) -> Chain:
    """Fewer features first, then as `staged_head`."""
    staged = staged_head(UNFOLDED_CHANNELS, scale, bands)
    return Chain(convolution(channels, UNFOLDED_CHANNELS), nn.LeakyReLU(), *staged, reach_px=3)


def coarse_inputs(settings: NetworkSettings, scale: int) -> int:
    """How many channels a network on the coarse grid is given: scene, base, noise."""
    return 1 + (scale**2 if settings.base_input else 0) + settings.noise_input


def coarse_network(
    settings: NetworkSettings, scale: int, body: nn.Module, head: nn.Module, *, starts_at_base: bool = True
) -> DetailNetwork:
    """A body on the coarse grid that is given what its settings say, and its head."""
    return DetailNetwork(
        body,
        head,
        scale=scale,
        grid="lr",
        mean_window_px=settings.mean_window_px or 0,
        base_input=bool(settings.base_input),
        noise_input=settings.noise_input,
        starts_at_base=starts_at_base,
    )

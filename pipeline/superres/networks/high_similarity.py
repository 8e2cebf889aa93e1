"""High-similarity-pass attention: a pixel takes from the few pixels that are most like it, and from no other.

In place of the softmax, which gives every pixel some weight, the similarities are projected onto the
weights that are not negative and sum to one; of these the nearest leaves out whatever is not similar enough.

Sources: Su et al. 2023, High-Similarity-Pass Attention for Single Image Super-Resolution; Martins &
Astudillo 2016, From Softmax to Sparsemax; Kyrillidis et al. 2013, Sparse projections onto the simplex.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from pipeline.superres.networks.detail import Maps
from pipeline.superres.networks.device import in_float32
from pipeline.superres.networks.looks import Look, window_look
from pipeline.superres.networks.windows import from_windows, to_windows

NEVER = -1e9  # similarity of what does not exist


class _Projection(torch.autograd.Function):
    """The nearest weights with at most `topk` above zero, and their gradient."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, topk: int) -> Tensor:
        """(..., pixel) similarities to weights of the same shape."""
        highest, places = scores.topk(min(topk, scores.shape[-1]), dim=-1)
        highest = highest - highest[..., :1]
        excess = highest.cumsum(-1) - 1
        counts = torch.arange(1, highest.shape[-1] + 1, device=scores.device, dtype=scores.dtype)
        support = (counts * highest > excess).sum(-1, keepdim=True)
        threshold = excess.gather(-1, support - 1) / support
        weights = torch.zeros_like(scores).scatter(-1, places, (highest - threshold).clamp_min(0))
        ctx.save_for_backward(weights)
        return weights

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """The gradient with the weights' mean taken out, where a weight is above zero; elsewhere none."""
        (weights,) = ctx.saved_tensors
        inside = (weights > 0).to(weights.dtype)
        kept = gradients[0] * inside
        return kept - inside * kept.sum(-1, keepdim=True) / inside.sum(-1, keepdim=True), None


def soft_threshold(scores: Float[Tensor, "*n pixel"], topk: int) -> Float[Tensor, "*n pixel"]:
    """The weights nearest to the scores that are not negative, sum to one, and number at most `topk`."""
    return cast(Tensor, _Projection.apply(scores, topk))  # type: ignore[no-untyped-call]


class HighSimilarityAttention(nn.Module):
    """What the most similar pixels have, added to every pixel.

    Attributes:
        window_px: Side of the windows within which pixels are compared; 0 compares all with all.
        look: Which pixels it looks at.
    """

    def __init__(
        self,
        channels: int,
        *,
        window_px: int,
        shift_px: int = 0,
        topk: int,
        residual_scale: float,
        reduction: int = 2,
    ) -> None:
        super().__init__()
        compared = max(channels // reduction, 1)
        self.own, self.other = (nn.Sequential(nn.Conv2d(channels, compared, 1), nn.PReLU()) for _ in range(2))
        self.given = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.PReLU())
        self.window_px, self.shift_px = window_px, shift_px
        self.topk, self.residual_scale = topk, residual_scale
        self.look: Look = window_look(window_px, shift_px=shift_px) if window_px else _everywhere

    def forward(self, features: Maps) -> Maps:
        """(n, channel, y, x) to the same."""
        own, other, given = (
            self._windows(part(features).float()) for part in (self.own, self.other, self.given)
        )
        exists = (
            self._windows(features.new_ones((1, 1, *features.shape[-2:]), dtype=torch.float32))[..., 0] > 0
        )
        with in_float32(features.device):
            scores = (own @ other.transpose(-1, -2)).masked_fill(~exists[:, :, None, :], NEVER)
            mixed = soft_threshold(scores, self.topk) @ given
        return features + self.residual_scale * self._raster(mixed, features.shape[-2:])

    def _sides(self, shape: torch.Size) -> tuple[list[int], list[int]]:
        """Pixels before and after each axis that make it whole windows."""
        if self.window_px == 0:
            return [0, 0], [0, 0]
        before = [-self.shift_px % self.window_px] * 2
        return before, [-(first + size) % self.window_px for first, size in zip(before, shape, strict=True)]

    def _windows(self, features: Tensor) -> Tensor:
        """(n, channel, y, x) to (n, window, pixel, channel), zero beyond the raster."""
        before, after = self._sides(features.shape[-2:])
        padded = functional.pad(features, (before[1], after[1], before[0], after[0])).permute(0, 2, 3, 1)
        return to_windows(padded, self.window_px) if self.window_px else padded.flatten(1, 2)[:, None]

    def _raster(self, windows: Tensor, shape: torch.Size) -> Tensor:
        """The inverse of `_windows`."""
        before, after = self._sides(shape)
        whole = [first + size + last for first, size, last in zip(before, shape, after, strict=True)]
        if self.window_px:
            raster = from_windows(windows, (whole[0], whole[1])).permute(0, 3, 1, 2)
        else:
            raster = windows[:, 0].transpose(1, 2).reshape(windows.shape[0], -1, *whole)
        return raster[..., before[0] : before[0] + shape[0], before[1] : before[1] + shape[1]]


def _everywhere(run: tuple[int, int]) -> tuple[int, int]:
    """A layer without windows; its network states no reach."""
    return run

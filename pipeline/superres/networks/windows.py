"""Attention within windows: every pixel of a window is a mean of the window's pixels, weighed by likeness.

Every second layer shifts its windows by half, so that neighbors across a border meet; there a mask keeps
apart what lies at opposite edges of the raster. Windows may see over their border (overlapping attention).

Sources: Liu et al. 2021, Swin Transformer; Liang et al. 2021, SwinIR; Chen et al. 2023, Activating More
Pixels in Image Super-Resolution Transformer (the overlap). Features are (n, y, x, channel) here.
"""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from pipeline.superres.networks.looks import Look, beside_look, window_look

MLP_RATIO = 2  # hidden features of a layer's two linear maps, relative to its channels
BIAS_SIGMA = 0.02
BESIDE_SCALE = 0.01  # of what a branch beside the attention adds (HAT)

Features = Float[Tensor, "n y x channel"]


def heads_of(channels: int) -> int:
    """How many parts attend by themselves: six as in the papers where that divides, else four."""
    return 6 if channels % 6 == 0 else 4


def to_windows(features: Features, window_px: int) -> Float[Tensor, "n window pixel channel"]:
    """Cut into windows side by side, row by row; the sides are multiples of `window_px`."""
    n, height, width, channels = features.shape
    cut = features.reshape(n, height // window_px, window_px, width // window_px, window_px, channels)
    return cut.permute(0, 1, 3, 2, 4, 5).reshape(n, -1, window_px**2, channels)


def from_windows(windows: Float[Tensor, "n window pixel channel"], shape: tuple[int, int]) -> Features:
    """The inverse of `to_windows` for a raster of this shape."""
    n, _, pixels, channels = windows.shape
    window_px = round(pixels**0.5)
    rows, columns = shape[0] // window_px, shape[1] // window_px
    cut = windows.reshape(n, rows, columns, window_px, window_px, channels)
    return cut.permute(0, 1, 3, 2, 4, 5).reshape(n, *shape, channels)


def to_wide_windows(
    features: Features, window_px: int, overlap_px: int
) -> Float[Tensor, "n window wide channel"]:
    """The same windows, each with `overlap_px` more on every side; zero beyond the raster."""
    n, _, _, channels = features.shape
    padded = functional.pad(features, (0, 0, *(overlap_px,) * 4))
    side = window_px + 2 * overlap_px
    cut = padded.unfold(1, side, window_px).unfold(2, side, window_px)  # n, row, column, channel, y, x
    return cut.permute(0, 1, 2, 4, 5, 3).reshape(n, -1, side**2, channels)


def shift_mask(shape: tuple[int, int], window_px: int, shift_px: int) -> Bool[Tensor, "window pixel pixel"]:
    """Which pixels of a window lie side by side also before the raster was rolled by `shift_px`."""
    wrapped = [torch.arange(size) >= size - shift_px for size in shape]
    region = (2 * wrapped[0][:, None] + wrapped[1]).to(torch.float32)
    windows = to_windows(region[None, :, :, None], window_px)[0, :, :, 0]
    return windows[:, :, None] == windows[:, None, :]


def _positions(window_px: int, overlap_px: int) -> Tensor:
    """(window pixels, wide window pixels) which entry of the table of biases holds for a pair of pixels."""
    own = torch.arange(window_px) + overlap_px
    seen = torch.arange(window_px + 2 * overlap_px)
    step = own[:, None] - seen[None, :] + window_px + overlap_px - 1
    rows, columns = step[:, None, :, None], step[None, :, None, :]
    return (rows * (2 * (window_px + overlap_px) - 1) + columns).reshape(window_px**2, -1)


class WindowAttention(nn.Module):
    """Attention of several heads within windows, with a learned bias for every relative place.

    Attributes:
        window_px: Side of a window.
        overlap_px: How far a window sees over its border.
        counts_outside: Whether what lies beyond the raster counts as pixels of zero, as in HAT's code.
    """

    positions: Tensor

    def __init__(
        self, channels: int, window_px: int, overlap_px: int = 0, *, counts_outside: bool = False
    ) -> None:
        super().__init__()
        self.counts_outside = counts_outside
        self.window_px, self.overlap_px, self.heads = window_px, overlap_px, heads_of(channels)
        self.ask = nn.Linear(channels, 3 * channels)
        self.answer = nn.Linear(channels, channels)
        self.bias = nn.Parameter(torch.zeros((2 * (window_px + overlap_px) - 1) ** 2, self.heads))
        nn.init.trunc_normal_(self.bias, std=BIAS_SIGMA)
        self.register_buffer("positions", _positions(window_px, overlap_px), persistent=False)

    def forward(
        self, features: Features, together: Bool[Tensor, "window pixel pixel"] | None = None
    ) -> Features:
        """To the same shape, the sides in whole windows; `together` is true where pixels meet."""
        shape = features.shape[1], features.shape[2]
        query, key, value = self.ask(features).chunk(3, dim=-1)
        query = self._by_head(to_windows(query, self.window_px))
        if self.overlap_px:
            key, value = (to_wide_windows(part, self.window_px, self.overlap_px) for part in (key, value))
            if not self.counts_outside:
                inside = features.new_ones((1, *shape, 1))
                together = to_wide_windows(inside, self.window_px, self.overlap_px)[0, :, None, :, 0] > 0
        else:
            key, value = (to_windows(part, self.window_px) for part in (key, value))
        key, value = self._by_head(key), self._by_head(value)
        likeness = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
        likeness = likeness.float() + self.bias[self.positions].permute(2, 0, 1)
        if together is not None:
            likeness = likeness.masked_fill(~together[:, None], -torch.inf)
        mixed = (likeness.softmax(dim=-1).to(value.dtype) @ value).transpose(2, 3).flatten(3)
        return cast(Tensor, self.answer(from_windows(mixed, shape)))

    def _by_head(self, windows: Tensor) -> Tensor:
        """(n, window, pixel, channel) to (n, window, head, pixel, channel of the head)."""
        n, count, pixels, channels = windows.shape
        return windows.reshape(n, count, pixels, self.heads, channels // self.heads).transpose(2, 3)


class WindowLayer(nn.Module):
    """Attention within windows and two linear maps, each added to what came in.

    Attributes:
        look: Which pixels it looks at.
    """

    def __init__(
        self,
        channels: int,
        window_px: int,
        *,
        shift_px: int = 0,
        overlap_px: int = 0,
        beside: nn.Module | None = None,
        counts_outside: bool = False,
    ) -> None:
        super().__init__()
        self.shift_px = shift_px
        self.before_attention, self.before_mlp = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.attend = WindowAttention(channels, window_px, overlap_px, counts_outside=counts_outside)
        self.mlp = nn.Sequential(
            nn.Linear(channels, MLP_RATIO * channels), nn.GELU(), nn.Linear(MLP_RATIO * channels, channels)
        )
        self.beside = beside
        own = window_look(window_px, shift_px=shift_px, overlap_px=overlap_px)
        self.look: Look = own if beside is None else beside_look(own, cast(Look, beside.look))

    def forward(self, features: Features) -> Features:
        """To the same shape, whose sides are multiples of the window."""
        asked, together = self.before_attention(features), None
        rolled = asked
        if self.shift_px:
            shape = features.shape[1], features.shape[2]
            together = shift_mask(shape, self.attend.window_px, self.shift_px).to(features.device)
            rolled = asked.roll((-self.shift_px, -self.shift_px), (1, 2))
        attended = self.attend(rolled, together)
        if self.shift_px:
            attended = attended.roll((self.shift_px, self.shift_px), (1, 2))
        if self.beside is not None:
            attended = attended + BESIDE_SCALE * self.beside(asked.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        features = features + attended
        return cast(Tensor, features + self.mlp(self.before_mlp(features)))

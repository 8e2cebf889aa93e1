"""Every network only adds detail to a base that is already good.

`DetailNetwork` is the frame they share: it takes the local mean away, works in units of the
scene's own detail, and adds what its body finds to the base. The surprise is the last layer:
it starts at zero, so an untrained network *is* its base (only the original one starts at random).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from pipeline.raster import row_bands
from pipeline.superres.networks.device import in_float32

Maps: TypeAlias = Float[Tensor, "n _ y x"]  # features or inputs; their number may change in one call


def local_mean(values: Float[Tensor, "n channel y x"], window_px: int) -> Float[Tensor, "n channel y x"]:
    """(n, c, y, x) box average of an odd window; at the border, of what lies inside."""
    # Sums as convolutions of rows and columns: several times faster on a CPU than pooling is.
    return _box_sum(values, window_px) / _box_sum(torch.ones_like(values[:1, :1]), window_px)


def detail_unit(lr: Float[Tensor, "y x"], valid: Bool[Tensor, "y x"], window_px: int = 9) -> float:
    """RMS of (y, x) `lr` about its local mean, over valid pixels: what a network counts in.

    One where a scene has no detail at all, so that nothing is divided by zero.
    """
    halo, total, count = window_px // 2, 0.0, 0
    for first, last in row_bands(tuple(lr.shape)):
        above = min(first, halo)
        band = lr[None, None, first - above : last + halo]
        residual = (band - local_mean(band, window_px))[0, 0, above : above + last - first]
        inside = residual[valid[first:last]].double()
        total, count = total + float(inside.square().sum()), count + inside.numel()
    rms = math.sqrt(total / count) if count else 0.0
    return rms if rms > 1e-6 else 1.0


def _box_sum(values: Tensor, window_px: int) -> Tensor:
    channels, half = values.shape[1], window_px // 2
    ones = values.new_ones((channels, 1, window_px, 1))
    rows = functional.conv2d(values, ones, padding=(half, 0), groups=channels)
    return functional.conv2d(rows, ones.transpose(-1, -2), padding=(0, half), groups=channels)


class DetailNetwork(nn.Module):
    """base + unit * sigma * head(body(inputs)).

    Inputs on the LR grid are the scene without its local mean, and the base without the same mean,
    its s x s sub-pixels as channels; a body on the HR grid sees the enlarged base only. All in
    units of the scene's detail, so that a network is independent of kelvin and contrast.

    Attributes:
        scale: Linear enlargement.
        unit: (1,) buffer, RMS of the scene's detail in the units of `lr`.
        sigma: (1,) buffer, RMS of the detail to be added, in units of `unit`.
        noise: (1,) buffer, the scene's noise in the units of `lr`; seen by networks built with `noise_input`.
    """

    unit: Tensor
    sigma: Tensor
    noise: Tensor

    def __init__(
        self,
        body: nn.Module,
        head: nn.Module,
        *,
        scale: int,
        grid: str,
        mean_window_px: int,
        base_input: bool = False,
        noise_input: bool = False,
        starts_at_base: bool = True,
    ) -> None:
        super().__init__()
        self.body, self.head = body, head
        self.scale, self.grid, self.mean_window_px = scale, grid, mean_window_px
        self.base_input, self.noise_input = base_input, noise_input
        self.register_buffer("unit", torch.ones(1))
        self.register_buffer("sigma", torch.ones(1))
        self.register_buffer("noise", torch.zeros(1))
        if starts_at_base:
            last = [module for module in head.modules() if isinstance(module, nn.Conv2d)][-1]
            for parameter in last.parameters():
                nn.init.zeros_(parameter)

    @property
    def reach_px(self) -> int | None:
        """Reach of body, head and local mean together, in LR pixels; None: everything counts everywhere."""
        body_px = cast(int | None, self.body.reach_px)
        if body_px is None:
            return None
        body = body_px + cast(int, self.head.reach_px)
        body = -(-body // self.scale) if self.grid == "hr" else body
        # A sub-pixel may look at the base of the next LR pixel.
        return body + self.mean_window_px // 2 + (1 if self.grid == "hr" else 0)

    @property
    def lattice_px(self) -> int:
        """Side of the body's windows in LR pixels, whose place on the scene must not change; 1 without."""
        return int(getattr(self.body, "lattice_px", 1))

    def calibrate(self, *, unit: float, sigma: float | None = None, noise: float | None = None) -> None:
        """Set the units of a scene; `sigma` and `noise` stay what they are where they are not given."""
        self.unit.fill_(unit)
        if sigma is not None:
            self.sigma.fill_(sigma)
        if noise is not None:
            self.noise.fill_(noise)

    def forward(
        self,
        lr: Float[Tensor, "n 1 y x"],
        base: Float[Tensor, "n 1 fine_y fine_x"],
        noise: Float[Tensor, "n 1 1 1"] | None = None,
    ) -> Float[Tensor, "n 1 fine_y fine_x"]:
        """(n, 1, y, x) scene and (n, 1, s*y, s*x) base to the answer on the base's grid.

        `noise` (n, 1, 1, 1), in the units of `lr`, overrides the buffer where a batch mixes scenes.
        """
        with in_float32(lr.device):  # differences of numbers near 300
            inputs = self.inputs(lr, base, noise)
        hidden = self.body(inputs)
        with in_float32(lr.device):
            detail = self.head(hidden.float())
            return cast(Tensor, base.float() + (self.unit * self.sigma) * detail)

    @property
    def unfolds_last(self) -> bool:
        """Whether an answer is coarse maps until the last step unfolds them, wherever the picture begins."""
        last = [*self.head.children()][-1] if isinstance(self.head, nn.Sequential) else None
        placed = self.lattice_px > 1 or self.grid != "lr" or type(self) is not DetailNetwork
        return isinstance(last, nn.PixelShuffle) and last.upscale_factor == self.scale and not placed

    def coarse(self, inputs: Maps) -> Float[Tensor, "n _ y x"]:
        """`inputs` to (n, scale*scale, y, x) float32: what is added to the base, before it is unfolded."""
        hidden = self.body(inputs)
        with in_float32(inputs.device):
            detail = hidden.float()
            for layer in [*self.head.children()][:-1]:
                detail = layer(detail)
            return cast(Tensor, detail.mul_(self.unit * self.sigma))

    def inputs(
        self,
        lr: Float[Tensor, "n 1 y x"],
        base: Float[Tensor, "n 1 fine_y fine_x"],
        noise: Float[Tensor, "n 1 1 1"] | None = None,
    ) -> Float[Tensor, "n _ _ _"]:
        """(n, channel, y, x): what the body is given of (n, 1, y, x) scene and (n, 1, s*y, s*x) base."""
        mean = local_mean(lr, self.mean_window_px) if self.mean_window_px else torch.zeros_like(lr)
        if self.grid == "hr":
            mean = mean.repeat_interleave(self.scale, dim=-2).repeat_interleave(self.scale, dim=-1)
            return (base - mean) / self.unit
        channels = [(lr - mean) / self.unit]
        if self.base_input:
            channels.append((functional.pixel_unshuffle(base, self.scale) - lr) / self.unit)
        if self.noise_input:
            level = self.noise.view(1, 1, 1, 1) if noise is None else noise
            channels.append((level / self.unit).expand_as(lr))
        return torch.cat(channels, dim=1)


class Chain(nn.Sequential):
    """Modules in a row that know their reach in pixels of their own grid; None is everywhere."""

    def __init__(self, *modules: nn.Module, reach_px: int | None, lattice_px: int = 1) -> None:
        super().__init__(*modules)
        self.reach_px, self.lattice_px = reach_px, lattice_px


def convolution(channels_in: int, channels_out: int, kernel_px: int = 3) -> nn.Conv2d:
    """Convolution that keeps the raster's size."""
    return nn.Conv2d(channels_in, channels_out, kernel_px, padding=kernel_px // 2)


def alternate(layers: Sequence[nn.Module], between: type[nn.Module] = nn.ReLU) -> list[nn.Module]:
    """The layers with an activation after each."""
    row: list[Any] = []
    for layer in layers:
        row += [layer, between()]
    return row

"""A base, or a network over its base, as something that enlarges a piece of a scene.

The network sees unitless numbers, but what it adds is taken as a difference to the base and put on top
of the base in kelvin: a network that adds nothing gives the base to the last bit.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch

from pipeline.grid import Window
from pipeline.superres.applying.eight import eight_turns
from pipeline.superres.applying.upscaler import Piece, Plane, Upscaler
from pipeline.superres.networks.detail import DetailNetwork
from pipeline.superres.networks.device import Precision, body_precision, device_lock, sees_everything
from pipeline.superres.sensing.normalize import Normalization


class Enlargement(Protocol):
    """What a base offers: (y, x) to (scale * y, scale * x) float32, with its reach in LR pixels."""

    @property
    def scale(self) -> int:
        """Linear enlargement."""

    @property
    def reach_px(self) -> int:
        """How far one LR pixel can change the answer, in LR pixels."""

    def __call__(self, lr: Plane, /) -> Plane:
        """The enlarged scene."""


def base_upscaler(base: Enlargement) -> Upscaler:
    """A base by itself: what is published where the network is off."""
    return Upscaler(lambda piece: base(piece.lr), base.scale, base.reach_px)


def network_upscaler(
    network: torch.nn.Module,
    *,
    base: Enlargement,
    units: Normalization | None = None,
    device: torch.device,
    mixed_precision: Precision = "off",
) -> Upscaler:
    """A trained network over its base.

    Args:
        network: `forward(lr (n, 1, y, x), base (n, 1, s*y, s*x))` to (n, 1, s*y, s*x), and `reach_px`, how
            far it looks in LR pixels. Where it has a `lattice_px`, the side of its windows, pieces are
            continued so that they begin at a multiple of it: every tile has the same windows. Moved to
            `device` and into evaluation mode, in place.
        base: What the network adds detail to.
        units: What the network sees; None hands over the scene's own numbers.
        device: Where it runs.
        mixed_precision: Of the body (`body_precision`). The network keeps its own last layer in float32.
    """
    network.eval().to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    lattice_px = int(getattr(network, "lattice_px", 1))

    def apply(piece: Piece) -> Plane:
        """The detail of a piece, which is first continued to the windows that every tile has."""
        if piece.base is None:
            raise ValueError("a network adds to a base, and this piece has none")
        height, width = piece.lr.shape
        before = [first % lattice_px for first in piece.origin]
        if any(before):
            whole = Window(-before[0], -before[1], before[0] + height, before[1] + width)
            own = Window(before[0], before[1], height, width).refine(base.scale)
            return np.ascontiguousarray(added(piece.cut(whole, base.scale))[own.slices])
        return added(piece)

    def added(piece: Piece) -> Plane:
        """What the network adds to the piece's base, in the scene's units; (scale * y, scale * x)."""
        assert piece.base is not None
        with device_lock(device), torch.inference_mode():  # looked up here: a lock cannot travel
            base = _to_tensor(piece.base, device)
            seen, seen_base = (_unitless(part, units) for part in (_to_tensor(piece.lr, device), base))
            with body_precision(mixed_precision, device):
                answer = network(seen, seen_base).float()
            if units is None or not units.clip:
                detail = answer.sub_(seen_base).mul_(1.0 if units is None else units.scale_k)
            else:
                detail = answer.mul_(units.scale_k).add_(units.offset_k).sub_(base)
            return np.asarray(detail[0, 0].cpu().numpy())

    def eight(piece: Piece) -> tuple[Plane, Plane]:
        """What the network adds to the wanted part, over its eight turns; they cross to the host together."""
        assert piece.base is not None
        assert isinstance(network, DetailNetwork)
        with device_lock(device), torch.inference_mode():
            seen, seen_base = (_unitless(_to_tensor(part, device), units) for part in (piece.lr, piece.base))
            with body_precision(mixed_precision, device):
                found = torch.stack(eight_turns(network, seen, seen_base, piece.wanted))
            mean, spread = found.mul_(1.0 if units is None else units.scale_k).cpu().numpy()
            return mean, spread

    reach_px = None if sees_everything(network) else int(network.reach_px)  # type: ignore[arg-type]
    clips = units is not None and units.clip
    turns = eight if isinstance(network, DetailNetwork) and network.unfolds_last and not clips else None
    return Upscaler(apply, base.scale, reach_px, base_upscaler(base), turns)


def _to_tensor(pixels: Plane, device: torch.device) -> torch.Tensor:
    """(y, x) to (1, 1, y, x) on the device."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).to(device)[None, None]


def _unitless(kelvin: torch.Tensor, units: Normalization | None) -> torch.Tensor:
    """What the network sees."""
    if units is None:
        return kelvin
    unitless = (kelvin - units.offset_k).div_(units.scale_k)
    return unitless.clamp_(0, 1) if units.clip else unitless

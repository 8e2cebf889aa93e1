"""Where a network runs: its device, its precision, and how many threads it gets.

The network sees unitless numbers, but what it adds is taken as a difference to the
base and put on top of the base in kelvin: a network that adds nothing gives the base
to the last bit. One thread at a time talks to a GPU; a CPU may be shared.
"""

from __future__ import annotations

import os
import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, Protocol

import numpy as np
import torch

from pipeline.superres.normalize import Normalization
from pipeline.superres.upscaler import Floats, Upscaler

Precision = Literal["auto", "off", "bfloat16", "float16"]


class Enlargement(Protocol):
    """What a base offers: (y, x) to (scale * y, scale * x) float32, with its reach in LR pixels."""

    @property
    def scale(self) -> int:
        """Linear enlargement."""

    @property
    def reach_px(self) -> int:
        """How far one LR pixel can change the answer, in LR pixels."""

    def __call__(self, lr: Floats, /) -> Floats:
        """The enlarged scene."""


_DEVICE_LOCKS: dict[str, threading.Lock] = {}
_REGISTER_LOCK = threading.Lock()


def share_threads(workers: int, threads: int = 0) -> int:
    """Set the number of torch threads of this process; the one place where that is done.

    Args:
        workers: How many threads or processes use torch on this machine at the same time.
        threads: What the user asks for; 0 shares the cores this process may use among the workers.

    Returns:
        The number of threads each call into torch now uses.
    """
    share = threads or max(1, len(os.sched_getaffinity(0)) // max(workers, 1))
    torch.set_num_threads(share)
    return share


def device_lock(device: torch.device) -> AbstractContextManager[object]:
    """Held while talking to a GPU, one lock a device and process; nothing on a CPU."""
    if device.type == "cpu":
        return nullcontext()
    with _REGISTER_LOCK:
        return _DEVICE_LOCKS.setdefault(f"{device.type}:{device.index or 0}", threading.Lock())


def base_upscaler(base: Enlargement) -> Upscaler:
    """A base by itself, as an `Upscaler`: what is published where the network is off."""
    return Upscaler(lambda lr, _: base(lr), base.scale, base.reach_px)


def network_upscaler(
    network: torch.nn.Module,
    *,
    base: Enlargement,
    units: Normalization | None = None,
    device: torch.device,
    mixed_precision: Precision = "off",
) -> Upscaler:
    """A trained network over its base, as an `Upscaler`.

    Args:
        network: `forward(lr (n, 1, y, x), base (n, 1, s*y, s*x))` to (n, 1, s*y, s*x), and `reach_px`, how
            far it looks in LR pixels. Moved to `device` and into evaluation mode, in place.
        base: What the network adds detail to.
        units: What the network sees; None hands over the scene's own numbers.
        device: Where it runs.
        mixed_precision: Of the body, by autocast (`body_dtype`). The network keeps its own last layer in
            float32.

    Returns:
        Its reach is the network's plus the base's, since a network may look around in the base.
    """
    network.eval().to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    lock = device_lock(device)
    dtype = body_dtype(mixed_precision, device)

    def answer(lr: Floats, base_hr: Floats) -> Floats:
        with (
            lock,
            torch.inference_mode(),
            torch.autocast(device.type, dtype=dtype, enabled=dtype is not None),
        ):
            hr = network(_to_tensor(lr, device), _to_tensor(base_hr, device))
            return np.asarray(hr[0, 0].float().cpu().numpy())

    def apply(lr: Floats, _: tuple[int, int]) -> Floats:
        base_hr = base(lr)
        if units is None:
            return answer(lr, base_hr)
        base_units = units.normalize(base_hr)
        answer_units = answer(units.normalize(lr), base_units)
        if units.clip:
            return units.denormalize(answer_units)
        added = answer_units - base_units
        return base_hr + np.float32(units.scale_k) * added

    reach_px = None if sees_everything(network) else int(network.reach_px) + base.reach_px  # type: ignore[arg-type]
    return Upscaler(apply, base.scale, reach_px)


def sees_everything(network: torch.nn.Module) -> bool:
    """Whether a pixel of the answer depends on the whole input, as seed 000's network does.

    Group normalization takes its statistics from the input, also in evaluation mode, and a channel
    attention whose window is 0 pools over all of it.
    """
    return any(
        isinstance(module, torch.nn.GroupNorm) or getattr(module, "window_px", None) == 0
        for module in network.modules()
    )


def body_dtype(mixed_precision: Precision, device: torch.device) -> torch.dtype | None:
    """The reduced precision of a network's body; None is float32.

    "auto" takes what the device computes natively: float16 on a GPU, bfloat16 on a CPU with instructions for
    it. There it halves the time and changes a product by 0.2 to 0.6 mK RMS; emulated, it is slower.
    """
    if mixed_precision != "auto":
        return {"off": None, "bfloat16": torch.bfloat16, "float16": torch.float16}[mixed_precision]
    if device.type == "cuda":
        return torch.float16
    native = torch.cpu.get_capabilities()
    return torch.bfloat16 if native.get("avx512_bf16") or native.get("amx_bf16") else None


def _to_tensor(pixels: Floats, device: torch.device) -> torch.Tensor:
    """(y, x) to (1, 1, y, x) on the device."""
    tensor = torch.from_numpy(np.ascontiguousarray(pixels)).to(device)[None, None]
    return tensor.contiguous(memory_format=torch.channels_last)

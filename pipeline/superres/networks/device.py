"""Where a network runs: its device, its precision, and how many threads it gets.

One thread at a time talks to a GPU; a CPU may be shared.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

Precision = Literal["off", "bfloat16", "float16"]

_DEVICE_LOCKS: dict[str, threading.Lock] = {}
_REGISTER_LOCK = threading.Lock()


def usable_cores() -> int:
    """Cores that this process may use; all of the machine's where the system does not say, as macOS."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share_threads(workers: int, threads: int = 0) -> int:
    """Set the number of torch threads of this process; the one place where that is done for good.

    Args:
        workers: How many threads or processes use torch on this machine at the same time.
        threads: What the user asks for; 0 shares the cores this process may use among the workers.

    Returns:
        The number of threads each call into torch now uses.
    """
    share = threads or max(1, usable_cores() // max(workers, 1))
    torch.set_num_threads(share)
    return share


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch computes on one thread of the CPU inside the block, and on as many as before after it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def device_lock(device: torch.device) -> AbstractContextManager[object]:
    """Held while talking to a GPU, one lock a device and process; nothing on a CPU."""
    if device.type == "cpu":
        return nullcontext()
    with _REGISTER_LOCK:
        return _DEVICE_LOCKS.setdefault(f"{device.type}:{device.index or 0}", threading.Lock())


def in_float32(device: torch.device) -> AbstractContextManager[object]:
    """Inside the block nothing is computed in reduced precision, whatever stands around it."""
    return nullcontext() if device.type == "meta" else torch.autocast(device.type, enabled=False)


def sees_everything(network: torch.nn.Module) -> bool:
    """Whether a pixel of the answer depends on the whole input, as in the original's network.

    Group normalization takes its statistics from the input, also in evaluation mode, and a channel
    attention whose window is 0 pools over all of it.
    """
    return any(
        isinstance(module, torch.nn.GroupNorm) or getattr(module, "window_px", None) == 0
        for module in network.modules()
    )


@contextmanager
def body_precision(precision: Precision, device: torch.device) -> Iterator[None]:
    """Inside the block a network's body computes with numbers of this precision, on whatever device.

    A device without instructions for bfloat16 multiplies and adds in float32 what was rounded to bfloat16:
    the answer is the same to hundredths of a millikelvin, so precision belongs to the recipe and not to the
    machine.
    """
    if precision == "off":
        yield
        return
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float16
    rounded = nullcontext() if dtype == torch.float16 or computes_bfloat16(device) else _Rounded()
    with torch.autocast(device.type, dtype=dtype), rounded:
        yield


def computes_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions for bfloat16; without them torch is many times slower."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    native = torch.cpu.get_capabilities()
    return bool(native.get("avx512_bf16") or native.get("amx_bf16"))


class _Rounded(TorchFunctionMode):
    """Convolutions of an autocast block in float32, of numbers that were rounded to bfloat16."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named, tensor = dict(kwargs or {}), args[0] if args else None
        if func is not torch.conv2d or not isinstance(tensor, Tensor):
            return func(*args, **named)
        if not torch.is_autocast_enabled(tensor.device.type):
            return func(*args, **named)
        numbers: list[Any] = [part.bfloat16().float() if isinstance(part, Tensor) else part for part in args]
        with torch.autocast(tensor.device.type, enabled=False):
            return func(*numbers, **named).bfloat16()

"""Where a network runs: its device, its precision, and how many threads it gets.

One thread at a time talks to a GPU; a CPU may be shared.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal

import torch

Precision = Literal["auto", "off", "bfloat16", "float16"]

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

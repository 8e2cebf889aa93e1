"""What a training remembers between two steps, and how that is kept as bytes.

Where the bytes are kept and how often they are written is decided outside, where there are files
and clocks. Bytes that are damaged, or come from another recipe or version, are noticed, and the
training starts anew.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from jaxtyping import Shaped
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

log = logging.getLogger(__name__)

VERSION = "thermal-sr training state 2"
SCALED = 2.0**16  # first factor on a loss whose gradients are computed in float16
TENSORS = ("weights", "averaged", "means", "squares", "best")

Weights = Mapping[
    str, Shaped[Tensor, "*_"]
]  # the parameters of one network, or numbers of the same shapes, by name


@dataclass(frozen=True)
class TrainState:
    """A training between two steps: a step makes a new one and leaves this one as it is.

    Losses are in units of the missing detail's RMS; None before the first validation.

    Attributes:
        weights: Of the network.
        averaged: The weights' exponential average, which is what a training ends with.
        means: Average of the gradient (Adam).
        squares: Average of its square (Adam).
        best: The averaged weights with the lowest validation loss so far.
        step: Steps done.
        updates: Steps that changed the weights: all whose gradient was finite.
        loss_scale: Factor on the loss that keeps small gradients alive in float16; else 1.
        scaled_at: The number of updates when `loss_scale` last changed.
        recent: Loss and terms of every step since the last look; they stay on the device until then.
        losses: Of every step up to the last look.
        curve: One entry a look: step, mean loss, each term, learning rate, validation where it was done.
        first_loss: Validation loss before the first step.
        best_loss: The lowest one.
        best_step: Its step.
        gain_loss: The last validation loss that was lower by enough to count as gain.
        gain_step: Its step.
        rate_factor: Factor on the learning rate; halved by every explosion.
        drops: How often the schedule "linear_fit" has divided the rate by ten.
        restored: How often exploding losses sent the training back to the look before.
        stopped: Why it ends early, or "".
    """

    weights: Weights
    averaged: Weights
    means: Weights
    squares: Weights
    best: Weights
    step: int = 0
    updates: int = 0
    loss_scale: float = 1.0
    scaled_at: int = 0
    recent: tuple[Mapping[str, Tensor], ...] = ()
    losses: tuple[float, ...] = ()
    curve: tuple[Mapping[str, float], ...] = ()
    first_loss: float | None = None
    best_loss: float | None = None
    best_step: int = 0
    gain_loss: float | None = None
    gain_step: int = 0
    rate_factor: float = 1.0
    drops: int = 0
    restored: int = 0
    stopped: str = ""

    @classmethod
    def begin(cls, parameters: Weights, *, half: bool = False) -> TrainState:
        """Before the first step, from the weights that a network has; `half` for gradients in float16."""
        weights = {name: weight.detach().clone() for name, weight in parameters.items()}
        nothing = {name: torch.zeros_like(weight) for name, weight in weights.items()}
        return cls(weights, weights, nothing, nothing, weights, loss_scale=SCALED if half else 1.0)

    def placed_like(self, parameters: Weights) -> TrainState:
        """The same on the device, and in the memory layout, of a network's parameters."""
        placed = {
            part: {
                name: torch.empty_like(like, requires_grad=False).copy_(getattr(self, part)[name])
                for name, like in parameters.items()
            }
            for part in TENSORS
        }
        return replace(self, **placed)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Checkpoint:
    """Where a training's state is kept.

    Attributes:
        read: The bytes last written, or None.
        write: Keeps bytes; all of them or none, whatever happens.
        due: Whether it is time to write.
        recipe: Names what is trained: digests of recipe and scene. Another name, another training.
    """

    read: Callable[[], bytes | None]
    write: Callable[[bytes], None]
    due: Callable[[], bool]
    recipe: str

    def load(self) -> TrainState | None:
        """The state to go on from; None where there is none that fits, and the log says why."""
        kept = self.read()
        if kept is None:
            return None
        try:
            return unpack(kept, self.recipe)
        except ValueError as error:
            log.warning("training starts anew: %s", error)
            return None

    def save(self, state: TrainState) -> None:
        """Keep this state in place of the last one."""
        self.write(pack(state, self.recipe))


def pack(state: TrainState, recipe: str) -> bytes:
    """A state at a look as safetensors; in the header all that is no tensor, and a digest of everything."""
    tensors = {
        f"{part}.{name}": tensor.cpu().clone(memory_format=torch.contiguous_format)  # no two share memory
        for part in TENSORS
        for name, tensor in getattr(state, part).items()
    }
    plain = {field.name for field in fields(state)} - {*TENSORS, "recent"}
    notes = json.dumps({name: getattr(state, name) for name in sorted(plain)})
    header = {"version": VERSION, "recipe": recipe, "notes": notes, "sha256": _digest(tensors, notes)}
    return save(tensors, metadata=header)


def unpack(kept: bytes, recipe: str) -> TrainState:
    """The inverse of `pack`.

    Raises:
        ValueError: If the bytes are damaged, or of another recipe or version.
    """
    header = read_header(kept, "checkpoint")
    for name, wanted in (("version", VERSION), ("recipe", recipe)):
        if header.get(name) != wanted:
            raise ValueError(f"checkpoint: {name} {wanted!r} is wanted, found {header.get(name)!r}")
    if missing := {"notes", "sha256"} - header.keys():
        raise ValueError(f"checkpoint: damaged, its header lacks {', '.join(sorted(missing))}")
    kept_tensors = load(kept)
    if _digest(kept_tensors, header["notes"]) != header["sha256"]:
        raise ValueError("checkpoint: its contents do not match their digest")
    notes = json.loads(header["notes"])
    parts: dict[str, Any] = {part: {} for part in TENSORS}
    for key, tensor in kept_tensors.items():
        part, _, name = key.partition(".")
        parts[part][name] = tensor
    return TrainState(**parts, **{**notes, "losses": tuple(notes["losses"]), "curve": tuple(notes["curve"])})


def read_header(kept: bytes, name: str) -> dict[str, str]:
    """The text beside the tensors of a safetensors file, given as bytes.

    Raises:
        ValueError: If the bytes are no whole safetensors file.
    """
    try:
        load(kept)  # checks that every tensor is there, to the last byte
        length = int.from_bytes(kept[:8], "little")
        header = json.loads(kept[8 : 8 + length])
    except (SafetensorError, ValueError) as error:
        raise ValueError(f"{name}: damaged or no safetensors: {error}") from error
    return dict(header.get("__metadata__", {}))


def _digest(tensors: Weights, notes: str) -> str:
    digest = hashlib.sha256(notes.encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tuple(tensors[name].shape)}".encode())
        digest.update(tensors[name].contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()

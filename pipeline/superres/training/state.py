"""What a killed training needs to go on as if nothing had happened.

Bytes only: where they are kept and how often they are written is decided outside, where
there are files and clocks. Bytes that are damaged, or come from another recipe or version, are
noticed, and the training starts anew.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

log = logging.getLogger(__name__)

VERSION = "thermal-sr training state 1"


@dataclass(frozen=True)
class TrainState:
    """All that a training remembers between two steps.

    Attributes:
        tensors: Weights, averages, moments of the optimizer, by name.
        notes: Step, curve, counters; plain JSON.
    """

    tensors: Mapping[str, Tensor]
    notes: Mapping[str, Any]


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
    """A state as safetensors, its notes and a digest of everything in the header."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.tensors.items()}
    notes = json.dumps(state.notes, sort_keys=True)
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
    tensors = load(kept)
    if _digest(tensors, header["notes"]) != header["sha256"]:
        raise ValueError("checkpoint: its contents do not match their digest")
    return TrainState(tensors, json.loads(header["notes"]))


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


def _digest(tensors: Mapping[str, Tensor], notes: str) -> str:
    digest = hashlib.sha256(notes.encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tuple(tensors[name].shape)}".encode())
        digest.update(tensors[name].contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()

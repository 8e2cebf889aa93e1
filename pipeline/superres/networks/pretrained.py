"""Networks that others taught: weights as they published them, in networks of ours of the same build.

A file names its tensors by the layers of the program that trained it (`published_layouts`). Nothing in the
file is run. What such a network answers stands in place of base and detail: it never saw our base.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pickle import UnpicklingError  # what torch raises where a file holds more than tensors
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from pipeline.superres.networks.published_layouts import LAYOUTS, PretrainedNetwork, renamed

WRAPPERS = ("params_ema", "params", "state_dict", "model")  # under which programs keep the tensors
DAMAGED = (  # what a stranger's bytes may raise in their reader
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SafetensorError,
    TypeError,
    ValueError,
    struct.error,
)
NOT_LEARNED = re.compile(r"(relative_position_index\w*|attn_mask|(sub|add)_mean\.\w+|\ba)$")


@dataclass(frozen=True)
class Pretrained:
    """A network's weights as others published them.

    Attributes:
        name: Which network: srcnn, swinir, hat, hspan.
        scale: Its enlargement; None where it takes the enlarged scene, whatever the enlargement.
        build: A fresh network of its build, for an enlargement.
        weights: By the names of our network.
    """

    name: str
    scale: int | None
    build: Callable[[int], PretrainedNetwork]
    weights: Mapping[str, Tensor]

    def network(self, scale: int) -> PretrainedNetwork:
        """The network with its weights, in evaluation mode."""
        network = self.build(scale)
        network.load_state_dict(dict(self.weights), strict=False)
        return network.eval()


def read_pretrained(kept: bytes) -> Pretrained:
    """The network in a file's bytes: safetensors, or a .pth of tensors alone.

    Raises:
        ValueError: One line: the file is damaged, holds code, or a network that is not known here, of
            another build, or in parts.
    """
    tensors = {name: each for name, each in _read_tensors(kept).items() if not NOT_LEARNED.search(name)}
    layout = next((layout for mark, layout in LAYOUTS.items() if mark in tensors), None)
    if layout is None:
        some = ", ".join(sorted(tensors)[:3]) or "nothing"
        raise ValueError(f"tensors named as in SRCNN, SwinIR, HAT or HSPAN are wanted, found {some}")
    try:
        name, scale, build, rules = layout(tensors)
        with torch.device("meta"):
            wanted = {ours: tuple(each.shape) for ours, each in build(scale or 2).named_parameters()}
    except KeyError as error:
        raise ValueError(f"a tensor named {error.args[0]} is wanted, found none") from error
    except (ArithmeticError, IndexError, RuntimeError, ValidationError) as error:
        raise ValueError(f"its shapes are of no build that is known: {type(error).__name__}") from error
    named = {renamed(theirs, rules): theirs for theirs in tensors}
    for ours in sorted(wanted.keys() | named.keys()):
        found = tuple(tensors[named[ours]].shape) if ours in named else "nothing"
        if found != (expected := wanted.get(ours, "nothing")):
            raise ValueError(f"tensor {named.get(ours, ours)}: {expected} is wanted in {name}, found {found}")
    weights = {ours: tensors[theirs].float() for ours, theirs in named.items()}
    if not all(bool(each.isfinite().all()) for each in weights.values()):
        raise ValueError("a weight is no finite number")
    return Pretrained(name, scale, build, weights)


def _read_tensors(kept: bytes) -> dict[str, Tensor]:
    """The tensors of a file by name; no code of a .pth is run."""
    try:
        if kept[:1] != b"{" and kept[8:9] == b"{":  # safetensors: the length of a header, and the header
            found: Any = load(kept)
        else:
            found = torch.load(io.BytesIO(kept), map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise ValueError("the file holds more than tensors, code perhaps: only tensors are read") from error
    except DAMAGED as error:
        raise ValueError(f"damaged, or neither safetensors nor .pth: {type(error).__name__}") from error
    for wrapper in WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(wrapper), Mapping):
            found = found[wrapper]
    whole = isinstance(found, Mapping) and all(isinstance(each, Tensor) for each in found.values())
    if not whole:
        raise ValueError("tensors by name are wanted, found something else")
    if sum(each.numel() for each in found.values()) > len(kept):
        raise ValueError("it says to hold more numbers than it has bytes")
    return {str(name).removeprefix("module."): tensor for name, tensor in found.items()}

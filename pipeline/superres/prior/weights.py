"""A prior: weights trained once on an archive, and the card that says on what.

A prior is nearly free of sensor and scale, because its networks count in units of a scene's own
detail. Its card says how well priors did on scenes that were left out of their training.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from pipeline.network_settings import NetworkSettings
from pipeline.superres.networks import build_network
from pipeline.superres.networks.detail import DetailNetwork
from pipeline.superres.training.state import read_header

VERSION = "thermal-sr prior 2"
PRIOR_BASE = "back_projected"  # linear, nothing to tune, so that noise can be added to finished pairs
LARGEST_WEIGHT = 1000.0  # trained ones stay below ten; a damaged number is mostly far larger


@dataclass(frozen=True)
class Prior:
    """Networks by scale, and where they come from.

    Attributes:
        weights: Tensors by scale and parameter.
        card: Plain JSON. `scales` maps each scale to `network` (its settings), `sigma` (RMS of the
            missing detail in units of a scene's own), `base` (what it was trained over), `gain` and
            `gain_error` (what the scenes left out of it recommend); `scenes` lists what taught it, with
            digests; `skill` lists how it did on scenes that did not (`left_out.LeftOutScore`).
    """

    weights: Mapping[int, Mapping[str, Tensor]]
    card: Mapping[str, Any]

    @property
    def scales(self) -> tuple[int, ...]:
        """The enlargements it has weights for."""
        return tuple(sorted(self.weights))

    def facts(self, scale: int) -> Mapping[str, Any]:
        """The card's entry of one scale."""
        entry: Mapping[str, Any] = self.card["scales"][str(scale)]
        return entry

    def fed_by(self, content_digest: str) -> bool:
        """Whether a scene of this content was trained on: then its self-test proves nothing of the prior."""
        return any(scene.get("digest") == content_digest for scene in self.card.get("scenes", ()))

    def network(self, scale: int) -> DetailNetwork:
        """A network with the prior's weights, in evaluation mode; calibrate `unit` and `noise` to a scene."""
        facts = self.facts(scale)
        network = build_network(NetworkSettings.model_validate(facts["network"]), scale, seed=0)
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                parameter.copy_(self.weights[scale][name].to(parameter.dtype))
        network.calibrate(unit=1.0, sigma=float(facts["sigma"]))
        return network.eval()

    def save(self) -> bytes:
        """As safetensors, weights in float16, the card in the header; the inverse of `load`."""
        tensors = {
            f"x{scale}.{name}": tensor.detach().cpu().to(torch.float16).contiguous()
            for scale, named in self.weights.items()
            for name, tensor in named.items()
        }
        # One entry only: safetensors writes several in any order, and equal priors should be equal files.
        card = json.dumps({"version": VERSION, **self.card}, sort_keys=True)
        return save(tensors, metadata={"card": card})

    @classmethod
    def load(cls, kept: bytes, *, own: bool = False) -> Prior:
        """Weights and card from a file's bytes.

        Args:
            kept: The file.
            own: Whether it is used on the very scene that taught it, over the base of its training.

        Raises:
            ValueError: If the bytes are damaged or no prior of this version, or if its weights are not those
                of the networks that its card names, or no plausible numbers.
        """
        card = json.loads(read_header(kept, "prior").get("card", "{}"))
        if (version := card.pop("version", None)) != VERSION:
            raise ValueError(f"prior: version {VERSION!r} is wanted, found {version!r}; train it anew")
        weights: dict[int, dict[str, Tensor]] = {}
        for name, tensor in load(kept).items():
            scale, _, parameter = name.partition(".")
            if not scale.removeprefix("x").isdecimal():
                raise ValueError(
                    f"prior: tensors named x2.NAME, x4.NAME and so on are wanted, found {name!r}"
                )
            weights.setdefault(int(scale[1:]), {})[parameter] = tensor
        prior = cls(weights, card)
        for each in prior.scales:
            prior._check(each, own=own)
        return prior

    def _check(self, scale: int, *, own: bool) -> None:
        """Refuse weights of another network than the card names, and numbers that no training gives."""
        try:
            settings = NetworkSettings.model_validate(self.facts(scale)["network"])
            network = build_network(settings, scale, seed=0)
            sigma = float(self.facts(scale)["sigma"])
        except (KeyError, TypeError, ValueError) as error:
            found = " ".join(str(error).split())
            raise ValueError(f"prior: its card describes no network for x{scale}: {found}") from error
        wanted = {name: tuple(parameter.shape) for name, parameter in network.named_parameters()}
        given = {name: tuple(tensor.shape) for name, tensor in self.weights[scale].items()}
        for name in sorted(wanted.keys() | given.keys()):
            if wanted.get(name) != given.get(name):
                found = f"{wanted.get(name, 'nothing')} is wanted, found {given.get(name, 'nothing')}"
                raise ValueError(f"prior: x{scale} {name}: {found}")
        for name, largest in [(name, float(each.abs().max())) for name, each in self.weights[scale].items()]:
            if not largest <= LARGEST_WEIGHT:
                limit = f"at most {LARGEST_WEIGHT:g} is wanted"
                raise ValueError(f"prior: x{scale} {name} holds a weight of {largest:g}, {limit}")
        if (base := self.facts(scale).get("base", PRIOR_BASE)) != PRIOR_BASE and not own:
            raise ValueError(f"prior: x{scale} was taught over the base {base}, {PRIOR_BASE} is wanted")
        if not 0 < sigma < LARGEST_WEIGHT:
            raise ValueError(f"prior: x{scale} sigma is {sigma:g}, a positive number is wanted")

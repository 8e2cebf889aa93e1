"""The optimizer: Adam, with its weight decay apart from the gradient.

Thirty lines of our own because torch's costs a scene 1.2 s before its first step: it imports the
compiler that it could be compiled with. The test compares the two, step by step.

Source: Loshchilov & Hutter 2019, Decoupled Weight Decay Regularization.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


class Adam:
    """Changes the parameters of a network, in place.

    Attributes:
        rate: Learning rate of the next step.
        weight_decay: Share of the rate by which weights shrink at every step.
        steps: Steps done.
        param_groups: The parameters, as torch's gradient scaler wants to see them.
    """

    def __init__(self, network: nn.Module, *, weight_decay: float) -> None:
        self.rate, self.weight_decay, self.steps = 0.0, weight_decay, 0
        self._parameters = dict(network.named_parameters())
        self._means = {name: torch.zeros_like(weight) for name, weight in self._parameters.items()}
        self._squares = {name: torch.zeros_like(weight) for name, weight in self._parameters.items()}
        self.param_groups: list[dict[str, Any]] = [{"params": list(self._parameters.values())}]

    def zero_grad(self) -> None:
        """Forget the last gradient."""
        for weight in self._parameters.values():
            weight.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Follow the gradient once."""
        self.steps += 1
        correction1, correction2 = 1 - BETA1**self.steps, 1 - BETA2**self.steps
        for name, weight in self._parameters.items():
            if weight.grad is None:
                continue
            mean, square = self._means[name], self._squares[name]
            weight.mul_(1 - self.rate * self.weight_decay)
            mean.lerp_(weight.grad, 1 - BETA1)
            square.mul_(BETA2).addcmul_(weight.grad, weight.grad, value=1 - BETA2)
            scale = (square.sqrt() / correction2**0.5).add_(EPSILON)
            weight.addcdiv_(mean, scale, value=-self.rate / correction1)

    def state(self) -> dict[str, Tensor]:
        """Copies of its memory, by name."""
        memory = {f"mean.{name}": tensor.clone() for name, tensor in self._means.items()}
        memory |= {f"square.{name}": tensor.clone() for name, tensor in self._squares.items()}
        return {**memory, "steps": torch.tensor(self.steps)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of `state`."""
        for name in self._parameters:
            self._means[name].copy_(state[f"mean.{name}"])
            self._squares[name].copy_(state[f"square.{name}"])
        self.steps = int(state["steps"])

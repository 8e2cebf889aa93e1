"""One step of a training: predict, compare, follow the gradient, average the weights.

Adam is written out here: torch's changes the weights in place, where a step makes a new state, and
takes 2 to 3 s before its first step to import the compiler that it could be compiled with.

Source: Loshchilov & Hutter 2019, Decoupled Weight Decay Regularization.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.func import functional_call

from pipeline.recipe_settings import TrainSettings
from pipeline.superres.networks.detail import DetailNetwork
from pipeline.superres.networks.device import body_precision
from pipeline.superres.sensing.degrade import Degrade
from pipeline.superres.training.losses import consistency_loss, training_loss
from pipeline.superres.training.pairs import Batch
from pipeline.superres.training.schedule import learning_rate
from pipeline.superres.training.state import TrainState, Weights

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
SCALE_LASTS = 2000  # updates after which the factor on a float16 loss is doubled


@dataclass(frozen=True)
class Step:
    """From the state of a training and a batch to the next state.

    Attributes:
        network: Its form and its units; its own weights are what `train.pull` pulls back to, and stay.
        settings: Rates, losses, guards.
        degrade: The forward model, for the loss by consistency.
    """

    network: DetailNetwork
    settings: TrainSettings
    degrade: Degrade | None = None

    def __call__(self, state: TrainState, batch: Batch) -> TrainState:
        """The state after one more step; the same state and batch give the same."""
        weights = {name: weight.detach().requires_grad_() for name, weight in state.weights.items()}
        with body_precision(self.settings.mixed_precision, batch.lr.device):
            answer = functional_call(self.network, weights, (batch.lr, batch.base, batch.noise))
        one = self.network.unit * self.network.sigma
        loss, terms = training_loss(answer / one, batch.truth / one, batch.weight, self.settings)
        if self.degrade is not None and batch.scene is not None and batch.scene_base is not None:
            with body_precision(self.settings.mixed_precision, batch.lr.device):
                own = functional_call(self.network, weights, (batch.scene, batch.scene_base))
            terms["consistency"] = consistency_loss(own / one, batch.scene / one, self.degrade)
            loss = loss + self.settings.loss_consistency_weight * terms["consistency"]
            terms["consistency"] = terms["consistency"].detach()
        (loss * state.loss_scale).backward()  # type: ignore[no-untyped-call]
        rate = learning_rate(self.settings, state.step, state.drops) * state.rate_factor
        decay = min(self.settings.ema_decay, (1 + state.step) / (10 + state.step))  # young at first
        with torch.no_grad():
            after = self._follow(state, weights, rate)
            averaged = {
                name: average.lerp(after.weights[name], 1 - decay) for name, average in state.averaged.items()
            }
        seen = {"loss": loss.detach(), **terms}  # no .item(): it would stall the device
        return replace(after, averaged=averaged, step=state.step + 1, recent=(*state.recent, seen))

    def _follow(self, state: TrainState, weights: Mapping[str, Tensor], rate: float) -> TrainState:
        """New weights; or, where a float16 gradient has overflowed, the old ones and a smaller factor."""
        gradients = {name: weight.grad for name, weight in weights.items() if weight.grad is not None}
        scaled = state.loss_scale != 1.0
        if scaled:
            for gradient in gradients.values():
                gradient.div_(state.loss_scale)
        norm = torch.nn.utils.clip_grad_norm_(list(weights.values()), self.settings.gradient_clip)
        if scaled:
            if not torch.isfinite(norm):
                return replace(state, loss_scale=state.loss_scale / 2, scaled_at=state.updates)
            if state.updates - state.scaled_at >= SCALE_LASTS:
                state = replace(state, loss_scale=state.loss_scale * 2, scaled_at=state.updates)
        after = adam(state, gradients, rate=rate, weight_decay=self.settings.weight_decay)
        if not self.settings.pull:
            return after
        start, share = dict(self.network.named_parameters()), min(rate * self.settings.pull, 1.0)
        pulled = {name: weight.lerp(start[name], share) for name, weight in after.weights.items()}
        return replace(after, weights=pulled)


def adam(state: TrainState, gradients: Weights, *, rate: float, weight_decay: float) -> TrainState:
    """One update of Adam.

    Args:
        state: Before.
        gradients: By name, each of its weight's shape.
        rate: Learning rate.
        weight_decay: Share of the rate by which the weights shrink, apart from the gradient.
    """
    updates = state.updates + 1
    correction1, correction2 = 1 - BETA1**updates, 1 - BETA2**updates
    weights, means, squares = dict(state.weights), dict(state.means), dict(state.squares)
    for name, gradient in gradients.items():
        means[name] = means[name].lerp(gradient, 1 - BETA1)
        squares[name] = (squares[name] * BETA2).addcmul_(gradient, gradient, value=1 - BETA2)
        scale = (squares[name].sqrt() / correction2**0.5).add_(EPSILON)
        shrunk = weights[name] * (1 - rate * weight_decay)
        weights[name] = shrunk.addcdiv_(means[name], scale, value=-rate / correction1)
    return replace(state, weights=weights, means=means, squares=squares, updates=updates)

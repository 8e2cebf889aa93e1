"""The training loop, all of it.

After every `LOOK_EVERY` steps the losses are looked at: are they sane, is it time to validate, to
save, to stop? What a step draws depends on the seed and its number alone, so a run that was killed
and resumed ends with the very weights of an undisturbed one. It computes on one thread, because
sums over a batch come out otherwise in the last digits on two.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch.func import functional_call

from pipeline.recipe_settings import TrainSettings
from pipeline.superres.networks.detail import DetailNetwork
from pipeline.superres.networks.device import one_thread
from pipeline.superres.sensing.degrade import Degrade
from pipeline.superres.training.pairs import Batch
from pipeline.superres.training.schedule import learning_rate, ready_to_drop
from pipeline.superres.training.state import Checkpoint, TrainState, Weights
from pipeline.superres.training.step import Step

log = logging.getLogger(__name__)

LOOK_EVERY = 20
RELATIVE_EXPLOSION = 20.0
IMPROVEMENT = 0.998  # a validation below this share of the best counts as gain


class Pairs(Protocol):
    """What a training learns from."""

    @property
    def validation(self) -> Sequence[Batch]:
        """Batches that validate and are never learned from; may be empty."""

    def batch(self, generator: np.random.Generator) -> Batch:
        """Patches of one step."""


@dataclass(frozen=True)
class TrainingReport:
    """How a training went.

    Attributes:
        steps: Steps done.
        planned: Steps allowed.
        stopped: Why it ended early, or "".
        best_step: The step whose averaged weights the network now has.
        first_validation: Loss on the held-out patches before the first step, in units of the missing detail's
            RMS; None without held-out patches.
        best_validation: The lowest one.
        restored: How often exploding losses sent it back to the last good weights.
        curve: One entry a look: step, mean loss, each term, learning rate, validation where it was done.
    """

    steps: int
    planned: int
    stopped: str
    best_step: int
    first_validation: float | None
    best_validation: float | None
    restored: int
    curve: tuple[Mapping[str, float], ...]

    @classmethod
    def of(cls, state: TrainState, planned: int) -> TrainingReport:
        """What the last state of a training says."""
        return cls(
            steps=state.step,
            planned=planned,
            stopped=state.stopped,
            best_step=state.step if state.first_loss is None else state.best_step,
            first_validation=state.first_loss,
            best_validation=state.best_loss,
            restored=state.restored,
            curve=state.curve,
        )

    @property
    def failed(self) -> bool:
        """Whether it ended in an explosion: its network is not to be trusted."""
        return self.stopped.startswith("exploded")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {**asdict(self), "curve": [dict(entry) for entry in self.curve]}


def train(
    network: DetailNetwork,
    pairs: Pairs,
    settings: TrainSettings,
    *,
    seed: int,
    device: torch.device,
    degrade: Degrade | None = None,
    checkpoint: Checkpoint | None = None,
    progress: Callable[[int, int, float], None] | None = None,
) -> TrainingReport:
    """Train `network` on the pairs, in place; it ends with the best averaged weights, in evaluation mode.

    The training starts from the weights that the network has, and these are the first that later ones must
    beat on the held-out patches.

    Args:
        network: Its units must be set (`calibrate`); losses are counted in its `unit * sigma`.
        pairs: Patches to learn from and to be validated by.
        settings: Steps, rates, losses, guards.
        seed: Of the draws. Same seed, same pairs, same weights on a CPU, whatever its number of threads.
        device: Where to train.
        degrade: The forward model, for batches that hold patches of the scene itself.
        checkpoint: Where the state is kept between looks, if anywhere.
        progress: Told at every look: steps done, steps planned, mean loss.

    Returns:
        The report. A training that explodes twice, or learns nothing, leaves the best weights it had,
        which may be those it started with.

    Raises:
        ValueError: If the number of steps is not filled in (`Recipe.resolved`).
    """
    if settings.steps is None:
        raise ValueError("train.steps is unset; resolve the recipe first")
    network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    step = Step(network, settings, degrade)
    with one_thread():
        state = _first_state(step, pairs, checkpoint)
        while state.step < settings.steps and not state.stopped:
            before = state
            for _ in range(min(LOOK_EVERY, settings.steps - state.step)):
                batch = pairs.batch(np.random.default_rng([seed, state.step])).to(device)
                state = step(state, batch)
            state = look(before, state, settings)
            due = state.step % settings.validate_every < LOOK_EVERY or state.step == settings.steps
            if due and state.step > before.step:
                state = validate(state, network, pairs.validation, settings)
            if progress is not None:
                progress(state.step, settings.steps, state.curve[-1]["loss"] if state.curve else math.nan)
            if checkpoint is not None and checkpoint.due():
                checkpoint.save(state)
    judged = state.first_loss is not None
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_((state.best if judged else state.averaged)[name])
    network.eval()
    return TrainingReport.of(state, settings.steps)


def _first_state(step: Step, pairs: Pairs, checkpoint: Checkpoint | None) -> TrainState:
    """What a killed training left, or a beginning with its first validation."""
    parameters = dict(step.network.named_parameters())
    if checkpoint is not None and (kept := checkpoint.load()) is not None:
        log.info("training goes on from step %d of %d", kept.step, step.settings.steps)
        return kept.placed_like(parameters)
    state = TrainState.begin(parameters, half=step.settings.mixed_precision == "float16")
    return validate(state, step.network, pairs.validation, step.settings)


def look(before: TrainState, state: TrainState, settings: TrainSettings) -> TrainState:
    """The state after its recent losses were looked at; where they explode, the one of the look before."""
    losses = tuple(torch.stack([seen["loss"] for seen in state.recent]).tolist())
    if reason := explosion(losses, state.losses, settings.explosion_loss):
        stopped = f"exploded again at half the learning rate: {reason}" if before.restored else ""
        restored, rate_factor = before.restored + 1, before.rate_factor / 2
        return replace(before, restored=restored, rate_factor=rate_factor, stopped=stopped)
    terms = [name for name in state.recent[0] if name != "loss"]
    entry = {
        "step": state.step,
        "loss": float(np.mean(losses)),
        **{name: float(torch.stack([seen[name] for seen in state.recent]).mean()) for name in terms},
        "learning_rate": learning_rate(settings, state.step - 1, state.drops) * state.rate_factor,
    }
    state = replace(state, recent=(), losses=(*state.losses, *losses), curve=(*state.curve, entry))
    if settings.schedule == "linear_fit" and ready_to_drop(state.losses):
        state = replace(state, drops=state.drops + 1)
        if settings.learning_rate * 0.1**state.drops < settings.min_learning_rate:
            state = replace(state, stopped="the learning rate has reached its floor")
    return state


def validate(
    state: TrainState, network: DetailNetwork, batches: Sequence[Batch], settings: TrainSettings
) -> TrainState:
    """The state after its averaged weights were validated on held-out patches; the best are kept."""
    if not batches:
        return state
    error = validation_loss(network, state.averaged, batches)
    if state.curve:
        state = replace(state, curve=(*state.curve[:-1], {**state.curve[-1], "validation": error}))
    best_loss, gain_loss = state.best_loss, state.gain_loss
    if best_loss is None or gain_loss is None:
        return replace(state, first_loss=error, best_loss=error, gain_loss=error)
    if error < best_loss:
        state = replace(state, best=state.averaged, best_loss=error, best_step=state.step)
    if error < IMPROVEMENT * gain_loss:
        state = replace(state, gain_loss=error, gain_step=state.step)
    waited = state.step - state.gain_step
    if settings.patience_fraction < 1 and waited > settings.patience_fraction * (settings.steps or 0):
        state = replace(state, stopped=f"no gain on held-out patches for {waited} steps")
    return state


def explosion(losses: Sequence[float], earlier: Sequence[float], limit: float) -> str:
    """What is wrong with the last losses, or "": not finite, thrice above `limit`, or 20 earlier medians."""
    if not all(math.isfinite(loss) for loss in losses):
        return "a loss is not finite"
    if sum(loss > limit for loss in losses) >= 3:
        return f"three losses above {limit:g}"
    if len(earlier) >= LOOK_EVERY:
        median = float(np.median(earlier[-5 * LOOK_EVERY :]))
        if sum(loss > RELATIVE_EXPLOSION * median for loss in losses) >= 3:
            return f"three losses above {RELATIVE_EXPLOSION:g} times the median {median:.3g}"
    return ""


def validation_loss(network: DetailNetwork, weights: Weights, batches: Sequence[Batch]) -> float:
    """RMS error of a network with other weights, in units of the missing detail."""
    squares = total = 0.0
    device = network.unit.device
    one = float(network.unit * network.sigma)
    with torch.no_grad():
        for batch in (batch.to(device) for batch in batches):
            answer = functional_call(network, dict(weights), (batch.lr, batch.base, batch.noise))
            error = ((answer - batch.truth) / one).double()
            squares += float((batch.weight * error.square()).sum())
            total += float(batch.weight.sum())
    return math.sqrt(squares / max(total, 1.0))

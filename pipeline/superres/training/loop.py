"""The training loop, all of it.

A step is: draw patches, predict, compare, follow the gradient, average the weights. Every
`LOOK_EVERY` steps somebody looks: are the losses sane, is it time to validate, to save, to stop?
The draw of a step depends on the seed and its number alone, so a run that was killed and resumed
ends with the very weights of an undisturbed one.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call

from pipeline.settings import TrainSettings
from pipeline.superres.networks.detail import DetailNetwork
from pipeline.superres.networks.device import body_dtype
from pipeline.superres.training.adam import Adam
from pipeline.superres.training.losses import training_loss
from pipeline.superres.training.pairs import Batch
from pipeline.superres.training.schedule import learning_rate, ready_to_drop
from pipeline.superres.training.state import Checkpoint, TrainState

log = logging.getLogger(__name__)

LOOK_EVERY = 20
RELATIVE_EXPLOSION = 20.0
Weights = dict[str, Tensor]


class Pairs(Protocol):
    """What a training learns from."""

    @property
    def validation(self) -> Sequence[Batch]:
        """Batches that judge and are never learned from; may be empty."""

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
        first_validation: Loss of the base on the held-out patches, in units of the missing detail's RMS;
            NaN without held-out patches.
        best_validation: The lowest one.
        restored: How often exploding losses sent it back to the last good weights.
        curve: One entry a look: step, mean loss, each term, learning rate, validation where it was done.
    """

    steps: int
    planned: int
    stopped: str
    best_step: int
    first_validation: float
    best_validation: float
    restored: int
    curve: tuple[Mapping[str, float], ...]

    @property
    def failed(self) -> bool:
        """Whether it ended in an explosion: its network is not to be trusted."""
        return self.stopped.startswith("exploded")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; NaN becomes null."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        plain["curve"] = [dict(entry) for entry in self.curve]
        for name in ("first_validation", "best_validation"):
            plain[name] = plain[name] if math.isfinite(plain[name]) else None
        return plain


def train(
    network: DetailNetwork,
    pairs: Pairs,
    settings: TrainSettings,
    *,
    seed: int,
    device: torch.device,
    checkpoint: Checkpoint | None = None,
    progress: Callable[[int, int, float], None] | None = None,
) -> TrainingReport:
    """Teach `network` the pairs, in place; it ends with the best averaged weights, in evaluation mode.

    Args:
        network: Its units must be set (`calibrate`); losses are counted in its `unit * sigma`.
        pairs: Patches to learn from and to be judged by.
        settings: Steps, rates, losses, guards.
        seed: Of the draws. Same seed, same pairs, same weights on a CPU.
        device: Where to train.
        checkpoint: Where the state is kept between looks, if anywhere.
        progress: Told at every look: steps done, steps planned, mean loss.

    Returns:
        The report. A training that explodes twice, or learns nothing, leaves the best weights it had,
        which may be those it started with.
    """
    if settings.steps is None:
        raise ValueError("train.steps is unset; resolve the recipe first")
    network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    run = _Run.begin(network, settings, device)
    if checkpoint is not None and (state := checkpoint.load()) is not None:
        run.restore(state)
        log.info("training goes on from step %d of %d", run.step, settings.steps)
    if run.step == 0:
        run.validate(pairs.validation)
    dtype = body_dtype(settings.mixed_precision, device)
    while run.step < settings.steps and not run.stopped:
        losses, terms = [], []
        for _ in range(min(LOOK_EVERY, settings.steps - run.step)):
            run.optimizer.rate = learning_rate(settings, run.step, run.drops) * run.rate_factor
            batch = pairs.batch(np.random.default_rng([seed, run.step])).to(device)
            with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
                answer = network(batch.lr, batch.base, batch.noise)
            one = network.unit * network.sigma
            loss, parts = training_loss(answer / one, batch.truth / one, batch.weight, settings)
            run.optimizer.zero_grad()
            run.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            run.scaler.unscale_(run.optimizer)  # type: ignore[arg-type]
            torch.nn.utils.clip_grad_norm_(network.parameters(), settings.gradient_clip)
            run.scaler.step(run.optimizer)  # type: ignore[arg-type]
            run.scaler.update()
            run.average()
            run.step += 1
            losses.append(loss.detach())  # stays on the device: .item() here would stall it
            terms.append(parts)
        sane = run.look(torch.stack(losses).tolist(), terms)
        if sane and (run.step % settings.validate_every < LOOK_EVERY or run.step == settings.steps):
            run.validate(pairs.validation)
        if progress is not None:
            progress(run.step, settings.steps, run.curve[-1]["loss"] if run.curve else math.nan)
        if checkpoint is not None and checkpoint.due():
            checkpoint.save(run.state())
    return run.finish()


@dataclass
class _Run:
    """What changes while a network learns."""

    network: DetailNetwork
    settings: TrainSettings
    optimizer: Adam
    scaler: torch.amp.GradScaler
    averaged: Weights
    good: TrainState
    best: Weights
    step: int = 0
    best_step: int = 0
    best_loss: float = math.nan
    first_loss: float = math.nan
    gain_step: int = 0
    gain_loss: float = math.nan
    rate_factor: float = 1.0
    drops: int = 0
    restored: int = 0
    stopped: str = ""
    losses: list[float] = field(default_factory=list)
    curve: list[dict[str, float]] = field(default_factory=list)

    COUNTERS = (
        *("step", "best_step", "best_loss", "first_loss", "gain_step", "gain_loss"),
        *("rate_factor", "drops", "restored", "stopped", "losses", "curve"),
    )

    @classmethod
    def begin(cls, network: DetailNetwork, settings: TrainSettings, device: torch.device) -> _Run:
        decay = settings.weight_decay if settings.optimizer == "adamw" else 0.0
        optimizer = Adam(network, weight_decay=decay)
        half = body_dtype(settings.mixed_precision, device) == torch.float16
        scaler = torch.amp.GradScaler(device.type, enabled=half)
        weights = _weights(network)
        run = cls(network, settings, optimizer, scaler, weights, TrainState({}, {}), _copy(weights))
        run.good = run._snapshot()
        network.train()
        return run

    def average(self) -> None:
        """Exponential average of the weights, young at first; changes `averaged`."""
        decay = min(self.settings.ema_decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, weight in self.network.named_parameters():
                self.averaged[name].lerp_(weight, 1 - decay)

    def look(self, losses: list[float], terms: Sequence[Mapping[str, Tensor]]) -> bool:
        """Judge the last losses; False where they explode, and the run is back at its last good state."""
        if reason := explosion(losses, self.losses, self.settings.explosion_loss):
            self._go_back(reason)
            return False
        means = {name: float(torch.stack([part[name] for part in terms]).mean()) for name in terms[0]}
        self.losses += losses
        self.curve.append(
            {"step": self.step, "loss": float(np.mean(losses)), **means, "learning_rate": self.optimizer.rate}
        )
        if self.settings.schedule == "linear_fit" and ready_to_drop(self.losses):
            self.drops += 1
            if self.settings.learning_rate * 0.1**self.drops < self.settings.min_learning_rate:
                self.stopped = "the learning rate has reached its floor"
        self.good = self._snapshot()
        return True

    def validate(self, batches: Sequence[Batch]) -> None:
        """Judge the averaged weights on held-out patches; keep them if they are the best so far."""
        if not batches:
            return
        error = validation_loss(self.network, self.averaged, batches)
        if self.curve:
            self.curve[-1]["validation"] = error
        if math.isnan(self.first_loss):
            self.first_loss = self.best_loss = self.gain_loss = error
        if error < self.best_loss:
            self.best_loss, self.best_step, self.best = error, self.step, _copy(self.averaged)
        if error < self.settings.improvement * self.gain_loss:
            self.gain_loss, self.gain_step = error, self.step
        patience = self.settings.patience_fraction * (self.settings.steps or 0)
        if self.settings.patience_fraction < 1 and self.step - self.gain_step > patience:
            self.stopped = f"no gain on held-out patches for {self.step - self.gain_step} steps"

    def finish(self) -> TrainingReport:
        """Give the network its best averaged weights and say how it went."""
        judged = not math.isnan(self.first_loss)
        if not judged:
            self.best_step = self.step
        self._load(self.best if judged else self.averaged)
        self.network.eval()
        return TrainingReport(
            steps=self.step,
            planned=self.settings.steps or 0,
            stopped=self.stopped,
            best_step=self.best_step,
            first_validation=self.first_loss,
            best_validation=self.best_loss,
            restored=self.restored,
            curve=tuple(self.curve),
        )

    def state(self) -> TrainState:
        """All of it, for a checkpoint."""
        now = self._snapshot()
        tensors = {f"now.{name}": tensor for name, tensor in now.tensors.items()}
        tensors |= {f"good.{name}": tensor for name, tensor in self.good.tensors.items()}
        tensors |= {f"best.{name}": tensor for name, tensor in self.best.items()}
        counters = {name: getattr(self, name) for name in self.COUNTERS}
        return TrainState(tensors, {"now": now.notes, "good": self.good.notes, "counters": counters})

    def restore(self, state: TrainState) -> None:
        """The inverse of `state`."""
        parts = _sorted_by_part(state.tensors)
        self._return_to(TrainState(parts["now"], state.notes["now"]))
        self.good, self.best = TrainState(parts["good"], state.notes["good"]), parts["best"]
        for name, value in state.notes["counters"].items():
            setattr(self, name, value)

    def _snapshot(self) -> TrainState:
        """Weights, averages and the optimizer's memory; copies."""
        tensors = {f"weight.{name}": tensor for name, tensor in _weights(self.network).items()}
        tensors |= {f"average.{name}": tensor.clone() for name, tensor in self.averaged.items()}
        tensors |= {f"optimizer.{name}": tensor for name, tensor in self.optimizer.state().items()}
        return TrainState(tensors, {"step": self.step, "scaler": self.scaler.state_dict()})

    def _return_to(self, state: TrainState) -> None:
        """The inverse of `_snapshot`."""
        parts = _sorted_by_part(state.tensors)
        self._load(parts["weight"])
        for name, tensor in parts["average"].items():
            self.averaged[name].copy_(tensor)
        self.optimizer.restore(parts["optimizer"])
        self.scaler.load_state_dict(dict(state.notes["scaler"]))
        self.step = int(state.notes["step"])

    def _go_back(self, reason: str) -> None:
        self._return_to(self.good)
        self.restored += 1
        self.rate_factor /= 2
        if self.restored > 1:
            self.stopped = f"exploded again at half the learning rate: {reason}"

    def _load(self, weights: Weights) -> None:
        with torch.no_grad():
            for name, parameter in self.network.named_parameters():
                parameter.copy_(weights[name])


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
            answer = functional_call(network, weights, (batch.lr, batch.base, batch.noise))
            error = ((answer - batch.truth) / one).double()
            squares += float((batch.weight * error.square()).sum())
            total += float(batch.weight.sum())
    return math.sqrt(squares / max(total, 1.0))


def _weights(network: DetailNetwork) -> Weights:
    return {name: parameter.detach().clone() for name, parameter in network.named_parameters()}


def _sorted_by_part(tensors: Mapping[str, Tensor]) -> dict[str, Weights]:
    """{"a.b": x, "c.d": y} to {"a": {"b": x}, "c": {"d": y}}."""
    parts: dict[str, Weights] = {}
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        parts.setdefault(part, {})[rest] = tensor
    return parts


def _copy(weights: Weights) -> Weights:
    return {name: tensor.clone() for name, tensor in weights.items()}

"""Where the network's detail comes from: the scene itself, or a prior from other scenes.

A scene too small to learn from, or a training that exploded, ends as the base with a reason:
that is an answer too, and an honest one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.recipe import Recipe
from pipeline.superres.applying.enlarge import base_upscaler, network_upscaler
from pipeline.superres.applying.method import Method
from pipeline.superres.applying.passes import passes
from pipeline.superres.bases.base import Base, back_projected_base, fit_base
from pipeline.superres.bases.projection import Projection
from pipeline.superres.networks import build_network
from pipeline.superres.networks.detail import DetailNetwork, detail_unit
from pipeline.superres.prior.weights import Prior
from pipeline.superres.sensing.normalize import Normalization
from pipeline.superres.sensing.prepare import Working
from pipeline.superres.streams import Stream
from pipeline.superres.training.loop import TrainingReport, train
from pipeline.superres.training.pairs import calibrate, make_pairs
from pipeline.superres.training.state import Checkpoint

HELD_OUT_BLOCK_PX = 32
HELD_OUT_SHARE = 4  # one block in four judges


@dataclass(frozen=True)
class Learned:
    """A network that is ready, or why there is none.

    Attributes:
        network: In evaluation mode, its units set for this scene; None to publish the base.
        base: What it adds to.
        wanted: Whether the recipe asks for a network at all.
        reason: Why there is none though it was wanted.
        report: How the training on the scene went, if there was one.
        held_out: (y, x), true where that training never looked.
        prior_gain: Gain that the prior's left-out scenes recommend; None without a prior.
        prior_gain_error: Its scatter over those scenes.
        voice: Whether the scene's own test has a vote beside the prior's record, or a veto only. It has
            none where the prior was taught by this very scene, or where the scene was heard at x2.
        facts: For the provenance; plain JSON.
    """

    network: DetailNetwork | None
    base: Base
    wanted: bool
    reason: str = ""
    report: TrainingReport | None = None
    held_out: NDArray[np.bool_] | None = None
    prior_gain: float | None = None
    prior_gain_error: float = 0.0
    voice: bool = True
    facts: Mapping[str, Any] = field(default_factory=dict)


def learn(
    work: Working,
    recipe: Recipe,
    *,
    units: Normalization,
    base: Base,
    device: torch.device,
    prior: Prior | None = None,
    content_digest: str = "",
    checkpoint: Checkpoint | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> Learned:
    """A network for this scene.

    Args:
        work: The scene in working units.
        recipe: Resolved.
        units: What the network sees.
        base: What it adds to.
        device: Where it trains.
        prior: Used instead of a training where it has weights for the scale.
        content_digest: Of the scene, to see whether it fed the prior.
        checkpoint: Keeps the training's state.
        progress: Told how much of the training is done.
    """
    if recipe.detail == "none":
        return Learned(None, base, wanted=False, facts={"source": "none"})
    if recipe.detail == "prior" and prior is not None:
        return _from_prior(work, recipe, units=units, prior=prior, fed=prior.fed_by(content_digest))
    return _train_here(
        work, recipe, units=units, base=base, device=device, checkpoint=checkpoint, progress=progress
    )


def scene_base(work: Working, recipe: Recipe) -> Base:
    """What needs no learning, tuned on the scene."""
    generator = Stream.BASE.generator(recipe.seed)
    return fit_base(recipe.network.base, work.lr, work.valid, work.degrade, work.noise, generator)


def method_of(
    work: Working,
    recipe: Recipe,
    *,
    units: Normalization,
    base: Base,
    learned: Learned,
    device: torch.device,
) -> Method:
    """Base, passes and projection, ready to be applied to the scene or to its self-test."""
    projection = Projection.of(work.degrade, work.noise) if recipe.gate.project else None
    if learned.network is None:
        return Method(base=base_upscaler(base), projection=projection)
    up = network_upscaler(
        learned.network,
        base=learned.base,
        units=units,
        device=device,
        mixed_precision=recipe.train.mixed_precision,
    )
    ways = passes(up, recipe.infer, Stream.SHIFTS.generator(recipe.seed))
    return Method(base=base_upscaler(base), passes=tuple(ways), projection=projection)


def _from_prior(work: Working, recipe: Recipe, *, units: Normalization, prior: Prior, fed: bool) -> Learned:
    """The prior's network in this scene's units; no step on the scene."""
    network, card = prior.network(recipe.scale), prior.facts(recipe.scale)
    lr, valid = torch.from_numpy(units.normalize(work.lr)), torch.from_numpy(work.valid)
    network.calibrate(unit=detail_unit(lr, valid), noise=work.noise / units.scale_k)
    return Learned(
        network,
        back_projected_base(work.degrade),  # what every prior is taught over: it has nothing to tune
        wanted=True,
        prior_gain=float(card.get("gain", 1.0)),
        prior_gain_error=float(card.get("gain_error", 0.1)),
        voice=not fed,
        facts={
            "source": "prior",
            "fed_by_this_scene": fed,
            "prior_sha256": recipe.prior_sha256,
            "reach_px": network.reach_px,
        },
    )


def _train_here(
    work: Working,
    recipe: Recipe,
    *,
    units: Normalization,
    base: Base,
    device: torch.device,
    checkpoint: Checkpoint | None,
    progress: Callable[[float], None],
) -> Learned:
    network = build_network(recipe.network, recipe.scale, seed=recipe.seed)
    held_out = held_out_blocks(work.lr.shape, recipe.seed) if recipe.gate.enabled else None
    facts = {
        "source": "this scene alone",
        "name": recipe.network.name,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "reach_px": network.reach_px,
    }
    noise = work.noise / units.scale_k
    try:
        pairs = make_pairs(
            units.normalize(work.lr),
            work.valid,
            lambda hr: np.asarray(work.degrade(hr)),
            base.in_units(units.scale_k),
            scale=recipe.scale,
            settings=recipe.pairs,
            generator=Stream.PAIRS.generator(recipe.seed),
            noise=noise,
            held_out=held_out,
        )
    except ValueError as error:
        return Learned(None, base, wanted=True, reason=f"nothing to learn from: {error}", facts=facts)
    calibrate(network, pairs, noise)
    report = train(
        network,
        pairs,
        recipe.train,
        seed=recipe.seed,
        device=device,
        checkpoint=checkpoint,
        progress=lambda step, planned, _: progress(step / max(planned, 1)),
    )
    if report.failed:
        return Learned(
            None, base, wanted=True, reason=f"training {report.stopped}", report=report, facts=facts
        )
    if report.best_step == 0:
        reason = f"training learned nothing in {report.steps} steps"
        return Learned(None, base, wanted=True, reason=reason, report=report, facts=facts)
    return Learned(network, base, wanted=True, report=report, held_out=held_out, facts=facts)


def held_out_blocks(shape: tuple[int, ...], seed: int) -> NDArray[np.bool_]:
    """(y, x), true in one of every 2 x 2 blocks, drawn, so that all of the scene is heard."""
    generator = Stream.PAIRS.generator(seed, 1)
    side = min(HELD_OUT_BLOCK_PX, max(min(shape) // 4, 1))
    blocks = [-(-size // side) for size in shape]
    rows, columns = (-(-count // 2) for count in blocks)
    chosen = generator.integers(HELD_OUT_SHARE, size=(rows, columns))
    quads = np.zeros((2 * rows, 2 * columns), dtype=bool)
    row, column = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    quads[2 * row + chosen // 2, 2 * column + chosen % 2] = True
    fine = np.repeat(np.repeat(quads, side, axis=0), side, axis=1)
    return fine[: shape[0], : shape[1]]

"""Where the network's detail comes from: the scene itself, or a prior from other scenes.

A scene too small to learn from, or a training that exploded, is published without a trained network, and
the reason is told.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float32
from numpy.typing import NDArray

from pipeline.raster import split_pixels
from pipeline.recipe import Recipe
from pipeline.superres.applying.enlarge import base_upscaler, network_upscaler
from pipeline.superres.applying.method import Method, Picture
from pipeline.superres.applying.passes import passes
from pipeline.superres.bases.base import Base, back_projected_base, bicubic_base, fit_base
from pipeline.superres.bases.projection import Projection
from pipeline.superres.networks import build_network, count_parameters
from pipeline.superres.networks.detail import DetailNetwork, detail_unit
from pipeline.superres.networks.measure import require_memory, require_memory_to_apply
from pipeline.superres.networks.pretrained import Pretrained
from pipeline.superres.prior.weights import Prior
from pipeline.superres.sensing.holes import fill_nearest
from pipeline.superres.sensing.prepare import Prepared
from pipeline.superres.streams import Stream
from pipeline.superres.training.coverage import coverage, held_out_blocks
from pipeline.superres.training.loop import TrainingReport, train
from pipeline.superres.training.mixture import settle_between
from pipeline.superres.training.pairs import ScenePairs, calibrate, make_pairs
from pipeline.superres.training.state import Checkpoint

Fine = Float32[NDArray[np.float32], "_ _"]
Mask = Bool[NDArray[np.bool_], "_ _"]
LARGE_PX = 256**2  # measured pixels from which on a scene is expected to teach as much as it can
USUAL_SHARE = 0.5  # of what a large scene taught at x2 that suits it at the next scale; at x4 half of it


@dataclass(frozen=True)
class Detail:
    """A network that is ready, or why there is none.

    Attributes:
        base: What the network adds to.
        network: In evaluation mode, its units set for this scene; None to publish the base.
        reason: Why there is none though the recipe asks for one; "" where it does not ask.
        held_out: (y, x), true where a training on this scene never looked; None without such a training.
        prior: What other scenes taught it, before it was trained on this one; None where they did not.
        fed: Whether this very scene taught that prior: then the scene cannot judge it.
        trained: Whether this scene changed its weights.
        report: How the training on the scene went, if there was one.
        facts: For the provenance; plain JSON.
    """

    base: Base
    network: DetailNetwork | None = None
    reason: str = ""
    held_out: Bool[NDArray[np.bool_], "y x"] | None = None
    prior: Prior | None = None
    fed: bool = False
    trained: bool = False
    report: TrainingReport | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def wanted(self) -> bool:
        """Whether the recipe asks for a network at all."""
        return self.network is not None or bool(self.reason)


def find_detail(
    prepared: Prepared,
    recipe: Recipe,
    *,
    base: Base,
    device: torch.device,
    prior: Prior | None = None,
    pretrained: Pretrained | None = None,
    checkpoint: Checkpoint | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> Detail:
    """A network for this scene.

    Args:
        prepared: The scene.
        recipe: Resolved.
        base: What the scene's own network adds to.
        device: Where it trains.
        prior: What `recipe.prior` names: published as it is, or where a training on the scene starts.
        pretrained: What `recipe.network.pretrained` names.
        checkpoint: Keeps the training's state.
        progress: Told how much of the training is done.
    """
    if recipe.detail == "none":
        return Detail(base, facts={"source": "none"})
    if recipe.detail == "pretrained" and pretrained is not None:
        return _detail_of_pretrained(prepared, recipe, pretrained, device)
    if recipe.detail == "prior" and prior is not None:
        return detail_of_prior(prepared, prior)
    return _train_here(
        prepared,
        recipe,
        base=base,
        device=device,
        prior=prior,
        checkpoint=checkpoint,
        progress=progress,
        finer=_finer_versions(prepared, recipe, device) if recipe.pairs.gradual and prior is None else (),
    )


def _finer_versions(prepared: Prepared, recipe: Recipe, device: torch.device) -> list[tuple[Fine, Mask]]:
    """What the smaller enlargements make of the scene, each learned from those before it as well.

    They are made of what a training may see: pixels that are held out are none of theirs. Gradual increase
    of the enlargement, as Shocher et al. 2018, "Zero-Shot" Super-Resolution using Deep Internal Learning.
    """
    held_out = held_out_blocks(prepared.lr.shape, recipe.seed) & recipe.gate.enabled
    seen = prepared.valid & ~held_out
    if not seen.any():
        return []
    picture = Picture.of(fill_nearest(np.where(seen, prepared.lr, np.float32(np.nan))), seen)
    found: list[tuple[Fine, Mask]] = []
    for scale in (smaller for smaller in (2, 4, 8) if smaller < recipe.scale):
        now, step = prepared.at_scale(scale), recipe.model_copy(update={"scale": scale})
        base = fit_scene_base(now, step)
        detail = _train_here(
            now,
            step,
            base=base,
            device=device,
            prior=None,
            checkpoint=None,  # quick to learn again, and to the bit
            progress=lambda _: None,
            finer=found,
        )
        method = compose_method(now, step, base=base, detail=detail, device=device)
        found.append((method(picture, picture.window).hr, split_pixels(seen, scale)))
    return found


def detail_of_prior(prepared: Prepared, prior: Prior) -> Detail:
    """The prior's network in this scene's units; no step on the scene."""
    network, units = prior.network(prepared.scale), prepared.units
    lr, valid = torch.from_numpy(units.normalize(prepared.lr)), torch.from_numpy(prepared.valid)
    network.calibrate(unit=detail_unit(lr, valid), noise=prepared.noise / units.scale_k)
    fed = prior.fed_by(prepared.scene.ref.digest)
    return Detail(
        back_projected_base(prepared.degrade),  # what every prior is taught over: it has nothing to tune
        network,
        prior=prior,
        fed=fed,
        facts={"source": "prior", "fed_by_this_scene": fed, "reach_px": network.reach_px},
    )


def _detail_of_pretrained(
    prepared: Prepared, recipe: Recipe, pretrained: Pretrained, device: torch.device
) -> Detail:
    """A network that others taught, as it is; where it takes an enlarged scene, by bicubic."""
    scale = recipe.scale
    require_memory_to_apply(
        pretrained.name, lambda: pretrained.build(scale), seen=_seen(prepared, recipe), device=device
    )
    network = pretrained.network(scale)
    facts = {
        "source": "pretrained",
        "name": pretrained.name,
        "parameters": count_parameters(network),
        "reach_px": network.reach_px,
    }
    return Detail(bicubic_base(scale), network, facts=facts)


def fit_scene_base(prepared: Prepared, recipe: Recipe) -> Base:
    """What needs no learning, tuned on the scene."""
    generator = Stream.BASE.generator(recipe.seed)
    return fit_base(
        recipe.network.base, prepared.lr, prepared.valid, prepared.degrade, prepared.noise, generator
    )


def compose_method(
    prepared: Prepared, recipe: Recipe, *, base: Base, detail: Detail, device: torch.device
) -> Method:
    """Base, passes and projection, ready to be applied to the scene or to its self-test."""
    projection = Projection.of(prepared.degrade, prepared.noise) if recipe.gate.project else None
    if detail.network is None:
        return Method(base=base_upscaler(base), projection=projection)
    up = network_upscaler(
        detail.network,
        base=detail.base,
        units=prepared.units,
        device=device,
        # What others taught answers with the whole scene and not with a detail: it is rounded nowhere.
        mixed_precision="off" if recipe.detail == "pretrained" else recipe.train.mixed_precision,
    )
    generator = Stream.SHIFTS.generator(recipe.seed)
    ways = passes(up, recipe.infer, generator, symmetric=prepared.degrade.symmetric)
    return Method(
        base=base_upscaler(base),
        passes=tuple(ways),
        reduce=recipe.infer.reduce or "mean",
        projection=projection,
    )


def _train_here(
    prepared: Prepared,
    recipe: Recipe,
    *,
    base: Base,
    device: torch.device,
    prior: Prior | None,
    checkpoint: Checkpoint | None,
    progress: Callable[[float], None],
    finer: Sequence[tuple[Fine, Mask]] = (),
) -> Detail:
    """A network trained on this scene, from a prior's weights or from nothing; `finer` as in `make_pairs`."""
    if prior is None:
        _require_memory(prepared, recipe, device)
        start, network = Detail(base), build_network(recipe.network, recipe.scale, seed=recipe.seed)
    else:
        start = detail_of_prior(prepared, prior)
        network = prior.network(recipe.scale)
    held_out = held_out_blocks(prepared.lr.shape, recipe.seed) if recipe.gate.enabled else None
    facts: dict[str, Any] = {
        "source": "this scene alone" if prior is None else "this scene, from a prior",
        "parameters": count_parameters(network),
        "reach_px": network.reach_px,
    }
    noise = prepared.noise / prepared.units.scale_k
    try:
        pairs = _scene_pairs(prepared, recipe, start.base, held_out, finer)
    except ValueError as error:
        return _not_trained(start, f"nothing to learn from: {error}", facts)
    if prior is None:
        calibrate(network, pairs, noise)
    else:  # its `sigma` is what the archive's scenes lack, and part of what it learned
        network.calibrate(unit=pairs.unit, noise=noise)
    report = train(
        network,
        pairs,
        recipe.train,
        seed=recipe.seed,
        device=device,
        degrade=prepared.degrade,
        checkpoint=checkpoint,
        progress=lambda step, planned, _: progress(step / max(planned, 1)),
    )
    facts |= coverage(pairs, prepared.valid, report.steps * recipe.pairs.batch)
    if report.failed:
        return _not_trained(start, f"training {report.stopped}", facts, report)
    if report.best_step == 0:
        return _not_trained(start, f"training learned nothing in {report.steps} steps", facts, report)
    if prior is not None:
        usual = USUAL_SHARE * min(1.0, float(prepared.valid.sum()) / LARGE_PX) * 2 / recipe.scale
        share = settle_between(network, prior.network(recipe.scale), pairs.validation, usual=usual)
        facts = {**facts, "share_of_training": share}
        if share == 0:
            return _not_trained(start, "what the scene taught loses on its held-out pixels", facts, report)
    return dataclasses.replace(
        start, network=network, held_out=held_out, trained=True, report=report, facts=facts
    )


def _scene_pairs(
    prepared: Prepared, recipe: Recipe, base: Base, held_out: Mask | None, finer: Sequence[tuple[Fine, Mask]]
) -> ScenePairs:
    """Training pairs of the scene, in its units."""
    units, flips = prepared.units, recipe.pairs.flips and prepared.degrade.symmetric
    return make_pairs(
        units.normalize(prepared.lr),
        prepared.valid,
        lambda hr: np.asarray(prepared.degrade(hr)),
        base.in_units(units.scale_k),
        scale=recipe.scale,
        settings=recipe.pairs.model_copy(update={"flips": flips}),
        generator=Stream.PAIRS.generator(recipe.seed),
        noise=prepared.noise / units.scale_k,
        held_out=held_out,
        finer=[(units.normalize(fine), mask) for fine, mask in finer],
        with_scene=recipe.train.loss_consistency_weight > 0,
    )


def _require_memory(prepared: Prepared, recipe: Recipe, device: torch.device) -> None:
    """Refuse a network that cannot fit."""
    patch, seen = (recipe.pairs.crop_px or 0, recipe.pairs.batch), _seen(prepared, recipe)
    require_memory(recipe.network, recipe.scale, patch=patch, seen=seen, device=device)


def _seen(prepared: Prepared, recipe: Recipe) -> tuple[int, ...]:
    """What a network that looks at everything sees at once: a patch with its context, or the scene."""
    infer, shape = recipe.infer, prepared.lr.shape
    if infer.mode == "whole":
        return tuple(shape)
    side = (infer.patch_px or 0) + 2 * (infer.context_px or 0)
    return min(side, shape[0]), min(side, shape[1])


def _not_trained(
    start: Detail, reason: str, facts: Mapping[str, Any], report: TrainingReport | None = None
) -> Detail:
    """The prior as it was, or no network at all, and why."""
    if start.network is not None:
        told = {**start.facts, "training": reason}
        return dataclasses.replace(start, report=report, facts=told)
    return dataclasses.replace(start, reason=reason, report=report, facts=facts)

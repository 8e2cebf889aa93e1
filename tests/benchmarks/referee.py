"""The referee's table: every method on every real scene, against bicubic and self-tuned Tikhonov.

Wald's protocol: the most textured square of a real scene is the truth, on the grid of its own sensor; the
forward model and noise make the scene of it, a method recovers it. Ratios of RMSE are averaged geometrically,
first over the scenes of a place, then over places.

    python -m tests.benchmarks.referee --scales 2 4 8 --nedt 0 0.05 0.1 --degradations mtf --methods base

`METHODS` holds what can be compared; add a callable `(case) -> hr` and name it.

A prior is never judged on a place that fed it: `--priors DIR` holds the left-out priors that
`tests.benchmarks.train_prior --keep DIR` writes, and every scene gets one without its place.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import TextIO

import numpy as np
import torch

from pipeline.grid import Grid, Window
from pipeline.recipe_files import load_prior
from pipeline.scene import Enhancement, Scene, SceneRef, Sensor
from pipeline.settings_sources import load_settings
from pipeline.superres.bases.base import Base, back_project, bicubic, fit_base
from pipeline.superres.bases.projection import Projection
from pipeline.superres.enhance import enhance
from pipeline.superres.prior.left_out import scored_square
from pipeline.superres.prior.prior_pairs import PriorScene
from pipeline.superres.prior.weights import Prior
from pipeline.superres.sensing.degrade import Degrade
from pipeline.trials.metrics import accuracy, seam_index, shift_px
from tests.benchmarks.prior_scenes import real_scenes

BENCH = Path(__file__).parents[2] / ".." / "shared" / "bench"
DEFAULT_SIGMA_PX = 0.4
NOISE_SEED = 1234
SMALLEST_LR_PX = 24
AGAINST = ("bicubic", "tikhonov_bench")


@dataclass(frozen=True)
class Case:
    """One scene, degraded; `prior` is one that never saw its place."""

    scene: str
    place: str
    sensor: str
    truth: np.ndarray
    lr: np.ndarray
    degrade: Degrade
    nedt_k: float
    prior: str = "shipped"


Method = Callable[[Case], np.ndarray]


def tuned(case: Case) -> Base:
    """The project's Tikhonov, tuned on the scene."""
    valid, generator = np.isfinite(case.lr), np.random.default_rng(0)
    return fit_base("tikhonov", case.lr, valid, case.degrade, case.nedt_k, generator)


def projected(case: Case) -> np.ndarray:
    """The same and the last projection: what is published where no network is used."""
    project = Projection.of(case.degrade, case.nedt_k)
    return project(tuned(case)(case.lr), case.lr, np.isfinite(case.lr))


def tikhonov_bench(case: Case) -> np.ndarray:
    """Self-tuned Tikhonov as the bench beside the project defines it; ratios are against this one."""
    classic, operators = _bench()
    theirs = operators.Degradation(_bench_name(case.degrade), case.degrade.scale)
    return classic.tikhonov_auto(case.lr, theirs, nedt=case.nedt_k)


def enhanced(case: Case, *assignments: str, sigma_factor: float = 1.0) -> Enhancement:
    """The product's own method on the scene; blur and noise are told to it."""
    told = [
        f"recipe.scale={case.degrade.scale}",
        f"recipe.degrade.nedt_k={case.nedt_k}",
        f"recipe.prior={case.prior}",
        *blur(case.degrade, sigma_factor),
    ]
    recipe = load_settings(assignments=[*told, *assignments], environment={}).recipe
    ref = SceneRef("referee-00000000", "npz", ("referee.npz",), "0" * 64)
    sensor = Sensor("unknown", 70.0, 0.35, 0.0, float("nan"), "told by the referee")
    scene = Scene(ref, sensor, "surface_temperature", Grid(None, None, *case.lr.shape), case.lr)
    return enhance(scene, recipe, device=torch.device("cpu"), prior=load_prior(recipe))


def whole_product(*assignments: str, sigma_factor: float = 1.0) -> Method:
    """The product from scene to pixels."""

    def method(case: Case) -> np.ndarray:
        enhancement = enhanced(case, *assignments, sigma_factor=sigma_factor)
        return enhancement.compute(Window(0, 0, *case.lr.shape)).temperature

    return method


def best_gain(*assignments: str) -> Method:
    """The same with the gain that the truth itself would choose; what a gate loses is measured against it."""

    def method(case: Case) -> np.ndarray:
        compute = enhanced(case, *assignments, "recipe.gate.enabled=false").compute
        parts = compute.method.parts(compute.picture, compute.picture.window)
        border = np.s_[2 * case.degrade.scale : -2 * case.degrade.scale]

        def error(answer: np.ndarray) -> float:
            return float(np.mean((answer - case.truth)[border, border] ** 2))

        pictures = [
            dataclasses.replace(compute.picture, gain=compute.picture.gain * gain)
            for gain in np.arange(0, 1.55, 0.1, dtype=np.float32)
        ]
        return min((compute.method.finish(each, parts).hr for each in pictures), key=error)

    return method


def blur(degrade: Degrade, factor: float) -> list[str]:
    """The setting that describes a forward model of the referee, off by a factor."""
    for sigma_px in (0.0, 0.35, 0.4, 0.45):
        if Degrade.gaussian(degrade.scale, sigma_px) == degrade:
            return [f"recipe.degrade.psf_sigma_px={sigma_px * factor}"]
    return [f"recipe.degrade.mtf_nyquist={min(float(degrade.mtf(0.5)), 0.6366)}"]


# The original's network, given what it never had: the true kernel and the last projection.
GIVEN_THE_KERNEL = (
    "recipe.preset=original",
    "recipe.prior=none",
    "recipe.pairs.model=sensor",
    "recipe.gate.project=true",
    "recipe.infer.mode=whole",
    "recipe.train.steps=400",
)


def seeds(*assignments: str, count: int = 2) -> Method:
    """The mean of products that were trained from different seeds; without noise it is consistent as well."""
    products = [whole_product(f"recipe.seed={seed}", *assignments) for seed in range(count)]
    return lambda case: np.mean([product(case) for product in products], axis=0)


METHODS: dict[str, Method] = {
    "bicubic": lambda case: bicubic(case.lr, case.degrade.scale),
    "back_projected": lambda case: back_project(case.lr, case.degrade),
    "tikhonov_bench": tikhonov_bench,
    "base": lambda case: tuned(case)(case.lr),
    "projected": projected,
    "product": whole_product(),
    "fast": whole_product("recipe.preset=fast"),
    "no step": whole_product("recipe.detail=prior"),
    "no step, best gain": best_gain("recipe.detail=prior"),
    "quality": whole_product("recipe.preset=quality"),
    "zero_shot": whole_product("recipe.prior=none"),
    "no mixture": whole_product("recipe.gate.enabled=false"),
    "no turns": whole_product("recipe.infer.self_ensemble=false"),
    "no projection": whole_product("recipe.gate.project=false"),
    "two seeds": seeds(),
    "quality, two seeds": seeds("recipe.preset=quality"),
    "original, given the kernel": whole_product(*GIVEN_THE_KERNEL),
    "product, blur 12 % too narrow": whole_product(sigma_factor=0.88),
    "product, blur 12 % too wide": whole_product(sigma_factor=1.12),
}


@dataclass(frozen=True)
class Outcome:
    """What one method made of one case; `ratios` to the methods in AGAINST."""

    case: Case
    rmse_k: float
    ratios: dict[str, float]
    consistency_k: float
    bias_k: float
    shift: float
    seam: float
    seconds: float

    def facts(self, degradation: str, method: str) -> dict[str, object]:
        """Plain, for a line of JSON."""
        case = self.case
        named = {"degradation": degradation, "scale": case.degrade.scale, "nedt_k": case.nedt_k}
        figures = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "case"}
        return {
            "scene": case.scene,
            "place": case.place,
            "sensor": case.sensor,
            **named,
            "method": method,
            **figures,
        }


def forward_model(name: str, scale: int) -> Degrade:
    """The degradation of that name: mtf, mtf:SIGMA, area, bicubic."""
    kind, _, figure = name.partition(":")
    if kind == "mtf":
        return Degrade.gaussian(scale, float(figure) if figure else DEFAULT_SIGMA_PX)
    if name in ("area", "bicubic"):
        return Degrade.gaussian(scale, 0.0) if name == "area" else Degrade.cubic(scale)
    raise SystemExit(f"no degradation '{name}'; known: mtf, mtf:SIGMA, area, bicubic")


def cases(
    degradation: str,
    scale: int,
    nedt_k: float,
    only: str = "",
    priors: Path | None = None,
    largest_px: int = 512,
) -> Iterable[Case]:
    """Every scene whose place or name contains `only`, where enough of it is left at the coarse scale."""
    degrade = forward_model(degradation, scale)
    for scene in _scenes():
        if only not in f"{scene.site} {scene.name}" or (truth := scored_square(scene, scale)) is None:
            continue
        if truth.shape[0] // scale < SMALLEST_LR_PX:
            continue
        side = min(truth.shape[0], largest_px) // scale * scale
        cut = np.ascontiguousarray(truth[:side, :side])
        lr = degrade(cut) + np.random.default_rng(NOISE_SEED).normal(0, nedt_k, (side // scale,) * 2)
        prior = honest_prior(scene.site, priors)
        yield Case(scene.name, scene.site, scene.sensor, cut, lr.astype(np.float32), degrade, nedt_k, prior)


@cache
def _kept(priors: Path) -> list[tuple[Path, frozenset[str]]]:
    """Files of priors, and the places that fed each."""
    found = []
    for path in sorted(priors.glob("*.safetensors")):
        card = Prior.load(path.read_bytes()).card
        found.append((path, frozenset(scene["site"] for scene in card["scenes"])))
    return found


def honest_prior(place: str, priors: Path | None) -> str:
    """A prior that this place did not feed; the shipped one where no folder of priors is given."""
    if priors is None:
        return "shipped"
    for path, places in _kept(priors):
        if place not in places:
            return str(path)
    raise SystemExit(f"{priors}: every prior was taught by {place}")


def judge(case: Case, method: Method, references: dict[str, float]) -> Outcome:
    """Run a method on a case and compare."""
    start = time.process_time()
    answer = np.asarray(method(case), dtype=np.float32)
    seconds = time.process_time() - start
    figures = accuracy(answer, case.truth, case.lr, case.degrade)
    shift = math.hypot(*shift_px(answer, case.truth)) / case.degrade.scale
    tile_px = 16 * case.degrade.scale
    seam, natural = (seam_index(picture, tile_px, case.degrade.scale) for picture in (answer, case.truth))
    ratios = {name: figures.rmse_k / rmse_k for name, rmse_k in references.items()}
    return Outcome(
        case, figures.rmse_k, ratios, figures.consistency_k, figures.bias_k, shift, seam / natural, seconds
    )


def table(
    names: Sequence[str],
    degradations: Sequence[str],
    scales: Sequence[int],
    nedts: Sequence[float],
    only: str,
    priors: Path | None = None,
    record: TextIO | None = None,
    largest_px: int = 512,
) -> Iterable[str]:
    """Lines of a markdown table: one row for every method and setting.

    `record` is given every single outcome as a line of JSON.
    """
    yield (
        "| degradation | scale | NEdT K | method | vs bicubic | vs Tikhonov (bench) | worst scene vs Tikhonov"
        " | consistency mK | bias mK | shift LR px | seam | s (median) |"
    )
    yield "|" + "---|" * 12
    against = [name for name in AGAINST if name == "bicubic" or BENCH.is_dir()]
    for degradation in degradations:
        for scale in scales:
            for nedt_k in nedts:
                found = {name: [] for name in names}
                for case in cases(degradation, scale, nedt_k, only, priors, largest_px):
                    references = {name: judge(case, METHODS[name], {}).rmse_k for name in against}
                    for name in names:
                        outcome = judge(case, METHODS[name], references)
                        found[name].append(outcome)
                        if record is not None:
                            print(json.dumps(outcome.facts(degradation, name)), file=record, flush=True)
                for name in names:
                    yield _row(degradation, scale, nedt_k, name, found[name])


def _row(degradation: str, scale: int, nedt_k: float, name: str, outcomes: list[Outcome]) -> str:
    if not outcomes:
        return f"| {degradation} | {scale} | {nedt_k:g} | {name} | no scene |" + " |" * 7
    means = [_geometric(outcomes, reference) for reference in AGAINST]
    worst = max(outcomes, key=lambda outcome: outcome.ratios.get(AGAINST[1], 0.0))
    most = {
        field: max(abs(getattr(outcome, field)) for outcome in outcomes)
        for field in ("consistency_k", "bias_k", "shift", "seam")
    }
    return (
        f"| {degradation} | {scale} | {nedt_k:g} | {name} | {means[0]} | {means[1]} "
        f"| {worst.ratios.get(AGAINST[1], math.nan):.4f} ({worst.case.place}) "
        f"| {1e3 * most['consistency_k']:.3g} | {1e3 * most['bias_k']:.2g} | {most['shift']:.3f} "
        f"| {most['seam']:.3f} | {np.median([outcome.seconds for outcome in outcomes]):.2f} |"
    )


def by_place(outcomes: Sequence[Outcome], reference: str) -> dict[str, float]:
    """Geometric mean of the ratios over the scenes of every place."""
    ratios: dict[str, list[float]] = {}
    for outcome in outcomes:
        if reference in outcome.ratios:
            ratios.setdefault(outcome.case.place, []).append(math.log(outcome.ratios[reference]))
    return {place: math.exp(float(np.mean(found))) for place, found in ratios.items()}


def _geometric(outcomes: list[Outcome], reference: str) -> str:
    """Over places, each counted once."""
    ratios = list(by_place(outcomes, reference).values())
    return f"{np.exp(np.mean(np.log(ratios))):.4f}" if ratios else "-"


@cache
def _scenes() -> list[PriorScene]:
    """The first and the last scene of every place, for other dates say little more."""
    scenes = real_scenes()
    chosen = {}
    for place in sorted({one.site for one in scenes}):
        here = [one for one in scenes if one.site == place]
        chosen |= {one.name: one for one in (here[0], here[-1])}
    return list(chosen.values())


@cache
def _bench() -> tuple[object, object]:
    if not BENCH.is_dir():
        raise SystemExit("tikhonov_bench needs ../shared/bench")
    sys.path.insert(0, str(BENCH))
    import classic
    import ops

    return classic, ops


def _bench_name(degrade: Degrade) -> str:
    """What the bench calls a forward model that `forward_model` made."""
    if degrade == Degrade.gaussian(degrade.scale, 0.0):
        return "area"
    if degrade == Degrade.cubic(degrade.scale):
        return "bicubic"
    for sigma in np.arange(0.05, 1.0, 0.05):
        if degrade == Degrade.gaussian(degrade.scale, round(float(sigma), 2)):
            return f"mtf:{round(float(sigma), 2)}"
    raise SystemExit("the bench knows only Gaussian blurs in steps of 0.05 pixels, area and bicubic")


def main() -> None:
    """Print the table, row by row as it is made."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--methods", nargs="+", default=["back_projected", "base", "projected"], choices=METHODS
    )
    parser.add_argument("--scales", nargs="+", type=int, default=[2, 4, 8])
    parser.add_argument("--nedt", nargs="+", type=float, default=[0.0, 0.05, 0.1])
    parser.add_argument("--degradations", nargs="+", default=["mtf", "area", "bicubic", "mtf:0.45"])
    parser.add_argument("--only", default="", help="part of the places or names of the scenes to use")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--priors", type=Path, help="folder that `tests.benchmarks.train_prior --keep` wrote")
    parser.add_argument("--largest", type=int, default=512, help="side of a truth at most, in pixels")
    parser.add_argument("--record", type=argparse.FileType("a"), help="file for every outcome, JSON by line")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for line in table(
        arguments.methods,
        arguments.degradations,
        arguments.scales,
        arguments.nedt,
        arguments.only,
        arguments.priors,
        arguments.record,
        arguments.largest,
    ):
        print(line, flush=True)


if __name__ == "__main__":
    main()

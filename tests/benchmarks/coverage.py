"""Whether one standard error holds 68 % of pixels against a truth that the method never had.

    python -m tests.benchmarks.coverage [--scales 2 4 8] [--nedt 0 0.1] [--priors DIR] [--set KEY=VALUE ...]

Real scenes are degraded ("mtf"), enhanced and compared with themselves. "Factor" is what the uncertainty
would have to be multiplied by to hold 68.27 %. Below each scale: the weights of
`pipeline/superres/judging/next_octave.py` fitted anew, and the coverage at each place with weights that were
fitted on the other places only.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pipeline.grid import Grid, Window
from pipeline.recipe_files import load_prior
from pipeline.scene import Scene, SceneRef, Sensor
from pipeline.settings_sources import load_settings
from pipeline.superres.enhance import enhance
from pipeline.superres.judging.next_octave import GROWTH_BOUNDS, MOST, ONE_SIGMA, SCALES, find_octaves
from tests.benchmarks.referee import Case, cases

RIDGE = 2.0  # pull toward no influence of slope and growth, in units of their spread


@dataclass(frozen=True)
class Row:
    """A scene: the errors and what may foretell them.

    Attributes:
        place: Where it is.
        ratios: Error over published uncertainty, pixel by pixel.
        wanted: Logarithm of the true mean sigma over the scene's finest contrast.
        given: The same of the published sigma.
        features: Slope and growth.
    """

    place: str
    ratios: np.ndarray
    wanted: float
    given: float
    features: tuple[float, float]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scales", nargs="+", type=int, default=[2, 4, 8])
    parser.add_argument("--nedt", nargs="+", type=float, default=[0.0, 0.1])
    parser.add_argument("--only", default="")
    parser.add_argument("--priors", type=Path, help="folder that `thermal-sr learn --keep` wrote")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("| scale | NEdT K | place | scene | coverage | of two sigma | factor | carried |")
    print("|---|---|---|---|---|---|---|---|")
    for scale in arguments.scales:
        rows = [
            row(case, scale, nedt_k, arguments.set)
            for nedt_k in arguments.nedt
            for case in cases("mtf", scale, nedt_k, arguments.only, arguments.priors)
        ]
        summary(scale, rows)


def row(case: Case, scale: int, nedt_k: float, assignments: list[str]) -> Row:
    """One scene's line."""
    told = [f"recipe.scale={scale}", f"recipe.degrade.nedt_k={nedt_k}", "recipe.degrade.psf_sigma_px=0.4"]
    told.append(f"recipe.prior={case.prior}")
    recipe = load_settings(assignments=[*told, *assignments], environment={}).recipe
    ref = SceneRef("coverage-00000000", "npz", ("coverage.npz",), "0" * 64)
    sensor = Sensor("unknown", 70.0, 0.35, 0.0, float("nan"), "told by the benchmark")
    scene = Scene(ref, sensor, "surface_temperature", Grid(None, None, *case.lr.shape), case.lr)
    enhancement = enhance(scene, recipe, device=torch.device("cpu"), prior=load_prior(recipe))
    pixels = enhancement.compute(Window(0, 0, *case.lr.shape))
    border = np.s_[2 * scale : -2 * scale, 2 * scale : -2 * scale]
    error = np.abs(pixels.temperature - case.truth)[border].astype(np.float64)
    sigma = np.maximum(pixels.uncertainty[border].astype(np.float64), 1e-6)
    ratios = error / sigma
    factor = float(np.quantile(ratios, ONE_SIGMA))
    slope = enhancement.provenance["base"]["regularization"][1]
    octaves = find_octaves(case.lr, np.isfinite(case.lr), slope)
    assert octaves is not None
    growth = float(np.clip(octaves.growth, *GROWTH_BOUNDS))
    given = float(np.log(sigma.mean() / octaves.finest))
    carried = enhancement.provenance["error_model"]["carried"]
    print(
        f"| {scale} | {nedt_k:g} | {case.place} | {case.scene} | {(ratios <= 1).mean():.2f} "
        f"| {(ratios <= 2).mean():.2f} | {factor:.2f} | {carried:.2f} |",
        flush=True,
    )
    return Row(case.place, ratios, given + float(np.log(factor)), given, (slope, growth))


def summary(scale: int, rows: Sequence[Row]) -> None:
    """What the shipped weights come to, and weights that never saw the place they are judged at."""
    told(f"x{scale}, shipped weights", [each.ratios for each in rows])
    elsewhere = []
    for each in rows:
        weights = fit([other for other in rows if other.place != each.place])
        level = min(np.dot(weights, (1.0, *each.features)), np.log(MOST[SCALES.index(scale)]))
        elsewhere.append(each.ratios * np.exp(each.given - level))
    told(f"x{scale}, fitted elsewhere", elsewhere)
    left = [float(np.log(np.quantile(ratios, ONE_SIGMA))) for ratios in elsewhere]
    print(f"x{scale}: weights {np.round(fit(rows), 3).tolist()}, spread {np.std(left):.2f}", flush=True)


def fit(rows: Sequence[Row]) -> np.ndarray:
    """Constant, per slope, per growth; every place counts once."""
    places = [each.place for each in rows]
    weight = np.array([1 / places.count(place) for place in places])
    features, wanted = np.array([each.features for each in rows]), np.array([each.wanted for each in rows])
    mean, spread = features.mean(axis=0), features.std(axis=0) + 1e-9
    design = np.column_stack([np.ones(len(rows)), (features - mean) / spread])
    normal = design.T @ (weight[:, None] * design) + np.diag([0.0, RIDGE, RIDGE])
    constant, *slopes = np.linalg.solve(normal, design.T @ (weight * wanted))
    slopes = np.array(slopes) / spread
    return np.array([constant - slopes @ mean, *slopes])


def told(name: str, ratios: Sequence[np.ndarray]) -> None:
    """One line: how many scenes keep the word."""
    one, two = (np.array([(each <= sigmas).mean() for each in ratios]) for sigmas in (1.0, 1.96))
    print(
        f"{name}: 0.60-0.76 in {np.mean((one >= 0.6) & (one <= 0.76)):.0%}, "
        f"0.50-0.85 in {np.mean((one >= 0.5) & (one <= 0.85)):.0%} of {len(one)}, "
        f"95 % interval 0.90-0.98 in {np.mean((two >= 0.9) & (two <= 0.98)):.0%}; mean {one.mean():.2f}",
        flush=True,
    )


if __name__ == "__main__":
    main()

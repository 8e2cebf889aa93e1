"""Whether one standard error holds 68 % of pixels against a truth that the method never had.

    python -m tests.benchmarks.coverage [--scales 2 4 8] [--nedt 0 0.1] [--priors DIR] [--set KEY=VALUE ...]

The self-test calibrates uncertainty one scale up. This table asks how it does at the scale that is
published: every real scene is degraded ("mtf"), enhanced and compared with itself. "Factor" is what
the uncertainty would have to be multiplied by to hold 68.27 %.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from pipeline.grid import Grid, Window
from pipeline.recipe_files import load_prior
from pipeline.scene import Scene, SceneRef, Sensor
from pipeline.settings_sources import load_settings
from pipeline.superres.enhance import enhance
from tests.benchmarks.referee import cases

ONE_SIGMA = 0.6827


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
    print(
        "| scale | NEdT K | scene | coverage | factor | self-test coverage | gain | gain fitted | best gain |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for scale in arguments.scales:
        factors = []
        for nedt_k in arguments.nedt:
            for case in cases("mtf", scale, nedt_k, arguments.only, arguments.priors):
                factors.append(row(case, scale, nedt_k, arguments.set))
        mean = float(np.exp(np.mean(np.log(factors))))
        print(f"| {scale} | all | geometric mean | | {mean:.2f} | | | | |", flush=True)


def row(case, scale: int, nedt_k: float, assignments: list[str]) -> float:
    """One scene's line; returns its factor."""
    told = [f"recipe.scale={scale}", f"recipe.degrade.nedt_k={nedt_k}", "recipe.degrade.psf_sigma_px=0.4"]
    told.append(f"recipe.prior={case.prior}")
    recipe = load_settings(assignments=[*told, *assignments], environment={}).recipe
    ref = SceneRef("coverage-00000000", "npz", ("coverage.npz",), "0" * 64)
    sensor = Sensor("unknown", 70.0, 0.35, 0.0, float("nan"), "told by the benchmark")
    scene = Scene(ref, sensor, "surface_temperature", Grid(None, None, *case.lr.shape), case.lr)
    enhancement = enhance(scene, recipe, device=torch.device("cpu"), prior=load_prior(recipe))
    whole = Window(0, 0, *case.lr.shape)
    pixels = enhancement.compute(whole)
    border = np.s_[2 * scale : -2 * scale, 2 * scale : -2 * scale]
    error = np.abs(pixels.temperature - case.truth)[border].astype(np.float64)
    sigma = np.maximum(pixels.uncertainty[border].astype(np.float64), 1e-6)
    factor = float(np.quantile(error / sigma, ONE_SIGMA))
    figures = enhancement.figures
    best = best_gain(enhancement.compute, case, whole) if figures["gain"] else float("nan")
    print(
        f"| {scale} | {nedt_k:g} | {case.scene} | {(error <= sigma).mean():.3f} | {factor:.2f} "
        f"| {figures['uncertainty_coverage'] or float('nan'):.3f} | {figures['gain']:.2f} "
        f"| {figures.get('gain_fitted', float('nan')):.2f} | {best:.2f} |",
        flush=True,
    )
    return factor


def best_gain(compute, case, whole: Window) -> float:
    """The gain that the truth would have chosen."""
    full = compute.method(type(compute.picture).of(case.lr, np.isfinite(case.lr)), whole).hr
    base = compute.method.without_network()(compute.picture, whole).hr
    detail, missing = (full - base).astype(np.float64), (case.truth - base).astype(np.float64)
    return float((detail * missing).sum() / max(float((detail**2).sum()), 1e-12))


if __name__ == "__main__":
    main()

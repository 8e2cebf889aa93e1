"""What a wrong blur costs, and what an estimate from the scene itself saves of it.

    python -m tests.benchmarks.wrong_blur --scales 2 4 --nedt 0 0.1

Base and projection, no network: these believe what they are told. Real scenes degraded with a blur of 0.4
pixels; the figure is the RMSE against that of the true blur, in percent, geometric means over the scenes of a
place first. Told are 12 % too narrow, right, 12 % too wide and nothing; then the estimate alone
(`recipe.degrade.blur=estimate`), and the estimate averaged with what is told, each by its certainty.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
import torch

from pipeline.superres.bases.base import fit_base
from pipeline.superres.bases.projection import Projection
from pipeline.superres.sensing.degrade import Degrade
from pipeline.superres.sensing.estimated_blur import estimate_blur
from tests.benchmarks.referee import DEFAULT_SIGMA_PX, Case, cases

TOLD = {"12 % too narrow": 0.88, "right": 1.0, "12 % too wide": 1.12}
TABLE_ERROR, ESTIMATE_ERROR_PX = 0.12, 0.11  # of the told blur; of an estimate, over the scenes here


def costs(case: Case) -> dict[str, float]:
    """Logarithm of the RMSE over that of the true blur, by what is believed; the estimate itself besides."""
    valid = np.isfinite(case.lr)
    border = np.s_[2 * case.degrade.scale : -2 * case.degrade.scale]

    def error(sigma_px: float) -> float:
        degrade = Degrade.gaussian(case.degrade.scale, sigma_px)
        base = fit_base("tikhonov", case.lr, valid, degrade, case.nedt_k, np.random.default_rng(0))
        answer = Projection.of(degrade, case.nedt_k)(base(case.lr), case.lr, valid)
        return math.log(np.sqrt(np.mean((answer - case.truth)[border, border].astype(np.float64) ** 2)))

    found = estimate_blur(case.lr, valid, case.nedt_k, np.random.default_rng(0))
    believed = {name: factor * DEFAULT_SIGMA_PX for name, factor in TOLD.items()} | {"nothing": 0.0}
    if found is not None:
        for name in TOLD:
            table = 1 / (TABLE_ERROR * believed[name]) ** 2
            here = 1 / ESTIMATE_ERROR_PX**2
            believed[f"{name}, with the estimate"] = (table * believed[name] + here * found) / (table + here)
        believed["the estimate alone"] = found
    true = error(DEFAULT_SIGMA_PX)
    told = {name: error(sigma_px) - true for name, sigma_px in believed.items()}
    return told if found is None else {**told, "estimate, px": found}


def main() -> None:
    """Print a table, one row for every scale and noise."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scales", nargs="+", type=int, default=[2, 4])
    parser.add_argument("--nedt", nargs="+", type=float, default=[0.0, 0.1])
    parser.add_argument("--only", default="")
    parser.add_argument("--largest", type=int, default=256)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for scale in arguments.scales:
        for nedt_k in arguments.nedt:
            places: dict[str, dict[str, list[float]]] = {}
            for case in cases("mtf", scale, nedt_k, arguments.only, largest_px=arguments.largest):
                for name, cost in costs(case).items():
                    places.setdefault(name, {}).setdefault(case.place, []).append(cost)
            px = [each for found in places.pop("estimate, px", {}).values() for each in found]
            cells = [
                f"{name} {100 * math.expm1(np.mean([np.mean(each) for each in found.values()])):.1f} %"
                for name, found in places.items()
            ]
            told = f"estimate {np.mean(px):.2f} ({np.std(px):.2f})"
            print(f"x{scale}, {nedt_k:g} K: {'; '.join(cells)}; {told}", flush=True)


if __name__ == "__main__":
    main()

"""How much weights by place could win: one gain for each class of pixels, all chosen by the truth.

    python -m tests.benchmarks.weights_by_place --scales 2 4 --nedt 0 0.1 --priors DIR

The prior without a step on the scene. A class has the gain that fits the truth best (least squares on what
each class adds to the projected base); the figure is the RMSE that is won against the best single gain, in
percent. What a gate that does not know the truth would win is less.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt, gaussian_gradient_magnitude

from pipeline.superres.judging.selftest import activity
from tests.benchmarks.referee import Case, cases, enhanced

EDGES = 0.1  # share of the pixels, the steepest ones
ONE_GAIN = np.arange(0, 2.05, 0.1)


def wins(case: Case) -> dict[str, float]:
    """Percent of RMSE won by every way to part the scene."""
    compute = enhanced(case, "recipe.detail=prior", "recipe.gate.enabled=false").compute
    method, picture, scale = compute.method, compute.picture, case.degrade.scale
    parts = method.parts(picture, picture.window)
    border = np.s_[2 * scale : -2 * scale, 2 * scale : -2 * scale]

    def answer(gain: np.ndarray) -> np.ndarray:
        chosen = dataclasses.replace(picture, gain=np.asarray(gain, dtype=np.float32))
        return method.finish(chosen, parts).hr[border].astype(np.float64)

    def error(gain: np.ndarray) -> float:
        return float(np.sqrt(np.mean((answer(gain) - case.truth[border]) ** 2)))

    plain = answer(np.zeros(case.lr.shape))
    one = min(error(np.full(case.lr.shape, gain)) for gain in ONE_GAIN)
    inner = parts.window.within(parts.outer).refine(scale).slices
    spread = _means(parts.spread[inner], scale) / (_means(np.abs(parts.detail[inner]), scale) + 1e-6)
    found = {}
    for name, part in classes(case.lr, spread):
        added = [(answer(part == each) - plain).ravel() for each in range(part.max() + 1)]
        gains = np.linalg.lstsq(np.stack(added, axis=1), (case.truth[border] - plain).ravel(), rcond=None)[0]
        found[name] = 100 * max(math.log(one / error(np.clip(gains, 0, 2)[part])), 0.0)
    return found


def classes(lr: np.ndarray, spread: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Ways to part the pixels of a scene, each with (y, x) numbers of classes."""
    contrast, steepness = activity(lr), gaussian_gradient_magnitude(lr.astype(np.float64), 0.7)
    distance_px = distance_transform_edt(steepness < np.quantile(steepness, 1 - EDGES))
    for count in (2, 3, 4):
        yield f"contrast, {count}", np.digitize(contrast, _quantiles(contrast, count))
    yield "edges: on, within 2, beyond", np.digitize(distance_px, (0.5, 2.5))
    yield "edges: on, beside, within 4, beyond", np.digitize(distance_px, (0.5, 1.5, 4.5))
    yield "disagreement of the turns, 3", np.digitize(spread, _quantiles(spread, 3))


def _quantiles(values: np.ndarray, count: int) -> np.ndarray:
    return np.quantile(values, np.arange(1, count) / count)


def _means(fine: np.ndarray, scale: int) -> np.ndarray:
    height, width = (side // scale for side in fine.shape)
    return fine.reshape(height, scale, width, scale).mean(axis=(1, 3))


def main() -> None:
    """Print a table: mean over places, median place, most on a scene."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scales", nargs="+", type=int, default=[2, 4])
    parser.add_argument("--nedt", nargs="+", type=float, default=[0.0, 0.1])
    parser.add_argument("--only", default="")
    parser.add_argument("--priors", type=Path)
    parser.add_argument("--largest", type=int, default=256)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("| scale, noise K | classes | mean over places % | median place % | most on a scene % |")
    print("|" + "---|" * 5)
    for scale in arguments.scales:
        for nedt_k in arguments.nedt:
            found: dict[str, dict[str, list[float]]] = {}
            for case in cases("mtf", scale, nedt_k, arguments.only, arguments.priors, arguments.largest):
                for name, won in wins(case).items():
                    found.setdefault(name, {}).setdefault(case.place, []).append(won)
            for name, places in found.items():
                means = [np.mean(each) for each in places.values()]
                most = max(won for each in places.values() for won in each)
                print(
                    f"| x{scale}, {nedt_k:g} | {name} | {np.mean(means):.2f} | {np.median(means):.2f} "
                    f"| {most:.1f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()

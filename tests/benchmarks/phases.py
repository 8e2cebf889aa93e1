"""Whether it helps to see a scene as its sensor would have sampled it with its grid half a pixel off.

    python -m tests.benchmarks.phases --priors DIR [--scale 2]

The base is moved by half a scene pixel on the fine grid, degraded, enlarged by the network, moved back, and
averaged over four such phases. "Beads" is the amplitude of the error at the frequencies of the scene's grid,
along the steepest tenth of the truth: the beads that diagonal edges and rivers get.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from pipeline.grid import Window
from pipeline.raster import cut_mirrored
from pipeline.superres.applying.enlarge import network_upscaler
from pipeline.superres.applying.passes import turned
from pipeline.superres.applying.upscaler import Piece, Plane, Upscaler
from pipeline.superres.applying.windows import compute_passes
from pipeline.superres.bases.base import Base, back_projected_base, fit_base
from pipeline.superres.bases.projection import Projection
from pipeline.superres.networks import detail_unit
from pipeline.superres.prior.weights import Prior
from pipeline.superres.sensing.degrade import Degrade
from tests.benchmarks.referee import cases

PLACES = ("Timisoara", "New York", "Idaho lava", "Wuhan")


def phased(up: Upscaler, degrade: Degrade, shift: tuple[int, int], base: Base | None) -> Upscaler:
    """`up` on the scene as sampled with its grid moved by fine pixels, over the moved base or its own."""
    if shift == (0, 0):
        return up

    def apply(piece: Piece) -> Plane:
        assert piece.base is not None
        height, width = piece.base.shape
        moved = cut_mirrored(piece.base, Window(*shift, height, width))
        lr = np.asarray(degrade(moved))
        under = moved if base is None else np.asarray(base(lr))
        added = up.added(Piece(lr, under, piece.origin, piece.wanted)) + (under - moved)
        return cut_mirrored(added, Window(-shift[0], -shift[1], height, width))

    more = degrade.reach_px + 1 + (0 if base is None else base.reach_px)
    return dataclasses.replace(up, apply=apply, own_reach_px=(up.own_reach_px or 0) + more)


def beads(answer: Plane, truth: Plane, scale: int) -> float:
    """See the module."""
    slopes = [ndimage.gaussian_filter(truth, scale, order=order) for order in ((0, 1), (1, 0))]
    slope = np.hypot(*slopes)
    row, column = np.mgrid[: truth.shape[0], : truth.shape[1]]
    error = answer - truth
    error = error - ndimage.gaussian_filter(error, scale)
    power = 0.0
    for y, x in ((1, 0), (0, 1), (1, 1), (1, -1)):
        wave = error * np.exp(2j * np.pi * (y * row + x * column) / scale)
        parts = [ndimage.gaussian_filter(part, 2 * scale) for part in (wave.real, wave.imag)]
        power = power + parts[0] ** 2 + parts[1] ** 2
    return float(np.sqrt(power[slope > np.quantile(slope, 0.9)].mean()))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--priors", type=Path, required=True)
    parser.add_argument("--scale", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    scale, half = arguments.scale, arguments.scale // 2
    print("| place | passes | vs Tikhonov | best gain | vs Tikhonov at it | beads mK |\n|" + "---|" * 6)
    for place in PLACES:
        case = next(iter(cases("mtf", scale, 0.0, place, arguments.priors, 256)))
        lr, degrade, whole = case.lr, case.degrade, np.ones(case.lr.shape, bool)
        network = Prior.load(Path(case.prior).read_bytes()).network(scale)
        network.calibrate(unit=detail_unit(torch.from_numpy(lr), torch.from_numpy(whole)), noise=0.0)
        base = back_projected_base(degrade)
        up = network_upscaler(network, base=base, device=torch.device("cpu"))
        tikhonov = np.asarray(fit_base("tikhonov", lr, whole, degrade, 0.0, np.random.default_rng(0))(lr))
        shifts = [(0, 0), (0, half), (half, 0), (half, half)]
        ways: dict[str, Sequence[Upscaler]] = {
            "one": [up],
            "eight turns": [turned(up, k) for k in range(8)],
            "four phases": [phased(up, degrade, shift, None) for shift in shifts],
            "four phases, each over its own base": [phased(up, degrade, shift, base) for shift in shifts],
        }
        project, inner = Projection.of(degrade, 0.0), np.s_[2 * scale : -2 * scale, 2 * scale : -2 * scale]

        def rmse(answer: Plane, truth: Plane = case.truth, inner=inner) -> float:
            return float(np.sqrt(np.mean((answer - truth)[inner].astype(np.float64) ** 2)))

        for name, passes in ways.items():
            answer = compute_passes(passes, lr, Window(0, 0, *lr.shape), "mean")[0]
            detail, missing = (answer - tikhonov)[inner], (case.truth - tikhonov)[inner]
            gain = float((detail * missing).sum() / (detail**2).sum())
            full, best = (project(tikhonov + g * (answer - tikhonov), lr, whole) for g in (1.0, gain))
            ratios = (rmse(full) / rmse(tikhonov), gain, rmse(best) / rmse(tikhonov))
            cells = f"{ratios[0]:.4f} | {ratios[1]:.2f} | {ratios[2]:.4f}"
            print(f"| {place} | {name} | {cells} | {1e3 * beads(best, case.truth, scale):.1f} |", flush=True)


if __name__ == "__main__":
    main()

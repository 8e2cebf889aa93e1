"""Which parts of the original network help on real thermal scenes, trained on each scene alone.

Every row switches one part on or off in the same small network and the same training, over the same
base; the figure is RMSE against self-tuned Tikhonov, without gate, with the last projection.

    python -m tests.benchmarks.ablation --scales 2 4 --steps 300
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch

from pipeline.network_settings import NetworkSettings
from pipeline.recipe import Recipe
from pipeline.recipe_settings import PairSettings, TrainSettings
from pipeline.superres.bases.base import fit_base
from pipeline.superres.bases.projection import Projection
from pipeline.superres.networks import build_network, count_parameters
from pipeline.superres.prior.left_out import apply_network
from pipeline.superres.sensing.degrade import Degrade
from pipeline.superres.training.loop import train
from pipeline.superres.training.pairs import calibrate, make_pairs
from tests.benchmarks.scenes import benchmark_scenes, most_textured_square

SCENES = ("eco LA 217", "eco Salton Sea", "slstr Alboran bt_channel_1", "goes C08")
SIGMA_PX = 0.4
PLAIN = {"channel_attention": False, "spatial_attention": False}

# Row: network settings and training settings that differ from the plain network's.
ROWS: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "plain": (PLAIN, {}),
    "+ channel attention": ({"spatial_attention": False}, {}),
    "+ spatial attention": ({"channel_attention": False}, {}),
    "+ both attentions": ({}, {}),
    "+ GroupNorm": ({**PLAIN, "norm": "group"}, {}),
    "+ edge loss": (PLAIN, {"loss_edge_weight": 0.25}),
    "+ HF loss": (PLAIN, {"loss_hf_weight": 0.4}),
    "+ edge and HF loss": (PLAIN, {"loss_edge_weight": 0.25, "loss_hf_weight": 0.4}),
    "the original's learning rate": (PLAIN, {"learning_rate": 5e-5, "schedule": "cosine"}),
}


def run(
    truth: np.ndarray, scale: int, steps: int, network: Mapping[str, Any], training: Mapping[str, Any]
) -> tuple[float, float, float, int]:
    """RMSE against Tikhonov of the base and of the network, process seconds, parameters."""
    side = truth.shape[0] // scale * scale
    truth, degrade = truth[:side, :side], Degrade.gaussian(scale, SIGMA_PX)
    lr = np.asarray(degrade(truth), dtype=np.float32)
    valid, generator = np.ones(lr.shape, bool), np.random.default_rng(0)
    start = time.process_time()
    base = fit_base("tikhonov", lr, valid, degrade, 0.0, generator)
    recipe = Recipe(scale=scale, network=NetworkSettings.model_validate(dict(network))).resolved()
    pairs = make_pairs(
        lr - np.float32(np.median(lr)),
        valid,
        lambda hr: np.asarray(degrade(hr)),
        lambda coarse: np.asarray(base(coarse)),
        scale=scale,
        settings=PairSettings(crop_px=24),
        generator=generator,
    )
    student = build_network(recipe.network, scale, seed=0)
    calibrate(student, pairs)
    settings = {"steps": steps, "mixed_precision": "bfloat16", "patience_fraction": 1.0, **training}
    train(student, pairs, TrainSettings.model_validate(settings), seed=0, device=torch.device("cpu"))
    project, plain = Projection.of(degrade, 0.0), np.asarray(base(lr))
    answer = project(apply_network(student, lr, base), lr, valid)
    seconds = time.process_time() - start
    tikhonov, ours, projected = (
        _rmse(picture, truth, 2 * scale) for picture in (plain, answer, project(plain, lr, valid))
    )
    return projected / tikhonov, ours / tikhonov, seconds, count_parameters(student)


def _rmse(picture: np.ndarray, truth: np.ndarray, border: int) -> float:
    error = (picture - truth)[border:-border, border:-border].astype(np.float64)
    return float(np.sqrt(np.mean(error**2)))


def table(scales: Iterable[int], steps: int, rows: Iterable[str]) -> Iterable[str]:
    """Markdown, one row a variant and scale: geometric mean, each scene, seconds, parameters."""
    truths = {
        scene.name: most_textured_square(scene.load()) for scene in benchmark_scenes() if scene.name in SCENES
    }
    yield f"| scale | variant | mean | {' | '.join(truths)} | s | parameters |"
    yield "|" + "---|" * (5 + len(truths))
    for scale in scales:
        for name in rows:
            found = [run(truth, scale, steps, *ROWS[name]) for truth in truths.values()]
            ratios = [ours for _, ours, _, _ in found]
            cells = [f"{np.exp(np.mean(np.log(ratios))):.4f}", *(f"{ratio:.4f}" for ratio in ratios)]
            seconds = np.median([seconds for _, _, seconds, _ in found])
            yield f"| {scale} | {name} | {' | '.join(cells)} | {seconds:.1f} | {found[0][3]} |"
        bases = [projected for projected, _, _, _ in found]
        cells = [f"{np.exp(np.mean(np.log(bases))):.4f}", *(f"{ratio:.4f}" for ratio in bases)]
        yield f"| {scale} | no network, projected | {' | '.join(cells)} | | |"


def main() -> None:
    """Print the table, row by row as it is made."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scales", nargs="+", type=int, default=[2, 4])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=ROWS)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for line in table(arguments.scales, arguments.steps, arguments.rows):
        print(line, flush=True)


if __name__ == "__main__":
    main()

"""Train and judge a prior from scenes in one NPZ file: needs torch, numpy, scipy and pipeline.superres.

So it can be carried to a machine with many cores or a GPU and nothing else. First it is trained on all
scenes that may teach, then without each site in turn, which judges it; every training is a job of its own.

    python -m tests.benchmarks.prior_scenes --out scenes.npz           # here: needs rasterio and xarray
    python -m tests.benchmarks.train_prior scenes.npz --out prior.safetensors --workers 16 --steps 3000
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from pipeline.recipe import Recipe
from pipeline.recipe_settings import NetworkSettings, PairSettings, TrainSettings
from pipeline.superres.prior.left_out import LeftOutScore, score_left_out, with_scores
from pipeline.superres.prior.prior_pairs import PriorScene, PriorTraining
from pipeline.superres.prior.train_prior import train_prior
from pipeline.superres.prior.weights import Prior


def read_scenes(path: Path) -> list[PriorScene]:
    """Scenes of an NPZ that `prior_scenes` wrote."""
    with np.load(path) as kept:
        facts = json.loads(str(kept["facts"]))
        return [PriorScene(temperature=kept[f"scene_{k}"], **one) for k, one in enumerate(facts)]


def settings_of(arguments: argparse.Namespace) -> PriorTraining:
    """What the command line asks for; the rest as `PriorTraining` has it."""
    default = PriorTraining()
    network = Recipe(
        network=NetworkSettings.model_validate({**json.loads(arguments.network), "noise_input": True})
    )
    training = default.training.model_copy(
        update={"steps": arguments.steps, **json.loads(arguments.training)}
    )
    return replace(
        default,
        network=network.resolved().network,
        training=TrainSettings.model_validate(training.model_dump()),
        pairs=PairSettings.model_validate({**default.pairs.model_dump(), **json.loads(arguments.pairs)}),
        **json.loads(arguments.teach),
    )


def _work(job: tuple[list[PriorScene], list[PriorScene], PriorTraining, int, argparse.Namespace]):
    """Train for one scale without the judged scenes, and judge it on them."""
    others, judged, settings, scale, arguments = job
    torch.set_num_threads(arguments.threads)
    sensors = frozenset(scene.sensor for scene in judged)
    device = torch.device(arguments.device)
    prior = train_prior(
        others, settings, scales=(scale,), seed=arguments.seed, device=device, coarser=sensors
    )
    skills = [
        score_left_out(prior, scene, scale=scale, noise_k=noise_k, psf_sigma_px=0.4, seed=0)
        for scene in judged
        for noise_k in arguments.nedt
    ]
    return scale, prior, [skill for skill in skills if skill is not None]


def table(skills: Sequence[LeftOutScore]) -> str:
    """Geometric means against Tikhonov, by scale and noise, over scenes and over sites; and the worst."""
    lines = ["| scale | NEdT K | scenes | vs Tikhonov | by site | worst | vs base | gain |", "|" + "---|" * 8]
    for scale, noise_k in sorted({(skill.scale, skill.noise_k) for skill in skills}):
        chosen = [skill for skill in skills if (skill.scale, skill.noise_k) == (scale, noise_k)]
        ratio = {skill.scene: skill.rmse_k / skill.tikhonov_rmse_k for skill in chosen}
        base = [skill.rmse_k / skill.base_rmse_k for skill in chosen]
        sites = {skill.site for skill in chosen}
        by_site = [_mean([ratio[one.scene] for one in chosen if one.site == site]) for site in sites]
        worst = max(ratio, key=ratio.__getitem__)
        lines.append(
            f"| {scale} | {noise_k:g} | {len(chosen)} | {_mean(list(ratio.values())):.4f} "
            f"| {_mean(by_site):.4f} | {ratio[worst]:.4f} ({worst}) | {_mean(base):.4f} "
            f"| {np.median([skill.gain for skill in chosen]):.2f} |"
        )
    return "\n".join(lines)


def _mean(ratios: list[float]) -> float:
    return float(np.exp(np.mean(np.log(ratios))))


def main() -> None:
    """Train, judge, write the prior and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scenes", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--scales", nargs="+", type=int, default=[2, 4, 8])
    parser.add_argument("--nedt", nargs="+", type=float, default=[0.0, 0.05, 0.1])
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--sites", nargs="*", help="sites to leave out in turn; default all")
    parser.add_argument("--network", default="{}", help="JSON of network settings")
    parser.add_argument("--training", default="{}", help="JSON of training settings")
    parser.add_argument("--pairs", default="{}", help="JSON of pair settings")
    parser.add_argument(
        "--teach", default="{}", help="JSON of noise_k, quiet_fraction, psf_sigmas_px, psf_error"
    )
    parser.add_argument("--judge-only", nargs="*", default=[], help="sensors that are judged and never teach")
    arguments = parser.parse_args()
    settings, scenes = settings_of(arguments), read_scenes(arguments.scenes)
    teachers = [scene for scene in scenes if scene.sensor not in arguments.judge_only]
    pupils = [scene for scene in scenes if scene.sensor in arguments.judge_only]
    jobs = [(teachers, pupils, settings, scale, arguments) for scale in arguments.scales]
    sites = dict.fromkeys(scene.site for scene in teachers) if arguments.sites is None else arguments.sites
    for site in sites:
        judged = [scene for scene in teachers if scene.site == site]
        others = [scene for scene in teachers if scene.site != site]
        jobs += [(others, judged, settings, scale, arguments) for scale in arguments.scales]
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    context = multiprocessing.get_context("spawn")
    skills: list[LeftOutScore] = []
    final: dict[int, Prior] = {}
    with context.Pool(min(arguments.workers, len(jobs))) as pool:
        for scale, prior, found in pool.imap_unordered(_work, jobs):
            skills += found
            if len(prior.card["scenes"]) == len(teachers):
                final[scale] = prior
            print(f"x{scale}, {len(prior.card['scenes'])} scenes: {table(found)}", flush=True)
    print(table(skills))
    for skill in sorted(skills, key=lambda one: (one.scale, one.noise_k, one.scene)):
        print(json.dumps({**asdict(skill), "ratio": round(skill.rmse_k / skill.tikhonov_rmse_k, 4)}))
    if arguments.out:
        arguments.out.write_bytes(with_scores(merge(final), skills).save())
        print(f"{arguments.out}: {arguments.out.stat().st_size / 1e3:.0f} kB")


def merge(priors: dict[int, Prior]) -> Prior:
    """Priors of one scale each as one."""
    first = priors[min(priors)]
    scales = {str(scale): prior.facts(scale) for scale, prior in sorted(priors.items())}
    weights = {scale: prior.weights[scale] for scale, prior in sorted(priors.items())}
    return Prior(weights, {**first.card, "scales": scales})


if __name__ == "__main__":
    main()

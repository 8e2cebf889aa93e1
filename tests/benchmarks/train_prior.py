"""Make the shipped prior: taught by all real scenes, judged on groups of places that were left out of it.

    python -m tests.benchmarks.train_prior pipeline/shipped_prior.safetensors --keep priors

Every training is one process's work on one thread; `--keep` holds the priors without each group of places,
which the referee needs, because no prior may judge itself. What is done already is not done again.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from pipeline.files import write_bytes
from pipeline.network_settings import NetworkSettings
from pipeline.optics import TYPICAL_PSF_SIGMA_PX
from pipeline.recipe import Recipe
from pipeline.superres.prior.left_out import LeftOutScore, folds, score_left_out, with_scores
from pipeline.superres.prior.prior_pairs import PriorScene, PriorTraining
from pipeline.superres.prior.train_prior import train_prior
from pipeline.superres.prior.weights import Prior
from tests.benchmarks.made_scenes import made_scenes
from tests.benchmarks.prior_scenes import real_scenes

NOISES_K = (0.0, 0.1)
SCENES_OF_A_PLACE = {2: 2, 4: 2, 8: 1}  # that score it: more dates of one place say little more
PROVENANCE = (
    "Pixels of NASA (ECOSTRESS, MODIS, ASTER), USGS (Landsat), NOAA (GOES), JMA (Himawari) and Copernicus "
    "(contains modified Copernicus Sentinel data), and of three drones, as public repositories carried them: "
    "the files' names are under scenes."
)
STEPS = {2: 2400, 4: 7200, 8: 2400}
RATES = {2: 4e-3, 4: 4e-3, 8: 1.5e-3}


def settings_of(arguments: argparse.Namespace, scale: int) -> PriorTraining:
    """What the command line asks for; the rest as `PriorTraining` has it."""
    default = PriorTraining()
    network = {**default.network.model_dump(exclude={"base"}), **json.loads(arguments.network)}
    told = {"steps": STEPS[scale], "learning_rate": RATES[scale], **json.loads(arguments.training)}
    training = default.training.model_copy(update=told)
    resolved = Recipe(network=NetworkSettings.model_validate(network)).resolved().network
    return replace(default, network=resolved, training=training)


def taught(
    others: Sequence[PriorScene], settings: PriorTraining, scale: int, sensors: frozenset[str], path: Path
) -> Prior:
    """A prior of one scale, from its file where an earlier run has made it."""
    if path.exists():
        return Prior.load(path.read_bytes())
    device = torch.device("cpu")
    prior = train_prior(others, settings, scales=(scale,), seed=0, device=device, coarser=sensors)
    write_bytes(path, prior.save())
    return prior


def scored(prior: Prior, judged: Sequence[PriorScene], scale: int) -> list[LeftOutScore]:
    """On a few scenes of every place, with and without noise."""
    scores = []
    for site in dict.fromkeys(scene.site for scene in judged):
        for scene in [scene for scene in judged if scene.site == site][: SCENES_OF_A_PLACE[scale]]:
            for noise_k in NOISES_K:
                score = score_left_out(
                    prior, scene, scale=scale, noise_k=noise_k, psf_sigma_px=TYPICAL_PSF_SIGMA_PX, seed=0
                )
                scores += [] if score is None else [score]
    return scores


def merge(priors: dict[int, Prior]) -> Prior:
    """Priors of one scale each as one."""
    first = priors[min(priors)]
    scales = {str(scale): prior.facts(scale) for scale, prior in sorted(priors.items())}
    weights = {scale: prior.weights[scale] for scale, prior in sorted(priors.items())}
    return Prior(weights, {**first.card, "scales": scales, "provenance": PROVENANCE})


def table(scores: Sequence[LeftOutScore]) -> str:
    """RMSE against self-tuned Tikhonov by scale and noise: the mean over places, and every place."""
    lines = ["| scale | noise K | mean over places | gain | by place |", "|" + "---|" * 5]
    for scale, noise_k in sorted({(score.scale, score.noise_k) for score in scores}):
        chosen = [score for score in scores if (score.scale, score.noise_k) == (scale, noise_k)]
        places = {
            site: np.mean(
                [np.log(each.rmse_k / each.tikhonov_rmse_k) for each in chosen if each.site == site]
            )
            for site in sorted({score.site for score in chosen})
        }
        cells = ", ".join(f"{site} {np.exp(ratio):.4f}" for site, ratio in places.items())
        gain = np.median([score.gain for score in chosen])
        lines.append(
            f"| {scale} | {noise_k:g} | {np.exp(np.mean(list(places.values()))):.4f} | {gain:.2f} | {cells} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Train, judge, write the prior and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--keep", type=Path, required=True)
    parser.add_argument("--scales", nargs="+", type=int, default=[2, 4, 8])
    parser.add_argument("--groups", type=int, default=3)
    parser.add_argument("--network", default="{}", help="JSON of network settings")
    parser.add_argument("--training", default="{}", help="JSON of training settings")
    parser.add_argument("--made", action="store_true", help="teach made scenes too (`made_scenes`)")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    torch.set_num_threads(1)
    scenes, keep = real_scenes(), arguments.keep
    made_teachers = made_scenes() if arguments.made else []
    groups = [*folds(scenes, arguments.groups), frozenset[str]()]
    made: dict[frozenset[str], dict[int, Prior]] = {group: {} for group in groups}
    scores: list[LeftOutScore] = []
    for scale in arguments.scales:
        settings = settings_of(arguments, scale)
        for number, group in enumerate(groups):
            judged = [scene for scene in scenes if scene.site in group]
            others = [scene for scene in scenes if scene.site not in group] + made_teachers
            sensors = frozenset(scene.sensor for scene in judged)
            path = keep / "parts" / f"{number} x{scale}.safetensors"
            made[group][scale] = prior = taught(others, settings, scale, sensors, path)
            scores += scored(prior, judged, scale)
            print(f"x{scale} without {', '.join(sorted(group)) or 'nothing'}", flush=True)
        print(table(scores), flush=True)
    for group, priors in made.items():
        known = [score for score in scores if score.site not in group]
        path = keep / f"without {', '.join(sorted(group))}.safetensors" if group else arguments.out
        write_bytes(path, with_scores(merge(priors), known).save())
    for score in scores:
        print(json.dumps(asdict(score)))


if __name__ == "__main__":
    main()

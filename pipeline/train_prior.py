"""A prior from archives: read every scene, leave out every place in turn, train, score, write.

What is shipped with the project was made with this, by `tests/benchmarks/train_prior.py`; its card names the
scenes that taught it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from pipeline.archive.apart import read_apart
from pipeline.archive.discover import discover
from pipeline.errors import SkippedSceneError, UnreadableInputError, UnusableInputError
from pipeline.files import write_bytes
from pipeline.optics import TYPICAL_PSF_SIGMA_PX
from pipeline.scene import Scene, SceneRef
from pipeline.settings import ArchiveSettings
from pipeline.superres.prior.left_out import leave_sites_out, score_left_out, with_scores
from pipeline.superres.prior.prior_pairs import PriorScene, PriorTraining
from pipeline.superres.prior.train_prior import train_prior
from pipeline.superres.prior.weights import Prior
from pipeline.superres.sensing.spectrum import oversampling

log = logging.getLogger(__name__)

NOISES_K = (0.0, 0.1)
SAME_PLACE_DEG = 2.0  # scenes whose centers lie closer are one site and are left out together
FINER_THAN_SENSOR = 1.5
HELD_OUT = "what is held out"  # the "site" of scenes that no prior learns from


def prior_scenes(
    settings: ArchiveSettings, roots: Sequence[Path], *, exclude: Sequence[str] = ()
) -> list[PriorScene]:
    """Every readable scene of the archives, in kelvin.

    Args:
        settings: Rules of the archives; their root is replaced.
        roots: Folders or files.
        exclude: Scenes whose file name contains one of these are left out (another license, a test site).
    """
    scenes: dict[str, PriorScene] = {}
    for root in roots:
        here = settings.model_copy(update={"root": root.resolve(), "settle_s": 0.0})
        for ref in discover(here).scenes:
            name = Path(ref.files[0]).name
            if any(word in name for word in exclude):
                log.info("%s: left out as asked", name)
                continue
            try:
                scenes[ref.digest] = _prior_scene(ref, read_apart(ref, here))
            except (UnusableInputError, SkippedSceneError, UnreadableInputError) as error:
                log.info("%s: left out: %s", name, error)
    return list(scenes.values())


def make_prior(
    scenes: Sequence[PriorScene],
    settings: PriorTraining,
    *,
    scales: Sequence[int],
    seed: int,
    device: torch.device,
    scored: bool = True,
    groups: int | None = None,
    held_out: Sequence[PriorScene] = (),
    keep: Callable[[str, Prior], None] = lambda _site, _prior: None,
    progress: Callable[[str], None] = lambda _: None,
) -> Prior:
    """The prior of all these scenes; its card says how well priors did on scenes left out of them.

    Args:
        scenes: To learn from.
        settings: How.
        scales: Enlargements.
        seed: Of everything random.
        device: Where to train.
        scored: Train a prior without each place in turn, and score it there.
        groups: Leave this many groups of places out instead of every place by itself: fewer trainings.
        held_out: Scenes that are not learned from and that score the prior itself.
        keep: Given the sites that were left out together (or `HELD_OUT`), and the prior without them with the
            record of the other sites: for benchmarks.
        progress: Told what was done.
    """
    scores = []
    without: dict[frozenset[str], Prior] = {}

    def note(sites: frozenset[str], prior: Prior) -> None:
        without[sites] = prior
        progress(f"scored without {', '.join(sorted(sites))}")

    if scored:
        scores = leave_sites_out(
            scenes,
            settings,
            scales=scales,
            noises_k=NOISES_K,
            psf_sigma_px=TYPICAL_PSF_SIGMA_PX,
            seed=seed,
            device=device,
            groups=groups,
            progress=note,
        )
    for sites, prior in without.items():
        others = [score for score in scores if score.site not in sites]
        keep(", ".join(sorted(sites)), with_scores(prior, others))
    prior = train_prior(scenes, settings, scales=scales, seed=seed, device=device)
    progress("trained on all")
    if scores and held_out:
        keep(HELD_OUT, with_scores(prior, scores))
    for scene in held_out:
        for scale in scales:
            for noise_k in NOISES_K:
                score = score_left_out(
                    prior, scene, scale=scale, noise_k=noise_k, psf_sigma_px=TYPICAL_PSF_SIGMA_PX, seed=seed
                )
                scores += [score] if score is not None else []
        progress(f"scored on {scene.name}")
    return with_scores(prior, scores)


def save_prior(prior: Prior, path: Path) -> None:
    """Write the prior, all of it or nothing."""
    write_bytes(path, prior.save())


def _prior_scene(ref: SceneRef, scene: Scene) -> PriorScene:
    rows, columns = (np.flatnonzero(scene.valid.any(axis)) for axis in (1, 0))
    if rows.size == 0:
        raise SkippedSceneError("no pixel is valid")
    temperature = scene.temperature[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return PriorScene(
        name=Path(ref.files[0]).name,
        site=site_of(scene),
        sensor=scene.sensor.name,
        digest=ref.digest,
        temperature=np.ascontiguousarray(temperature),
        psf_sigma_px=scene.sensor.psf_sigma_px,
        first_octave=_octaves_above_sensor(scene),
    )


def site_of(scene: Scene) -> str:
    """Where a scene is, coarsely: center in degrees, rounded; its folder's name where it has no place."""
    folder = Path(scene.ref.files[0]).absolute().parent.name
    if not scene.grid.georeferenced:
        return folder
    from pyproj import CRS, Transformer  # slow to import

    corners = np.asarray(scene.grid.corners())
    to_degrees = Transformer.from_crs(CRS.from_wkt(str(scene.grid.crs_wkt)), "EPSG:4326", always_xy=True)
    longitude, latitude = to_degrees.transform(*corners.mean(0))
    if not (math.isfinite(longitude) and math.isfinite(latitude)):
        return folder
    cell = [round(value / SAME_PLACE_DEG) * SAME_PLACE_DEG for value in (latitude, longitude)]
    return f"{cell[0]:+.0f} {cell[1]:+.0f}"


def _octaves_above_sensor(scene: Scene) -> int:
    """How often the scene must be halved until its grid is no finer than its sensor."""
    native, spacing = scene.sensor.native_gsd_m, max(scene.gsd_m)
    finer = native / spacing if math.isfinite(native) and math.isfinite(spacing) else 1.0
    filled = np.where(scene.valid, scene.temperature, np.float32(np.nanmedian(scene.temperature)))
    finer = max(finer, oversampling(filled, scene.valid) if not math.isfinite(native) else finer)
    return 0 if not finer > FINER_THAN_SENSOR else max(1, round(math.log2(finer)))

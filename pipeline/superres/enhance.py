"""The method, start to end: from a scene in kelvin to finer pixels on demand.

Everything that looks at the whole scene happens here, once; what is returned computes any window
of the product from it. Where no network is wanted, or none can be trusted, the product is the base.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, uniform_filter

from pipeline.grid import Window
from pipeline.raster import cut_mirrored, in_bands, known_sample, split_pixels, thinned
from pipeline.recipe import Recipe
from pipeline.scene import (
    FLAG_ARTIFACT,
    FLAG_EDGE,
    FLAG_FALLBACK,
    FLAG_FILLED_NEIGHBOR,
    FLAG_GOOD,
    FLAG_NO_DATA,
    FLAG_OUT_OF_RANGE,
    Enhancement,
    Pixels,
    Scene,
)
from pipeline.superres.applying.method import Method, Parts, Picture
from pipeline.superres.bases.base import Base
from pipeline.superres.detail import Detail, compose_method, find_detail, fit_scene_base
from pipeline.superres.judging.assess import Assessment, assess
from pipeline.superres.judging.contract import consistency_figures
from pipeline.superres.judging.error_model import ErrorModel
from pipeline.superres.judging.selftest import activity, enlarge_smoothly
from pipeline.superres.kept import kept_network
from pipeline.superres.networks.pretrained import Pretrained
from pipeline.superres.prior.weights import Prior
from pipeline.superres.sensing.holes import near_border, near_missing
from pipeline.superres.sensing.prepare import Prepared, prepare
from pipeline.superres.training.state import Checkpoint

EDGE_PX = 2  # scene pixels along the border whose surroundings are mirrored, not measured
NEIGHBOR_PX = 2  # scene pixels beside a hole, which depend on filled values
RANGE_LIMIT = 10.0  # local contrast, in RMS of the scene's detail, that no training pair reaches
RANGE_WINDOW_PX = 9
UNSURE_TIMES = 3.0  # the scene's contrast
SPOT_SHARE = 0.75  # of a spot's contrast; flat spots of one scene pixel overshoot by 0.2 to 0.75 of it
LEAST_CONTRAST = 0.1  # working kelvin; a scene of less contrast is counted as one of this much

Progress = Callable[[str, float], None]


def quiet(_stage: str, _fraction: float) -> None:
    """A `Progress` that says nothing."""


def enhance(
    scene: Scene,
    recipe: Recipe,
    *,
    device: torch.device,
    prior: Prior | None = None,
    pretrained: Pretrained | None = None,
    kernel: Float[NDArray[np.floating], "ky kx"] | None = None,
    checkpoint: Checkpoint | None = None,
    progress: Progress = quiet,
    tells_learned: bool = False,
) -> Enhancement:
    """Find base, network, gain and error model of a scene; its finer pixels are computed later, on demand.

    Args:
        scene: In kelvin, NaN for no data.
        recipe: All that changes a pixel.
        device: Where networks train and run.
        prior: What `recipe.prior` names, already loaded.
        pretrained: What `recipe.network.pretrained` names, already loaded.
        kernel: What `recipe.degrade.kernel` names, already loaded.
        checkpoint: Keeps the training's state, so that a killed run goes on.
        tells_learned: Pixels tell what the network added; it takes a second projection.
        progress: Told "normalize", "train" and "judge" with a fraction.

    Returns:
        An `Enhancement` whose pixels are not computed yet. Same scene, recipe and seed: same pixels on a CPU.

    Raises:
        SkippedSceneError: If no pixel is valid.
        UnusableInputError: If a setting does not fit the scene.
    """
    recipe = recipe.resolved()
    progress("normalize", 0.0)
    prepared = prepare(scene, recipe, kernel)
    base = fit_scene_base(prepared, recipe)
    progress("train", 0.0)
    detail = find_detail(
        prepared,
        recipe,
        base=base,
        device=device,
        prior=prior,
        pretrained=pretrained,
        checkpoint=checkpoint,
        progress=lambda fraction: progress("train", fraction),
    )
    method = compose_method(prepared, recipe, base=base, detail=detail, device=device)
    progress("judge", 0.0)
    contrast = activity(prepared.lr)
    assessment = assess(method, prepared, detail, recipe, device=device, contrast=contrast, slope=base.slope)
    compute = _Compute.of(method, prepared, detail, assessment, contrast, tells_learned=tells_learned)
    return Enhancement(
        scene=prepared.scene,
        scale=recipe.scale,
        compute=compute,
        provenance=_provenance(recipe, prepared, base=base, detail=detail, assessment=assessment),
        figures={**_scene_figures(prepared, recipe), **_coverage(detail), **assessment.figures},
        fallback=assessment.gain.reason,
        check=compute.consistency,
        without_network=compute.without_network(),
        tells_learned=tells_learned,
        weights=b"" if not detail.trained else kept_network(detail, prepared, recipe).save(),
    )


@dataclass(frozen=True)
class _Compute:
    """The product's pixels, window by window; an object and no closure, so that it travels to workers."""

    method: Method
    picture: Picture
    prepared: Prepared
    errors: ErrorModel
    activity: NDArray[np.float32]
    flags: NDArray[np.uint8]
    unsure: float  # working units; pixels with a larger standard error are flagged
    local: NDArray[np.float32]  # working units; errors of damage and of spots, which no self-test knows
    tells_learned: bool = False

    @classmethod
    def of(
        cls,
        method: Method,
        prepared: Prepared,
        detail: Detail,
        assessment: Assessment,
        contrast: NDArray[np.float32],
        *,
        tells_learned: bool,
    ) -> _Compute:
        """The pixels with the gain that was decided, and none where the network is out of its range."""
        gain = assessment.gain.value
        beyond = _beyond_range(prepared.lr, prepared.valid)
        picture = _picture(prepared, gain, beyond)
        flags = _flags(picture, gain, beyond, prepared.measured.artifacts.damaged, wanted=detail.wanted)
        known = _unsure(prepared), _local(prepared, beyond), tells_learned
        return cls(method, picture, prepared, assessment.errors, contrast, flags, *known)

    def __call__(self, window: Window) -> Pixels:
        """Fine pixels of a window of the scene, in kelvin."""
        scale = self.method.scale
        valid = split_pixels(self.picture.valid[window.slices], scale)
        flag = split_pixels(self.flags[window.slices], scale)
        if not valid.any():  # a scene cut from a swath may be empty for the most part
            nothing = np.full(valid.shape, np.nan, dtype=np.float32)
            learned = nothing.copy() if self.tells_learned else None
            return Pixels(temperature=nothing, uncertainty=nothing.copy(), flag=flag, learned=learned)
        parts = self.method.parts(self.picture, window)
        answer = self.method.finish(self.picture, parts)
        kelvin = self.prepared.domain.leave(answer.hr)
        contrast = _smooth_window(self.activity, window, scale)
        sigma = self.errors.sigma(contrast, answer.spread)
        sigma = np.hypot(sigma, _smooth_window(self.local, window, scale))
        flag = np.where((flag == FLAG_GOOD) & (sigma > self.unsure), np.uint8(FLAG_OUT_OF_RANGE), flag)
        sigma = sigma * self.prepared.domain.kelvin_per_unit(kelvin)
        missing = np.float32(np.nan)
        learned = np.where(valid, kelvin - self._base(parts), missing) if self.tells_learned else None
        return Pixels(
            temperature=np.where(valid, kelvin, missing).astype(np.float32),
            uncertainty=np.where(valid, sigma, missing).astype(np.float32),
            flag=flag,
            learned=learned,
        )

    def without_network(self) -> _Compute:
        """The base alone, with flags that say so."""
        picture = Picture.of(self.picture.lr, self.picture.valid, 0.0)
        flags = np.where(self.flags == FLAG_GOOD, np.uint8(FLAG_FALLBACK), self.flags)
        return dataclasses.replace(self, picture=picture, flags=flags)

    def _base(self, parts: Parts) -> NDArray[np.float32]:
        """The same window without the network, projected as the product is; (y, x) kelvin."""
        return self.prepared.domain.leave(self.method.finish(self.without_network().picture, parts).hr)

    def consistency(self, read: Callable[[Window], NDArray[np.float32]]) -> dict[str, float]:
        """As `consistency_figures`, of what `read` gives."""
        return consistency_figures(self.prepared, read)


def _smooth_window(values: NDArray[np.float32], window: Window, scale: int) -> NDArray[np.float32]:
    """A window of a coarse map on the fine grid, the same whatever the window."""
    outer = Window(window.row - 1, window.column - 1, window.height + 2, window.width + 2)
    fine = enlarge_smoothly(cut_mirrored(values, outer), scale)
    return fine[window.within(outer).refine(scale).slices]


def _picture(prepared: Prepared, gain: float, beyond: NDArray[np.bool_]) -> Picture:
    """The scene with the gain of every pixel: none where contrasts are beyond anything in training."""
    picture = Picture.of(prepared.lr, prepared.valid, gain)
    if not beyond.any() or gain == 0:
        return picture
    # A hot spot raises the local mean around it, so for the network its neighbors are out of range too.

    def share(part: NDArray[np.bool_]) -> NDArray[np.float32]:
        known = 1.0 - maximum_filter(part, RANGE_WINDOW_PX).astype(np.float64)
        known = uniform_filter(known, 5, mode="reflect")
        return np.asarray(np.float32(gain) * np.clip(2 * known - 1, 0, 1), dtype=np.float32)

    return dataclasses.replace(picture, gain=in_bands(share, RANGE_WINDOW_PX, beyond))


def _beyond_range(lr: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(y, x), true where a measured pixel stands out of its surroundings as no training pixel did."""
    contrast = in_bands(partial(_contrast, float(np.median(thinned(lr)))), RANGE_WINDOW_PX // 2, lr)
    known = known_sample(contrast, valid)
    typical = float(np.sqrt(np.mean(np.minimum(known, np.quantile(known, 0.999)) ** 2)))
    return valid & (contrast > RANGE_LIMIT * max(typical, 1e-3))


def _contrast(level: float, lr: NDArray[np.float32]) -> NDArray[np.float64]:
    """(y, x) distance of a pixel from the mean around it."""
    exact = lr.astype(np.float64) - level
    return np.asarray(np.abs(exact - uniform_filter(exact, RANGE_WINDOW_PX, mode="reflect")))


def _local(prepared: Prepared, beyond: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(y, x) standard error that damage and spots add: a spot's shape below a pixel is unknown."""
    level, noise = float(np.median(thinned(prepared.lr))), prepared.measured.artifacts.noise

    def local(
        lr: NDArray[np.float32], beyond: NDArray[np.bool_], noise: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        spots = maximum_filter(np.where(beyond, _contrast(level, lr), 0.0), 3)
        return np.hypot(noise, SPOT_SHARE * spots).astype(np.float32)

    return in_bands(local, RANGE_WINDOW_PX, prepared.lr, beyond, noise) if beyond.any() else noise


def _unsure(prepared: Prepared) -> float:
    """The standard error that is many times the scene's contrast: half of its middle 68 % of values."""
    known = known_sample(prepared.lr, prepared.valid).astype(np.float64)
    low, high = np.quantile(known, (0.16, 0.84))
    return UNSURE_TIMES * max(float(high - low) / 2, prepared.noise, LEAST_CONTRAST)


def _flags(
    picture: Picture, gain: float, beyond: NDArray[np.bool_], damaged: NDArray[np.bool_], *, wanted: bool
) -> NDArray[np.uint8]:
    """(y, x) flag of every scene pixel; the first of: no data, range, damage, edge, fallback, hole."""
    valid = picture.valid
    flags = np.full(valid.shape, FLAG_GOOD, dtype=np.uint8)
    flags[near_missing(valid, NEIGHBOR_PX)] = FLAG_FILLED_NEIGHBOR
    if wanted:
        flags[picture.gain < 0.5 * max(gain, 1e-6)] = FLAG_FALLBACK
    flags[near_border(valid.shape, EDGE_PX)] = FLAG_EDGE
    flags[damaged] = FLAG_ARTIFACT
    flags[beyond] = FLAG_OUT_OF_RANGE
    flags[~valid] = FLAG_NO_DATA
    return flags


def _coverage(detail: Detail) -> dict[str, float]:
    name = "patch_coverage_fraction"
    return {name: float(detail.facts[name])} if name in detail.facts else {}


def _scene_figures(prepared: Prepared, recipe: Recipe) -> dict[str, float | str | None]:
    told = {"native_source"} if prepared.finer_than_sensor else set()  # every reader must know it
    facts: dict[str, float | str | None] = {
        name: value for name, value in prepared.facts.items() if not name.endswith("_source") or name in told
    }
    if prepared.units.clip:  # on request only, and never in silence
        outside = prepared.units.count_outside(prepared.lr[prepared.valid])
        facts["clipped_pixels"] = float(outside)
    kelvin, limits = prepared.scene.temperature, recipe.normalize
    beyond = (kelvin < limits.low_k) | (kelvin > limits.high_k)  # false where there is no data
    facts["outside_range_pixels"] = float(np.count_nonzero(beyond))
    return {**facts, "oversampling": _finite(prepared.measured.oversampling)}


def _provenance(
    recipe: Recipe, prepared: Prepared, *, base: Base, detail: Detail, assessment: Assessment
) -> dict[str, Any]:
    """How the pixels come to be; plain JSON."""
    gain, tiles = assessment.gain, assessment.tiles
    return {
        "recipe": recipe.model_dump(mode="json"),
        "recipe_digest": recipe.digest,
        "seed": recipe.seed,
        "forward_model": dict(prepared.facts),
        "normalization": prepared.units.to_json(),
        "base": {"name": base.name, "regularization": list(base.regularization), "reach_px": base.reach_px},
        "network": dict(detail.facts),
        "training": None if detail.report is None else detail.report.to_json(),
        "gain": gain.value,
        "gain_evidence": gain.to_json(),
        "fallback": gain.reason,
        "selftest": None if tiles is None else tiles.to_json(),
        "error_model": {
            name: value if isinstance(value, bool) else _finite(value)
            for name, value in dataclasses.asdict(assessment.errors).items()
        },
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

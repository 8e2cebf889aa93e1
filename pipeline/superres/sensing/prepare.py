"""A scene ready for the method: no holes, in working units, with its blur and its noise stated.

Everything that is the same at every enlargement is computed once: another enlargement of the same scene
changes the forward model only.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64
from numpy.typing import NDArray

from pipeline.errors import UnusableInputError
from pipeline.optics import sigma_from_mtf
from pipeline.recipe import Recipe
from pipeline.recipe_settings import DegradeSettings
from pipeline.scene import Scene, Sensor
from pipeline.superres.sensing.degrade import Degrade
from pipeline.superres.sensing.domain import Domain
from pipeline.superres.sensing.estimated_blur import estimate_blur
from pipeline.superres.sensing.measured import Measured
from pipeline.superres.sensing.native_grid import native_grid
from pipeline.superres.sensing.normalize import Normalization
from pipeline.superres.streams import Stream

Facts = Mapping[str, float | str]
UNIFORM_SIGMA = 1 / math.sqrt(12)  # of numbers that were rounded to steps of one
DOUBTFUL_NOISE = 3.0  # times as much, or as little, noise estimated than assumed: one of them is wrong
LEAST_NOISE = 0.01  # working kelvin; noise below it is not compared


@dataclass(frozen=True)
class Blur:
    """The sensor's optics, whatever the enlargement.

    Attributes:
        sigma_px: Gaussian sigma of the PSF in scene (LR) pixels; the detector's box comes on top.
        facts: Where it comes from; plain JSON.
        kernel: A measured PSF on the fine grid in place of the Gaussian; it fits one enlargement only.
    """

    sigma_px: float
    facts: Facts
    kernel: Float64[NDArray[np.float64], "ky kx"] | None = None

    def at(self, scale: int) -> Degrade:
        """The forward model from a grid `scale` times finer.

        Raises:
            UnusableInputError: If the measured PSF is off center.
        """
        if self.kernel is None:
            return Degrade.gaussian(scale, self.sigma_px)
        try:
            return Degrade.from_kernel(scale, self.kernel)
        except ValueError as error:
            raise UnusableInputError(f"recipe.degrade.kernel: {error}") from error


@dataclass(frozen=True)
class Prepared:
    """A scene on its native grid, ready to be enlarged.

    Attributes:
        measured: Its pixels without holes, in working units.
        units: What a network sees.
        blur: The sensor's optics.
        degrade: The forward model from the product's grid to the scene's.
        noise: Standard deviation of the scene's noise, in working units, rounding included.
        facts: How grid, domain, blur and noise were found; plain JSON.
        finer_than_sensor: Whether the delivered grid is finer than its sensor, or was said to be.
        sample_px: The sensor's sample distance in pixels of the scene; 1 or more.
    """

    measured: Measured
    units: Normalization
    blur: Blur
    degrade: Degrade
    noise: float
    facts: Facts
    finer_than_sensor: bool
    sample_px: float = 1.0

    @property
    def scene(self) -> Scene:
        """The scene in kelvin."""
        return self.measured.scene

    @property
    def lr(self) -> Float32[NDArray[np.float32], "y x"]:
        """Working units, without holes."""
        return self.measured.lr

    @property
    def valid(self) -> Bool[NDArray[np.bool_], "y x"]:
        """True where there is data."""
        return self.measured.valid

    @property
    def domain(self) -> Domain:
        """The way to kelvin and back."""
        return self.measured.domain

    @property
    def scale(self) -> int:
        """Linear enlargement."""
        return self.degrade.scale

    def at_scale(self, scale: int) -> Prepared:
        """The same scene, for another enlargement."""
        return dataclasses.replace(self, degrade=self.blur.at(scale))


def prepare(
    scene: Scene, recipe: Recipe, kernel: Float[NDArray[np.floating], "ky kx"] | None = None
) -> Prepared:
    """Choose grid and domain, fill the holes, state blur and noise.

    Args:
        scene: In kelvin, NaN for no data.
        recipe: Its `degrade`, `normalize` and `scale`.
        kernel: The measured PSF that `recipe.degrade.kernel` names, already read.

    Raises:
        SkippedSceneError: If no pixel is valid.
        UnusableInputError: If a setting does not fit the scene.
    """
    settings = recipe.degrade
    native = native_grid(Measured.of(scene, settings), settings)
    measured, change = native.measured.mended() if native.measured.mends else (native.measured, {})
    found = _estimated(measured, recipe) if settings.blur == "estimate" and kernel is None else None
    blur = choose_blur(
        measured.scene.sensor, settings, kernel, unknowable=measured.repeats_pixels, estimated_px=found
    )
    noise, noise_facts = scene_noise(measured, settings, smoothed=native.finer)
    facts = {"domain": measured.domain.name, **blur.facts, **noise_facts}
    return Prepared(
        measured=measured,
        units=Normalization.fit(measured.lr[measured.valid], recipe.normalize),
        blur=blur,
        degrade=blur.at(recipe.scale),
        noise=noise,
        facts={**facts, **native.facts, **measured.artifacts.facts(), **change},
        finer_than_sensor=native.finer,
        sample_px=native.sample_px,
    )


def choose_blur(
    sensor: Sensor,
    settings: DegradeSettings,
    kernel: Float[NDArray[np.floating], "ky kx"] | None = None,
    *,
    unknowable: bool = False,
    estimated_px: float | None = None,
) -> Blur:
    """The optics that a setting states, those of an estimate, or those of the sensor table.

    Args:
        sensor: What took the scene.
        settings: Figures that override the sensor's.
        kernel: A measured PSF; overrides both.
        unknowable: Whether the grid's pixels are not where the sensor saw them. Then the optics must not be
            undone, or every jag of the resampling becomes a checkerboard; settings still decide.
        estimated_px: Gaussian sigma that the scene's spectrum tells; before the sensor table.
    """
    if kernel is not None:
        measured = np.asarray(kernel, dtype=np.float64)
        return Blur(math.nan, {"psf_source": "recipe.degrade.kernel"}, measured)
    if settings.psf_sigma_px is not None:
        sigma_px, origin = settings.psf_sigma_px, "recipe.degrade.psf_sigma_px"
    elif settings.mtf_nyquist is not None:
        told: Facts = {"mtf_nyquist": settings.mtf_nyquist, "psf_source": "recipe.degrade.mtf_nyquist"}
        return Blur(sigma_from_mtf(settings.mtf_nyquist), told)
    elif unknowable:
        sigma_px, origin = 0.0, "none: the grid repeats pixels, it was resampled by nearest neighbor"
    elif estimated_px is not None:
        sigma_px, origin = estimated_px, "recipe.degrade.blur: estimated from the scene's spectrum"
    else:
        sigma_px, origin = sensor.psf_sigma_px, f"{sensor.name}: {sensor.source}"
        if settings.blur == "estimate":
            origin += "; the scene is too small or too noisy for an estimate"
    return Blur(sigma_px, {"psf_sigma_px": sigma_px, "psf_source": origin})


def _estimated(measured: Measured, recipe: Recipe) -> float | None:
    """The blur that the scene's spectrum tells, in pixels; None where it tells none."""
    generator = Stream.BLUR.generator(recipe.seed)
    return estimate_blur(measured.lr, measured.valid, measured.white_noise, generator)


def scene_noise(
    measured: Measured, settings: DegradeSettings, *, smoothed: bool = False
) -> tuple[float, Facts]:
    """Standard deviation of the noise in working units, rounding included, and where it comes from.

    A setting decides, then the sensor table, then the estimate: what is estimated counts jags of a resampling
    and texture as fine as a pixel as noise. Where table and estimate differ threefold, the facts say so.

    Args:
        measured: The scene.
        settings: `nedt_k` overrides the sensor's.
        smoothed: Whether the grid is finer than its sensor: little noise in its pixels is no surprise then.
    """
    sensor, rounding = measured.scene.sensor, measured.scene.quantization_k * UNIFORM_SIGMA
    estimate = measured.white_noise
    if settings.nedt_k is not None:
        known, origin = settings.nedt_k, "recipe.degrade.nedt_k"
    elif math.isfinite(sensor.nedt_k):
        known, origin = sensor.nedt_k, f"{sensor.name}: {sensor.source}"
    else:
        known, origin = estimate, "estimated from the scene"
    noise = math.hypot(known, rounding)
    facts: dict[str, float | str] = {"nedt_k": noise, "nedt_source": origin, "nedt_estimate_k": estimate}
    louder = estimate > DOUBTFUL_NOISE * max(noise, LEAST_NOISE)
    calmer = not smoothed and noise > DOUBTFUL_NOISE * max(estimate, LEAST_NOISE)
    if louder or calmer:
        facts["noise_warning"] = f"noise {noise:.2g} K assumed, {estimate:.2g} K estimated"
    return noise, facts

"""The scene as the method works on it: energy where that is known, no holes, its noise and its blur.

A detector averages radiance. Where the wavelength of a brightness temperature is known, kelvin
become radiance that still looks like kelvin, and everything after that may add and average freely.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UnusableInputError
from pipeline.recipe_settings import DegradeSettings
from pipeline.scene import Scene, Sensor
from pipeline.superres.sensing.degrade import Degrade
from pipeline.superres.sensing.domain import Domain, choose_domain
from pipeline.superres.sensing.holes import fill_nearest
from pipeline.superres.sensing.native_grid import resampled_by_nearest
from pipeline.superres.sensing.spectrum import estimate_noise_k

UNIFORM_SIGMA = 1 / math.sqrt(12)  # of numbers that were rounded to steps of one


@dataclass(frozen=True)
class Working:
    """A scene in working units.

    Attributes:
        lr: (y, x) float32 without holes.
        valid: (y, x), true where there is data.
        domain: The way to kelvin and back.
        degrade: The forward model from the product's grid to the scene's.
        noise: Standard deviation of the scene's noise, in working units.
        facts: How blur and noise were found; plain JSON.
    """

    lr: NDArray[np.float32]
    valid: NDArray[np.bool_]
    domain: Domain
    degrade: Degrade
    noise: float
    facts: dict[str, float | str]


def working_scene(
    scene: Scene, settings: DegradeSettings, scale: int, kernel: NDArray[np.floating] | None = None
) -> Working:
    """Fill the holes, choose the domain, state blur and noise.

    Args:
        scene: In kelvin.
        settings: Figures that override the sensor's.
        scale: Linear enlargement.
        kernel: The supplied PSF that `settings.kernel` names, already read.

    Raises:
        SkippedSceneError: If no pixel is valid.
        UnusableInputError: If the supplied kernel is off center or not separable.
    """
    filled = fill_nearest(scene.temperature)
    domain = choose_domain(scene, settings, float(np.median(filled)))
    lr = domain.enter(filled)
    repeated = resampled_by_nearest(scene.temperature, scene.quantization_k)
    degrade, blur = forward_model(scene.sensor, settings, scale, kernel, blind=repeated)
    noise, origin = scene_noise(lr, scene, settings)
    facts: dict[str, float | str] = {"domain": domain.name, **blur, "nedt_k": noise, "nedt_source": origin}
    return Working(lr, scene.valid, domain, degrade, noise, facts)


def forward_model(
    sensor: Sensor,
    settings: DegradeSettings,
    scale: int,
    kernel: NDArray[np.floating] | None,
    *,
    blind: bool = False,
) -> tuple[Degrade, dict[str, float | str]]:
    """The forward model and, in plain words, where it comes from.

    `blind` says that the grid's pixels are not where the sensor saw them: its optics must not be undone
    then, or every jag of the resampling becomes a checkerboard. Settings still decide.
    """
    if kernel is not None:
        try:
            return Degrade.from_kernel(scale, kernel), {"psf_source": "recipe.degrade.kernel"}
        except ValueError as error:
            raise UnusableInputError(f"recipe.degrade.kernel: {error}") from error
    if settings.psf_sigma_px is not None:
        sigma_px, origin = settings.psf_sigma_px, "recipe.degrade.psf_sigma_px"
    elif settings.mtf_nyquist is not None:
        from_mtf = Degrade.from_mtf(scale, settings.mtf_nyquist)
        return from_mtf, {"mtf_nyquist": settings.mtf_nyquist, "psf_source": "recipe.degrade.mtf_nyquist"}
    elif blind:
        sigma_px, origin = 0.0, "none: the grid repeats pixels, it was resampled by nearest neighbor"
    else:
        sigma_px, origin = sensor.psf_sigma_px, f"{sensor.name}: {sensor.source}"
    return Degrade.gaussian(scale, sigma_px), {"psf_sigma_px": sigma_px, "psf_source": origin}


def scene_noise(lr: NDArray[np.float32], scene: Scene, settings: DegradeSettings) -> tuple[float, str]:
    """Standard deviation of the noise in working units, rounding included, and where it comes from."""
    rounding = scene.quantization_k * UNIFORM_SIGMA
    if settings.nedt_k is not None:
        return math.hypot(settings.nedt_k, rounding), "recipe.degrade.nedt_k"
    estimate = estimate_noise_k(lr, scene.valid)
    if math.isfinite(scene.sensor.nedt_k) and scene.sensor.nedt_k >= estimate:
        return math.hypot(scene.sensor.nedt_k, rounding), f"{scene.sensor.name}: {scene.sensor.source}"
    # A scene may be rougher than its detector: striping, and the jags of nearest-neighbor resampling,
    # which a sharpening that believed the table would turn into a checkerboard.
    return math.hypot(estimate, rounding), "estimated from the scene"

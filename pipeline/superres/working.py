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
from pipeline.radiometry import delinearize, linearize, radiance_slope
from pipeline.scene import Scene, Sensor
from pipeline.settings import DegradeSettings
from pipeline.superres.degrade import Degrade
from pipeline.superres.nodata import fill_nearest
from pipeline.superres.spectrum import estimate_noise_k

UNIFORM_SIGMA = 1 / math.sqrt(12)  # of numbers that were rounded to steps of one


@dataclass(frozen=True)
class Domain:
    """What is averaged: kelvin, or radiance in units that equal kelvin at the reference.

    Attributes:
        wavelength_um: Center of the band; None to average kelvin.
        reference_k: Temperature at which radiance units and kelvin agree.
    """

    wavelength_um: float | None
    reference_k: float

    @property
    def name(self) -> str:
        """Which of the two it is: radiance or kelvin."""
        return "kelvin" if self.wavelength_um is None else "radiance"

    def enter(self, kelvin: NDArray[np.float32]) -> NDArray[np.float32]:
        """Kelvin to working units, any shape; NaN stays NaN."""
        return (
            kelvin if self.wavelength_um is None else linearize(kelvin, self.wavelength_um, self.reference_k)
        )

    def leave(self, working: NDArray[np.float32]) -> NDArray[np.float32]:
        """The inverse of `enter`."""
        if self.wavelength_um is None:
            return working
        return delinearize(working, self.wavelength_um, self.reference_k)

    def kelvin_per_unit(self, kelvin: NDArray[np.float32]) -> NDArray[np.float32]:
        """How much a temperature changes with a small change in working units; for standard errors."""
        if self.wavelength_um is None:
            return np.ones_like(kelvin)
        here = radiance_slope(kelvin.astype(np.float64), self.wavelength_um)
        reference = radiance_slope(np.asarray([self.reference_k]), self.wavelength_um)
        return (reference / here).astype(np.float32)


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
    degrade, blur = forward_model(scene.sensor, settings, scale, kernel)
    noise, origin = scene_noise(lr, scene, settings)
    facts: dict[str, float | str] = {"domain": domain.name, **blur, "nedt_k": noise, "nedt_source": origin}
    return Working(lr, scene.valid, domain, degrade, noise, facts)


def choose_domain(scene: Scene, settings: DegradeSettings, reference_k: float) -> Domain:
    """Radiance for a brightness temperature of known wavelength, kelvin otherwise; a setting decides alone.

    A surface temperature is retrieved from several bands and emissivities: no one wavelength is its own.
    """
    wavelength_um = scene.sensor.wavelength_um
    known = math.isfinite(wavelength_um)
    if settings.domain == "radiance" and not known:
        raise UnusableInputError(
            f"{scene.ref.scene_id}: recipe.degrade.domain is radiance, but the wavelength of "
            f"{scene.sensor.name} is unknown; use auto or kelvin"
        )
    radiance = settings.domain == "radiance" or (
        settings.domain == "auto" and known and scene.quantity == "brightness_temperature"
    )
    return Domain(wavelength_um if radiance else None, reference_k)


def forward_model(
    sensor: Sensor, settings: DegradeSettings, scale: int, kernel: NDArray[np.floating] | None
) -> tuple[Degrade, dict[str, float | str]]:
    """The forward model and, in plain words, where it comes from."""
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
    else:
        sigma_px, origin = sensor.psf_sigma_px, f"{sensor.name}: {sensor.source}"
    return Degrade.gaussian(scale, sigma_px), {"psf_sigma_px": sigma_px, "psf_source": origin}


def scene_noise(lr: NDArray[np.float32], scene: Scene, settings: DegradeSettings) -> tuple[float, str]:
    """Standard deviation of the noise in working units, rounding included, and where it comes from."""
    rounding = scene.quantization_k * UNIFORM_SIGMA
    if settings.nedt_k is not None:
        return math.hypot(settings.nedt_k, rounding), "recipe.degrade.nedt_k"
    if math.isfinite(scene.sensor.nedt_k):
        return math.hypot(scene.sensor.nedt_k, rounding), f"{scene.sensor.name}: {scene.sensor.source}"
    return math.hypot(estimate_noise_k(lr, scene.valid), rounding), "estimated from the scene"

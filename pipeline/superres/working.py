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

REPEATED_SHARE = 0.05  # of neighbors that are equal; 0.11-0.17 in ECOSTRESS map products, 0.00-0.02 elsewhere
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
    repeated = resampled_by_nearest(scene.temperature, scene.quantization_k)
    degrade, blur = forward_model(scene.sensor, settings, scale, kernel, blind=repeated)
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


def resampled_by_nearest(temperature: NDArray[np.float32], step_k: float) -> bool:
    """Whether pixels were repeated and skipped to fill this grid, as many map products are made.

    Neighbors are then equal far more often than they differ by one step of the stored numbers.

    Args:
        temperature: (y, x) kelvin, NaN for no data.
        step_k: Step of the stored numbers, 0 for floating point.
    """
    measured = np.where(np.isfinite(temperature), temperature, np.float32(np.nan))
    steps = np.abs(np.concatenate([np.diff(measured, axis=axis).ravel() for axis in (0, 1)]))
    steps = steps[np.isfinite(steps)]
    if steps.size == 0:
        return False
    equal = float((steps <= 0.5 * step_k).mean())
    one_step = float(((steps > 0.5 * step_k) & (steps <= 1.5 * step_k)).mean()) / 2
    return equal > REPEATED_SHARE and equal > 3 * one_step


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

"""What may be added and averaged: kelvin, or the radiance of one wavelength.

A detector averages radiance. Where the wavelength of a brightness temperature is known, kelvin become
radiance that still looks like kelvin, and everything after that may add and average freely.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from pipeline.errors import UnusableInputError
from pipeline.radiometry import delinearize, linearize, radiance_slope
from pipeline.recipe_settings import DegradeSettings
from pipeline.scene import Scene


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

    def enter(self, kelvin: Float32[NDArray[np.float32], "*shape"]) -> Float32[NDArray[np.float32], "*shape"]:
        """Kelvin to working units, any shape; NaN stays NaN."""
        return (
            kelvin if self.wavelength_um is None else linearize(kelvin, self.wavelength_um, self.reference_k)
        )

    def leave(
        self, working: Float32[NDArray[np.float32], "*shape"]
    ) -> Float32[NDArray[np.float32], "*shape"]:
        """The inverse of `enter`."""
        if self.wavelength_um is None:
            return working
        return delinearize(working, self.wavelength_um, self.reference_k)

    def kelvin_per_unit(
        self, kelvin: Float32[NDArray[np.float32], "*shape"]
    ) -> Float32[NDArray[np.float32], "*shape"]:
        """How much a temperature changes with a small change in working units; for standard errors."""
        if self.wavelength_um is None:
            return np.ones_like(kelvin)
        here = radiance_slope(kelvin.astype(np.float64), self.wavelength_um)
        reference = radiance_slope(np.asarray([self.reference_k]), self.wavelength_um)
        return (reference / here).astype(np.float32)


def choose_domain(scene: Scene, settings: DegradeSettings, reference_k: float) -> Domain:
    """Radiance for a brightness temperature of known wavelength, kelvin otherwise; a setting overrides both.

    A surface temperature is retrieved from several bands and emissivities, and has no one wavelength.

    Raises:
        UnusableInputError: If the setting asks for radiance and the wavelength is unknown.
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

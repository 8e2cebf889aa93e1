"""Kelvin, radiance, and the units that other people write.

Energy is what a detector averages. `linearize` turns kelvin into a quantity that
is proportional to radiance and still looks like kelvin near a reference, so the
whole method can average energy without knowing that it does.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from jaxtyping import Float32, Float64
from numpy.typing import NDArray

C1 = 1.191042972e8  # W m-2 sr-1 um4: 2 h c^2, CODATA 2018
C2 = 1.438776877e4  # um K: h c / k, CODATA 2018

# Exact spellings, case matters: a lower-case "k" or an empty unit is refused rather than guessed.
KELVIN_UNITS = frozenset({"K", "kelvin", "Kelvin", "degK", "degrees_K", "kelvins", "degree_K"})
CELSIUS_UNITS = frozenset(
    {
        "degC",
        "celsius",
        "Celsius",
        "C",
        "°C",
        "deg_C",
        "degrees_C",
        "degree_Celsius",
        "degrees_Celsius",
        "degree_C",
    }
)
FAHRENHEIT_UNITS = frozenset(
    {"degF", "°F", "F", "fahrenheit", "Fahrenheit", "degrees_F", "degree_Fahrenheit"}
)

Floats = TypeVar("Floats", Float32[NDArray[np.float32], "..."], Float64[NDArray[np.float64], "..."])


def known_temperature_units(units: str | None) -> bool:
    """Whether `to_kelvin` can convert from these units."""
    return units in KELVIN_UNITS | CELSIUS_UNITS | FAHRENHEIT_UNITS


def to_kelvin(
    values: Float64[NDArray[np.float64], "*shape"], units: str
) -> Float64[NDArray[np.float64], "*shape"]:
    """Any shape, in `units`, to kelvin; NaN stays NaN.

    Raises:
        ValueError: If the unit is not one of the exact spellings in this module.
    """
    if units in KELVIN_UNITS:
        return values
    if units in CELSIUS_UNITS:
        return values + 273.15
    if units in FAHRENHEIT_UNITS:
        return (values + 459.67) * (5.0 / 9.0)
    raise ValueError(
        f"unit {units!r} is no temperature unit we know (K, degC, degF and their exact spellings)"
    )


def spectral_radiance(temperature_k: Floats, wavelength_um: float) -> Floats:
    """Radiance of a black body, W m-2 sr-1 um-1, same shape; NaN stays NaN. Source: Planck's law."""
    return C1 / (wavelength_um**5 * np.expm1(C2 / (wavelength_um * temperature_k)))  # type: ignore[no-any-return]


def brightness_temperature(radiance: Floats, wavelength_um: float) -> Floats:
    """Temperature of the black body that would send this radiance.

    Args:
        radiance: Any shape, W m-2 sr-1 um-1; NaN where there is no data.
        wavelength_um: Center of the band, in micrometers.

    Returns:
        Same shape, kelvin; NaN stays NaN.

    Raises:
        ValueError: If a radiance is not positive: the scale factor is likely missing.

    Source: Planck's law, inverted. For wide bands prefer the product's own constants.
    """
    if radiance.size and (lowest := np.nanmin(radiance)) <= 0:
        raise ValueError(f"radiance must be positive, lowest is {lowest:g} W m-2 sr-1 um-1")
    return C2 / (wavelength_um * np.log1p(C1 / (wavelength_um**5 * radiance)))  # type: ignore[no-any-return]


def linearize(temperature_k: Floats, wavelength_um: float, reference_k: float) -> Floats:
    """Kelvin to "radiance kelvin": proportional to radiance, equal to kelvin to first order at `reference_k`.

    Averages and convolutions of the result are averages of energy. Same shape; NaN stays NaN.
    """
    base, slope = _at(reference_k, wavelength_um)
    radiance = spectral_radiance(temperature_k.astype(np.float64), wavelength_um)
    return (reference_k + (radiance - base) / slope).astype(temperature_k.dtype)


def delinearize(values: Floats, wavelength_um: float, reference_k: float) -> Floats:
    """The inverse of `linearize`; radiance is floored at 0.1 % of the reference's."""
    base, slope = _at(reference_k, wavelength_um)
    radiance = base + (values.astype(np.float64) - reference_k) * slope
    # Ringing beside a fire may ask for less than no energy; physics has a floor.
    radiance = np.maximum(radiance, 1e-3 * base)
    return brightness_temperature(radiance, wavelength_um).astype(values.dtype)


def _at(temperature_k: float, wavelength_um: float) -> tuple[float, float]:
    """Radiance and its slope at one temperature."""
    one = np.asarray([temperature_k], dtype=np.float64)
    return float(spectral_radiance(one, wavelength_um)[0]), float(radiance_slope(one, wavelength_um)[0])


def radiance_slope(temperature_k: Floats, wavelength_um: float) -> Floats:
    """dB/dT of Planck's law, W m-2 sr-1 um-1 K-1, same shape; NaN stays NaN."""
    exponent = C2 / (wavelength_um * temperature_k)
    radiance = spectral_radiance(temperature_k, wavelength_um)
    return radiance * exponent / temperature_k / -np.expm1(-exponent)  # type: ignore[no-any-return]

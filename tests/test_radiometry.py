"""Kelvin and radiance: there and back again."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.radiometry import (
    brightness_temperature,
    delinearize,
    linearize,
    radiance_slope,
    spectral_radiance,
    to_kelvin,
)


@given(kelvin=st.floats(180, 1500), wavelength_um=st.floats(3.5, 13))
def test_temperature_survives_the_way_to_radiance_and_back(kelvin, wavelength_um):
    radiance = spectral_radiance(np.array([kelvin]), wavelength_um)
    np.testing.assert_allclose(brightness_temperature(radiance, wavelength_um), kelvin, rtol=1e-9)


def test_planck_agrees_with_a_published_value():
    # Landsat 8 band 10 constants K1 = 774.8853, K2 = 1321.0789 (MTL) describe 10.9 um within 0.5 %.
    kelvin = np.array([300.0])
    usgs = 774.8853 / (np.exp(1321.0789 / kelvin) - 1)
    np.testing.assert_allclose(spectral_radiance(kelvin, 10.9), usgs, rtol=5e-3)


def test_unscaled_counts_are_refused():
    with pytest.raises(ValueError, match="lowest is -5 W m-2 sr-1 um-1"):
        brightness_temperature(np.array([9.2, -5.0]), wavelength_um=10.9)


@given(kelvin=st.floats(200, 1200), wavelength_um=st.floats(6, 13))
def test_linearized_kelvin_come_back(kelvin, wavelength_um):
    linear = linearize(np.array([kelvin]), wavelength_um, 300.0)
    np.testing.assert_allclose(delinearize(linear, wavelength_um, 300.0), kelvin, rtol=1e-7)


def test_linearized_kelvin_look_like_kelvin_near_the_reference():
    linear = linearize(np.array([299.0, 300.0, 301.0]), 10.9, 300.0)
    np.testing.assert_allclose(linear, [299.0, 300.0, 301.0], atol=0.01)


@given(cold=st.floats(270, 300), hot=st.floats(300, 900))
def test_averaging_linearized_kelvin_averages_energy(cold, hot):
    pair = np.array([cold, hot])
    through_linear = delinearize(linearize(pair, 10.9, 300.0).mean(keepdims=True), 10.9, 300.0)
    through_energy = brightness_temperature(spectral_radiance(pair, 10.9).mean(keepdims=True), 10.9)
    np.testing.assert_allclose(through_linear, through_energy, rtol=1e-9)


def test_the_slope_is_the_derivative():
    step = 1e-3
    around = spectral_radiance(np.array([300.0 - step, 300.0 + step]), 10.9)
    assert radiance_slope(np.array([300.0]), 10.9)[0] == pytest.approx(
        float(np.diff(around)[0]) / (2 * step), rel=1e-6
    )


@pytest.mark.parametrize(
    ("value", "units", "kelvin"), [(300.0, "K", 300.0), (26.85, "degC", 300.0), (80.33, "degF", 300.0)]
)
def test_units_become_kelvin(value, units, kelvin):
    assert to_kelvin(np.array([value]), units)[0] == pytest.approx(kelvin, abs=0.01)


@pytest.mark.parametrize("units", ["k", "", "1", "counts"])
def test_other_units_are_refused(units):
    with pytest.raises(ValueError, match="no temperature unit we know"):
        to_kelvin(np.array([1.0]), units)

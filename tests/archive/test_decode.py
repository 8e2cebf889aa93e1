"""Stored numbers become kelvin, or a reason."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.archive.decode import Stored, decode
from pipeline.errors import SkippedSceneError, UnusableInputError
from pipeline.radiometry import CELSIUS_UNITS, FAHRENHEIT_UNITS, KELVIN_UNITS
from pipeline.settings import ProductRule


def floats(*numbers, **told):
    return Stored(np.array([numbers], dtype=np.float32), "LST", **told)


def many(odd, usual=300.0, n=1000, dtype=np.float32, **told):
    """One odd number among n usual ones."""
    values = np.full((1, n), usual, dtype=dtype)
    values[0, 0] = odd
    return Stored(values, "LST", **told)


def kelvin(stored, strict=False):
    return decode(stored, strict=strict).temperature[0]


@pytest.mark.parametrize("unit", sorted(KELVIN_UNITS))
def test_kelvin_stay(unit):
    np.testing.assert_array_equal(kelvin(floats(280.0, 300.5, units=unit)), np.float32([280.0, 300.5]))


@pytest.mark.parametrize("unit", sorted(CELSIUS_UNITS))
def test_celsius_are_shifted(unit):
    np.testing.assert_allclose(kelvin(floats(-20.0, 26.85, units=unit)), [253.15, 300.0], rtol=1e-7)


@pytest.mark.parametrize("unit", sorted(FAHRENHEIT_UNITS))
def test_fahrenheit_are_scaled_and_shifted(unit):
    np.testing.assert_allclose(kelvin(floats(32.0, 212.0, units=unit)), [273.15, 373.15], rtol=1e-7)


@pytest.mark.parametrize("unit", ["k", "1", "NA", "W m-2", "kelvin * 10", "percent", "m"])
def test_other_units_are_refused(unit):
    with pytest.raises(UnusableInputError, match="LST is no temperature: its unit is"):
        kelvin(floats(280.0, 300.0, units=unit))


@given(
    scale=st.floats(0.001, 0.1),
    offset=st.floats(150, 200),
    numbers=st.lists(st.integers(500, 1500), min_size=1, max_size=50),
)
def test_packing_is_undone(scale, offset, numbers):
    stored = Stored(np.array([numbers], dtype=np.uint16), "LST", scale=scale, offset=offset, units="K")
    np.testing.assert_allclose(kelvin(stored), np.array(numbers) * scale + offset, rtol=1e-6)


@given(k1=st.floats(400, 800), k2=st.floats(1100, 1400), truth=st.floats(200, 350))
def test_radiance_becomes_the_temperature_that_sent_it(k1, k2, truth):
    radiance = k1 / np.expm1(k2 / truth)
    stored = Stored(np.array([[radiance]]), "B10", planck=(k1, k2))
    np.testing.assert_allclose(kelvin(stored), truth, rtol=1e-6)


def test_floats_without_units_between_180_and_400_are_taken_for_kelvin_and_that_is_told():
    assert decode(floats(180.0, 400.0), strict=False).assumptions == ("units assumed: K",)


@pytest.mark.parametrize("outlier", [179.9, 400.1, 20.0, 15000.0, -1.0])
def test_one_value_outside_forbids_the_assumption(outlier):
    with pytest.raises(UnusableInputError, match="LST has no units, float32 values"):
        kelvin(many(outlier))


def test_strict_forbids_the_assumption():
    with pytest.raises(UnusableInputError, match=r"archive\.strict forbids to assume kelvin"):
        kelvin(floats(280.0, 300.0), strict=True)


def test_integers_without_units_are_never_taken_for_kelvin():
    stored = Stored(np.array([[280, 300]], dtype=np.uint16), "band 1")
    with pytest.raises(
        UnusableInputError, match="uint16 counts 280 to 300: these are no kelvin as they stand"
    ):
        kelvin(stored)


def test_a_collar_of_zeros_is_no_data_and_that_is_told():
    found = decode(floats(0.0, 280.0, 0.0, 300.0), strict=False)
    np.testing.assert_array_equal(np.isnan(found.temperature[0]), [True, False, True, False])
    assert found.assumptions == ("units assumed: K", "0 K taken for no data")


def test_zero_celsius_is_a_temperature():
    np.testing.assert_allclose(kelvin(floats(0.0, 10.0, units="degC")), [273.15, 283.15], rtol=1e-7)


@pytest.mark.parametrize("fill", [-9999.0, 0.0, -3.4028234663852886e38, 1e35, float("inf"), float("nan")])
def test_fill_becomes_no_data(fill):
    found = kelvin(floats(fill, 300.0, units="K", fills=(fill,)))
    np.testing.assert_array_equal(np.isnan(found), [True, False])


def test_a_fill_that_the_type_cannot_hold_is_harmless():
    stored = Stored(
        np.array([[14000, 15000]], dtype=np.uint16), "LST", scale=0.02, units="K", fills=(-9999.0,)
    )
    np.testing.assert_allclose(kelvin(stored), [280.0, 300.0])


def test_nothing_but_fill_is_skipped():
    with pytest.raises(SkippedSceneError, match="every pixel is fill"):
        kelvin(floats(-9999.0, -9999.0, fills=(-9999.0,)))


def test_fires_are_kept_up_to_1500_kelvin():
    assert kelvin(many(1499.0, units="K"))[0] == 1499.0


@pytest.mark.parametrize(("odd", "words"), [(133.0, "below 150 K"), (1600.0, "above 1500 K")])
def test_a_few_impossible_pixels_become_no_data_and_that_is_told(odd, words):
    found = decode(many(odd, units="K"), strict=False)
    assert np.isnan(found.temperature[0, 0])
    assert found.assumptions == (f"1 pixel {words} taken for no data",)


@pytest.mark.parametrize("odd", [100.0, 500.0, 15000.0])
def test_more_than_one_percent_outside_150_to_400_kelvin_is_no_temperature(odd):
    with pytest.raises(UnusableInputError, match=r"2\.0% of its valid pixels lie outside 150-400 K"):
        kelvin(many(odd, n=50, units="K"))


def test_nothing_is_clipped():
    numbers = np.float32([151.0, 399.0, 310.0])
    np.testing.assert_array_equal(kelvin(floats(*numbers, units="K")), numbers)


def test_a_large_picture_is_converted_block_by_block_to_the_same_numbers():
    values = np.arange(3000 * 1500, dtype=np.uint32).reshape(3000, 1500) % 5000 + 12500
    found = decode(Stored(values, "LST", scale=0.02, units="K"), strict=False).temperature
    np.testing.assert_allclose(found, values * 0.02, rtol=1e-6)


def test_a_rule_beats_the_file_and_the_product():
    stored = Stored(np.array([[2000, 7]], dtype=np.int16), "LST", scale=9.0, units="m", planck=(1.0, 2.0))
    rule = ProductRule(pattern="*", units="degC", scale=0.01, offset=0.0, fill=7)
    found = decode(stored.with_rule(rule), strict=False)
    np.testing.assert_allclose(found.temperature[0, 0], 293.15, rtol=1e-7)
    assert np.isnan(found.temperature[0, 1])
    assert {found.facts[name] for name in ("units", "scale", "fill")} == {"[[archive.products]] *"}


def test_control_characters_of_a_name_do_not_reach_the_reader():
    with pytest.raises(UnusableInputError) as refused:
        kelvin(Stored(np.array([[1.0, 2.0]]), "LS\x1b[31mT\n"))
    assert str(refused.value).isprintable()

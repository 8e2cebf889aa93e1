"""The sensor table: within range, with sources, never blurrier than published."""

import math

import numpy as np
import pytest

from pipeline.archive.sensors import (
    BAND_WAVELENGTHS_UM,
    SENSORS,
    sensor,
    sensor_in_text,
    sensor_of_band,
)
from pipeline.errors import SettingsError, UnusableInputError

# Contrast at Nyquist that is required at least: the instruments are sharper.
PUBLISHED_MTF_FLOOR = {"MODIS": 0.30, "VIIRS": 0.30, "ABI": 0.22, "AHI": 0.22, "AVHRR": 0.30, "ASTER": 0.20}


def test_the_table_has_the_instruments_of_the_project():
    wanted = "TIRS TIRS-2 ETM+ TM ECOSTRESS MODIS VIIRS SLSTR ABI AHI AVHRR ASTER unknown"
    assert set(SENSORS) == set(wanted.split())


@pytest.mark.parametrize("key", SENSORS)
def test_figures_are_in_range_and_have_a_source(key):
    found = SENSORS[key]
    assert key == "unknown" or 0.2 <= found.psf_sigma_px <= 0.45
    assert len(found.source) > 20
    assert key == "unknown" or (30 <= found.native_gsd_m <= 4000 and 0 < found.nedt_k < 1)


@pytest.mark.parametrize("key", PUBLISHED_MTF_FLOOR)
def test_no_blur_is_wider_than_the_requirement_allows(key):
    sigma = SENSORS[key].psf_sigma_px
    mtf = 2 / math.pi * math.exp(-((math.pi * sigma) ** 2) / 2)
    assert mtf >= PUBLISHED_MTF_FLOOR[key]


def test_nothing_is_undone_of_an_unknown_sensor():
    found = SENSORS["unknown"]
    assert found.psf_sigma_px == 0
    assert np.isnan([found.native_gsd_m, found.nedt_k, found.wavelength_um]).all()


@pytest.mark.parametrize("key", BAND_WAVELENGTHS_UM)
def test_every_band_is_thermal(key):
    assert key in SENSORS
    assert all(3.5 <= wavelength <= 14 for wavelength in BAND_WAVELENGTHS_UM[key].values())


def test_a_band_brings_its_wavelength():
    assert sensor_of_band("ABI", "C13", "brightness_temperature").wavelength_um == 10.35


def test_a_surface_temperature_of_several_bands_has_no_wavelength():
    assert math.isnan(sensor_of_band("TIRS", None, "surface_temperature").wavelength_um)


def test_an_instrument_of_one_band_always_has_its_wavelength():
    assert sensor_of_band("TM", None, "surface_temperature").wavelength_um == 11.45


def test_a_band_that_is_not_thermal_is_refused():
    with pytest.raises(UnusableInputError, match="band C01 of GOES-R ABI is no thermal band; those are C07"):
        sensor_of_band("ABI", "C01", "brightness_temperature")


def test_an_unknown_key_is_answered_with_the_known_ones():
    with pytest.raises(SettingsError, match=r"no sensor 'TIRS-3'; known: TIRS, TIRS-2, ETM\+"):
        sensor("TIRS-3")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("ECOSTRESS_LA_2023217182715_crop512_K", "ECOSTRESS"),
        ("ECOv002_L2T_LSTE_34366_004_11SPS", "ECOSTRESS"),
        ("G16_ABI_C08_6.2um", "ABI"),
        ("S3_SLSTR_WST_Alboran", "SLSTR"),
        ("MOD11A1.A2019305.h14v09.006_LST_Day", "MODIS"),
        ("VNP21A1D.001_LST_1KM_doy2019305_aid0001", "VIIRS"),
        ("LC09_L1TP_040028_20220712", "TIRS-2"),
        ("LC80400282014193LGN00_B10", "TIRS"),
        ("Landsat 7 ETM+", "ETM+"),
        ("AST_08_00307062005", "ASTER"),
        ("MODIS, AVHRR and VIIRS blended", None),
        ("habitat", None),
        ("UTM zone", None),
        ("", None),
    ],
)
def test_an_instrument_is_recognized_in_a_text_that_names_one(text, key):
    assert sensor_in_text(text) == key

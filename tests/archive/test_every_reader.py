"""Every reader recovers the kelvin of its twin, and has a real file or says that it has none."""

import json

import numpy as np
import pytest
import rasterio.crs

from pipeline.archive.readers import COMPANIONS, READERS
from pipeline.scene import SceneRef
from tests.archive.finding import find, read
from tests.archive.twins import TWINS

# One real file a reader, below ../shared/scenes; None where there is none.
REAL = {
    "ecostress": "ecostress/ECOv002_L2T_LSTE_34366_004_11SPS_20240728T204025_0712_01_LST.tif",
    "landsat_l2": "landsat/LC08_L2SP_008059_20191201_20200825_02_T1_ST_B10_decimated512.TIF",
    "landsat_l1": "landsat/LC80400282014193LGN00_B10_crop.TIF",
    "modis": "modis/MOD11A1.A2019305.h14v09.006_LST_Day_1km_sinusoidal_uint16.tif",
    "goes_abi": "goes/G16_ABI_C08_6.2um_BT_K_20170711T1817_crop1024_geos.nc",
    "slstr": "slstr/S3_SLSTR_WST_NW_med_1km_multivar.nc",
    "ghrsst": None,  # only a swath is at hand, and that is refused
    "netcdf": "netcdf/ECOSTRESS_LA_2023205_CFpacked_southup_1024.nc",
    "geotiff": "nasty/ECOSTRESS_southup_geotransform_512.tif",
    "npz": "npz/ECOSTRESS_LA_2023217182715_crop512_uint16DN_with_attrs.npz",
}
every_reader = pytest.mark.parametrize("key", READERS)


def test_every_reader_has_a_twin_and_says_which_real_file_it_was_tried_on():
    assert set(TWINS) == set(READERS) == set(REAL)
    assert set(COMPANIONS) <= set(READERS)


@every_reader
def test_a_twin_is_claimed_by_its_own_reader(key, tmp_path):
    path, _ = TWINS[key](tmp_path)
    assert find(path).reader == key


@every_reader
def test_a_twin_comes_back_as_the_kelvin_it_was_made_of(key, tmp_path):
    path, truth = TWINS[key](tmp_path)
    scene = read(path)
    assert scene.temperature.dtype == np.float32
    np.testing.assert_array_equal(np.isfinite(scene.temperature), np.isfinite(truth))
    np.testing.assert_allclose(scene.temperature, truth, atol=2e-5, rtol=1e-7)


@every_reader
def test_a_twin_lies_on_a_grid_that_rasterio_understands(key, tmp_path):
    path, truth = TWINS[key](tmp_path)
    scene = read(path)
    assert scene.grid.georeferenced
    assert scene.grid.shape == truth.shape
    assert rasterio.crs.CRS.from_wkt(scene.grid.crs_wkt).to_wkt()
    assert all(30 < gsd_m < 3000 for gsd_m in scene.gsd_m)


@every_reader
def test_a_reference_survives_json_and_is_read_again_to_the_same_bytes(key, tmp_path):
    path, _ = TWINS[key](tmp_path)
    ref = find(path)
    again = SceneRef.from_json(json.loads(json.dumps(ref.to_json())))
    assert again == ref
    np.testing.assert_array_equal(read(path).temperature, read(path).temperature)


@every_reader
def test_every_fact_names_its_source(key, tmp_path):
    path, _ = TWINS[key](tmp_path)
    facts = read(path).facts
    assert {"reader", "variable", "units", "scale", "fill", "crs", "transform", "quantity", "sensor"} <= set(
        facts
    )
    assert all(facts.values())


@pytest.mark.parametrize("key", [key for key, name in REAL.items() if name is not None])
def test_a_real_file_is_read(key, real_scenes):
    path = real_scenes / REAL[key]
    assert find(path).reader == key
    assert 230 < float(np.nanmedian(read(path).temperature)) < 340


@pytest.mark.parametrize(
    ("key", "step_k"), [("ecostress", 0.0), ("modis", 0.02), ("landsat_l2", 0.00341802), ("npz", 0.02)]
)
def test_the_step_of_the_stored_numbers_is_known(key, step_k, tmp_path):
    assert read(TWINS[key](tmp_path)[0]).quantization_k == pytest.approx(step_k)


def test_the_step_of_curved_counts_is_that_of_neighboring_counts(tmp_path):
    path, truth = TWINS["landsat_l1"](tmp_path)
    median = np.nanmedian(truth)
    radiance = 774.89 / np.expm1(1321.08 / median)
    neighbor = 1321.08 / np.log(774.89 / (radiance + 3.342e-4) + 1)
    assert read(path).quantization_k == pytest.approx(neighbor - median, rel=1e-3)


@pytest.mark.parametrize(
    ("key", "acquired"),
    [
        ("ecostress", "2024-07-28T20:40:25Z"),
        ("landsat_l2", "2019-12-01T00:00:00Z"),
        ("landsat_l1", "2014-07-12T18:18:49Z"),
        ("modis", "2019-11-01T00:00:00Z"),
        ("goes_abi", "2024-07-11T18:17:18Z"),
        ("slstr", "2024-05-10T21:44:50Z"),
        ("ghrsst", "2024-05-10T09:00:00Z"),
        ("netcdf", "2023-07-24T23:17:32Z"),
        ("geotiff", None),
        ("npz", "2024-05-10T21:44:50Z"),
    ],
)
def test_the_time_of_acquisition_is_found(key, acquired, tmp_path):
    assert find(TWINS[key](tmp_path)[0]).acquired == acquired


@pytest.mark.parametrize(
    ("key", "sensor", "wavelength_um", "quantity"),
    [
        ("ecostress", "ISS ECOSTRESS", None, "surface_temperature"),
        ("landsat_l2", "Landsat 8 TIRS", 10.895, "surface_temperature"),
        ("landsat_l1", "Landsat 8 TIRS", 10.895, "brightness_temperature"),
        ("modis", "Terra/Aqua MODIS", None, "surface_temperature"),
        ("goes_abi", "GOES-R ABI", 10.35, "brightness_temperature"),
        ("slstr", "Sentinel-3 SLSTR", 10.85, "brightness_temperature"),
        ("ghrsst", "unknown sensor", None, "sea_surface_temperature"),
        ("geotiff", "unknown sensor", None, "surface_temperature"),
    ],
)
def test_sensor_wavelength_and_quantity_are_told(key, sensor, wavelength_um, quantity, tmp_path):
    scene = read(TWINS[key](tmp_path)[0])
    assert (scene.sensor.name, scene.quantity) == (sensor, quantity)
    if wavelength_um is None:
        assert np.isnan(scene.sensor.wavelength_um)
    else:
        assert scene.sensor.wavelength_um == wavelength_um

"""Real files: plausible kelvin, the share of data that is known of them, orientation and place."""

import numpy as np
import pyproj
import pytest

from pipeline.archive.discover import discover
from pipeline.errors import SkippedSceneError, UnusableInputError
from tests.archive.finding import find, read, settings_for

ECO = "ecostress/ECO_L2_LSTE.002_LST_doy{}_aid0001.tif"
L8 = "landsat/LC80400282014193LGN00_"
MOD = "modis/MOD11A1.A2019305.h14v09.006_LST_{}_1km_sinusoidal_uint16.tif"
NPZ = "npz/ECOSTRESS_LA_2023217182715_crop512_{}.npz"

# file, median kelvin, valid share, sign of the transform's e, EPSG code or the projection's method
SCENES = [
    (ECO.format("2023183080644"), 290.7, 1.00, -1, 4326),
    (ECO.format("2023205231732"), 312.4, 1.00, -1, 4326),
    (ECO.format("2023209214058"), 315.7, 1.00, -1, 4326),
    (ECO.format("2023217182715"), 315.9, 1.00, -1, 4326),
    (ECO.format("2023219014701"), 301.3, 0.67, -1, 4326),
    ("ecostress/ECOv002_L2T_LSTE_34366_004_11SPS_20240728T204025_0712_01_LST.tif", 331.1, 0.956, -1, 32611),
    (f"{L8}B10_crop.TIF", 298.2, 0.997, -1, 32612),
    (f"{L8}B11_crop.TIF", 296.6, 0.997, -1, 32612),
    (f"{L8}B10_brightness_temp_K_float32.TIF", 298.2, 0.997, -1, 32612),
    ("landsat/LE07_039028_20100702_B6_VCID_1_crop.TIF", 253.2, 0.68, -1, 32612),
    ("landsat/LT05_040028_20060706_B6_crop.TIF", 292.9, 0.997, -1, 32612),
    ("landsat/LC08_L2SP_008059_20191201_20200825_02_T1_ST_B10_decimated512.TIF", 268.2, 0.666, -1, 32618),
    ("slstr/S3_SLSTR_WST_Alboran_1km_multivar.nc", 285.7, 0.693, -1, 4326),
    ("slstr/S3_SLSTR_WST_NW_med_1km_multivar.nc", 287.5, 0.701, -1, 4326),
    (MOD.format("Day"), 313.1, 0.232, -1, "Sinusoidal"),
    (MOD.format("Night"), 293.3, 0.156, -1, "Sinusoidal"),
    ("goes/G16_ABI_C08_6.2um_BT_K_20170711T1817_crop1024_geos.nc", 237.1, 1.00, -1, "Geostationary"),
    (NPZ.format("K"), 319.4, 1.00, -1, 4326),
    (NPZ.format("uint16DN_with_attrs"), 319.4, 1.00, -1, 4326),
    ("netcdf/ECOSTRESS_LA_2023205_CFpacked_southup_1024.nc", 313.4, 1.00, +1, 4326),
    ("nasty/ECOSTRESS_southup_geotransform_512.tif", 319.3, 1.00, +1, 4326),
]


@pytest.mark.parametrize(("name", "median_k", "share", "south_up", "crs"), SCENES, ids=[s[0] for s in SCENES])
def test_a_real_scene_is_what_is_known_of_it(name, median_k, share, south_up, crs, real_scenes):
    scene = read(real_scenes / name)
    assert np.nanmedian(scene.temperature) == pytest.approx(median_k, abs=0.06)
    assert scene.valid_fraction == pytest.approx(share, abs=0.005)
    assert np.sign(scene.grid.transform.e) == south_up
    found = pyproj.CRS.from_wkt(scene.grid.crs_wkt)
    assert found.to_epsg() == crs or crs in found.coordinate_operation.method_name
    assert np.nanmin(scene.temperature) >= 150


def test_landsat_counts_and_the_kelvin_made_of_them_elsewhere_agree(real_scenes):
    counts = read(real_scenes / f"{L8}B10_crop.TIF")
    kelvin = read(real_scenes / f"{L8}B10_brightness_temp_K_float32.TIF")
    np.testing.assert_allclose(counts.temperature, kelvin.temperature, atol=2e-3)


def test_the_same_pixels_in_two_containers_are_the_same_scene(real_scenes):
    floats, packed = (
        read(real_scenes / NPZ.format("K")),
        read(real_scenes / NPZ.format("uint16DN_with_attrs")),
    )
    np.testing.assert_allclose(floats.temperature, packed.temperature, atol=2e-5)
    assert floats.grid.transform.almost_equals(packed.grid.transform, precision=1e-9)


def test_the_geostationary_grid_is_as_exact_as_its_author_wrote_it(real_scenes):
    scene = read(real_scenes / SCENES[16][0])
    assert scene.gsd_m == pytest.approx((5.6e-5 * 35786023.0,) * 2, rel=1e-9)
    first_center = scene.grid.transform @ (0.5, 0.5)
    counts = (
        (first_center[0] / 35786023.0 + 0.075012) / 5.6e-5,
        (first_center[1] / 35786023.0 - 0.126532) / 5.6e-5,
    )
    np.testing.assert_allclose(counts, np.round(counts), atol=1e-6)  # the file stores whole counts of angle


NASTY = {
    "ECOSTRESS_no_crs_no_scale_512.tif": "uint16 counts 14727 to 16547: these are no kelvin",
    "ECO_L2_LSTE_doy2023209214058_TRUNCATED.tif": "cut short or damaged",
    "ECO_cloud_mask_uint16_0_1_doy2023209214058.tif": "is no temperature: its unit is 'NA'",
    "ECOv002_L2T_LSTE_34366_004_11SPS_EmisWB_not_a_temperature.tif": "float32 values 0.798 to 0.98",
    "LC08_190027_20210912_LST_git_lfs_pointer.tif": "a Git LFS pointer; fetch the real file",
    "LSASAF_Athens_96band_CELSIUS_minus80_fill_21x21.tif": "has 96 bands .* name it as variable",
    "MODIS_T-JPL-L2P_SST_swath_2Dlatlon.nc": "is a swath",
    "OR_ABI-L2-CMIPM2-M3C01_G16_s20172661340312_e20172661340369_c20172661340426.nc": "C01 measures reflected",
    "object_pickled_array.npz": "lst holds pickled objects, which are never unpacked",
}
HANDLED = {
    "ECOSTRESS_all_nodata_512.tif",
    "ECO_L2_LSTE_doy2023233120547_133K_outliers_4pct_valid.tif",
    "ECOSTRESS_southup_geotransform_512.tif",
}


@pytest.mark.parametrize("name", NASTY)
def test_a_nasty_file_is_refused_with_its_reason_in_one_line(name, real_scenes):
    with pytest.raises(UnusableInputError, match=NASTY[name]) as refused:
        read(real_scenes / "nasty" / name)
    assert str(refused.value).startswith(name)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 400


def test_every_nasty_file_is_known_here(real_scenes):
    assert {path.name for path in (real_scenes / "nasty").iterdir()} == set(NASTY) | HANDLED


def test_a_raster_of_nothing_but_fill_is_skipped(real_scenes):
    with pytest.raises(SkippedSceneError, match=r"ECOSTRESS_all_nodata_512\.tif: .* every pixel is fill"):
        read(real_scenes / "nasty" / "ECOSTRESS_all_nodata_512.tif")


def test_pixels_of_133_kelvin_become_no_data_and_that_is_told(real_scenes):
    scene = read(real_scenes / "nasty/ECO_L2_LSTE_doy2023233120547_133K_outliers_4pct_valid.tif")
    assert scene.assumptions == (
        "155 pixels below 150 K taken for no data",
        "675 pixels below 180 K taken for no data",
    )
    assert 0.04 < scene.valid_fraction < 0.05


def test_hdf4_is_refused_with_what_to_do(real_scenes):
    with pytest.raises(UnusableInputError, match="is HDF4, which is not read here; convert it"):
        find(real_scenes / "modis/MOD11A1.A2019305.h14v09.006.hdf")


def test_counts_without_their_mtl_are_refused_with_what_is_missing(real_scenes):
    with pytest.raises(UnusableInputError, match="uint8 counts; kelvin needs the scene's MTL"):
        read(real_scenes / "landsat/LT52240631988227CUB02_B6_uint8_DN.TIF")


def test_the_whole_collection_is_found_at_once(real_scenes):
    found = discover(settings_for(real_scenes))
    assert len(found.scenes) + len(found.refused) == 34
    assert len({ref.scene_id for ref in found.scenes}) == len(found.scenes)
    assert found.waiting == found.duplicates == []

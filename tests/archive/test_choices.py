"""Which band, variable, key, unit, sensor: who decides, and what is said where nobody can."""

import netCDF4
import numpy as np
import pyproj
import pytest
import rasterio

from pipeline.archive import read_scene
from pipeline.archive.discover import discover
from pipeline.archive.formats.mtl import read_mtl, thermal_constants
from pipeline.archive.product_rules import product_rule
from pipeline.archive.sensors import SENSORS
from pipeline.errors import UnusableInputError
from pipeline.settings import ProductRule
from tests.archive.finding import read, settings_for
from tests.archive.twins import MTL, TWINS, landscape, small_nc, with_gap, write_tif

KELVIN = landscape(8, 9).astype(np.float32)


def rule(**told):
    return {"products": (ProductRule(pattern="*", **told),)}


def test_facts_name_a_source_only_of_what_it_states(tmp_path):
    np.savez(tmp_path / "plain.npz", temperature=KELVIN, units="K")
    np.savez(tmp_path / "packed.npz", temperature=KELVIN * 10, units="K", scale=0.1, fill=-1.0)
    plain, packed = (read(tmp_path / f"{name}.npz").facts for name in ("plain", "packed"))
    assert (plain["scale"], plain["fill"]) == ("none stated", "none stated")
    assert (packed["scale"], packed["fill"]) == ("keys", "keys")


# --- GeoTIFF


def test_of_several_bands_the_one_in_kelvin_is_taken(tmp_path):
    path = write_tif(tmp_path / "a.tif", np.stack([KELVIN * 0, KELVIN]))
    with rasterio.open(path, "r+") as file:
        file.units = ("1", "K")
    np.testing.assert_array_equal(read(path).temperature, KELVIN)


@pytest.mark.parametrize("name", ["2", "thermal"])
def test_a_rule_names_the_band_by_number_or_description(name, tmp_path):
    path = write_tif(tmp_path / "a.tif", np.stack([KELVIN + 5, KELVIN]), units="K")
    with rasterio.open(path, "r+") as file:
        file.set_band_description(2, "thermal")
    np.testing.assert_array_equal(read(path, **rule(variable=name)).temperature, KELVIN)
    with pytest.raises(
        UnusableInputError, match=r"has 2 bands .* one temperature is wanted; name it as variable"
    ):
        read(path)
    with pytest.raises(UnusableInputError, match="has no band '3'; it has 2"):
        read(path, **rule(variable="3"))


def test_units_and_scale_in_the_tags_of_other_tools_are_understood(tmp_path):
    counts = np.round(KELVIN / 0.02).astype(np.uint16)
    path = write_tif(
        tmp_path / "a.tif", counts, tags={"scale_factor": "0.02", "add_offset": "0.0", "units": "K"}
    )
    np.testing.assert_allclose(read(path).temperature, counts * 0.02, rtol=1e-6)


def test_a_mask_inside_a_geotiff_is_no_data(tmp_path):
    path = write_tif(tmp_path / "a.tif", KELVIN, units="K")
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
        mask = np.full(KELVIN.shape, 255, np.uint8)
        mask[2, 3] = 0
        file.write_mask(mask)
    np.testing.assert_array_equal(np.argwhere(np.isnan(read(path).temperature)), [[2, 3]])


def test_a_rule_makes_kelvin_of_bare_counts(tmp_path):
    path = write_tif(tmp_path / "a.tif", np.round(KELVIN * 50).astype(np.uint16))
    scene = read(
        path, **rule(units="K", scale=0.02, fill=0, quantity="brightness_temperature", sensor="TIRS")
    )
    np.testing.assert_allclose(scene.temperature, np.round(KELVIN * 50) * 0.02, rtol=1e-6)
    assert (scene.quantity, scene.sensor.name) == ("brightness_temperature", "Landsat 8 TIRS")
    assert {scene.facts[fact] for fact in ("units", "scale", "quantity", "sensor")} == {
        "[[archive.products]] *"
    }
    assert scene.assumptions == ()


def test_the_first_rule_that_fits_wins_by_path_below_the_root_or_by_name(tmp_path):
    (tmp_path / "north").mkdir()
    write_tif(tmp_path / "north" / "a.tif", KELVIN - 273.15)
    rules = (ProductRule(pattern="south/*", units="K"), ProductRule(pattern="north/*", units="degC"),
             ProductRule(pattern="a.tif", units="degF"))  # fmt: skip
    settings = settings_for(tmp_path, products=rules)
    scene = read_scene(discover(settings).scenes[0], settings)
    np.testing.assert_allclose(scene.temperature, KELVIN, rtol=1e-6)


@pytest.mark.parametrize(
    ("pattern", "fitting"),
    [
        ("*/site_b/*.tif", {"x/site_b/a.tif"}),
        ("**/site_b/*.tif", {"site_b/a.tif", "x/site_b/a.tif", "x/y/site_b/a.tif"}),
        ("site_b/*.tif", {"site_b/a.tif"}),
        ("site_b/**", {"site_b/a.tif", "site_b/x/a.tif"}),
        ("site_b/**/*.tif", {"site_b/a.tif", "site_b/x/a.tif"}),
        ("x/*/site_b/?.tif", {"x/y/site_b/a.tif"}),
        ("**", {"a.tif", "site_b/a.tif", "site_b/x/a.tif", "x/site_b/a.tif", "x/y/site_b/a.tif", "x/A.TIF"}),
        ("*.tif", {"a.tif", "site_b/a.tif", "site_b/x/a.tif", "x/site_b/a.tif", "x/y/site_b/a.tif"}),
        ("[ab].tif", {"a.tif", "site_b/a.tif", "site_b/x/a.tif", "x/site_b/a.tif", "x/y/site_b/a.tif"}),
        ("site_b", set()),
        ("*/*", {"site_b/a.tif", "x/A.TIF"}),
    ],
)
def test_a_star_of_a_rule_stays_in_its_folder_and_two_stars_cross_folders(pattern, fitting, tmp_path):
    paths = ("a.tif", "site_b/a.tif", "site_b/x/a.tif", "x/site_b/a.tif", "x/y/site_b/a.tif", "x/A.TIF")
    settings = settings_for(tmp_path, products=(ProductRule(pattern=pattern, units="K"),))
    assert {path for path in paths if product_rule(tmp_path / path, settings)} == fitting


@pytest.mark.parametrize("pattern", ["**/site_b/*.tif", "site_b/*.tif", "*/site_b/*", "a.tif"])
def test_a_single_file_follows_the_rule_that_it_follows_in_its_archive(pattern, tmp_path):
    settings = settings_for(
        tmp_path / "x" / "site_b" / "a.tif", products=(ProductRule(pattern=pattern, units="K"),)
    )
    assert product_rule(settings.root, settings) is not None
    assert product_rule(settings.root.with_name("b.nc"), settings_for(tmp_path / "b.nc")) is None


@pytest.mark.parametrize(
    ("name", "sensor", "source"),
    [
        ("ECOSTRESS_somewhere.tif", "ISS ECOSTRESS", "file name"),
        ("somewhere.tif", "unknown sensor", "nothing tells it"),
    ],
)
def test_the_sensor_may_be_told_by_the_name_alone(name, sensor, source, tmp_path):
    scene = read(write_tif(tmp_path / name, KELVIN, units="K"))
    assert (scene.sensor.name, scene.facts["sensor"]) == (sensor, source)
    assumed = [words for words in scene.assumptions if "blur assumed" in words]
    assert len(assumed) == (sensor == "unknown sensor")


@pytest.mark.parametrize(("unit", "told"), [("km", ()), ("", ("unit of the coordinates assumed: metre",))])
def test_projected_coordinates_without_a_unit_are_told_with_the_one_that_is_taken(unit, told, tmp_path):
    with netCDF4.Dataset(tmp_path / "scene.nc", "w") as file:
        for name, size in (("y", 8), ("x", 9)):
            file.createDimension(name, size)
            axis = file.createVariable(name, "f8", (name,))
            axis.setncatts({"standard_name": f"projection_{name}_coordinate", "units": unit})
            axis[:] = np.arange(size)
        crs = file.createVariable("crs", "i4")
        crs.crs_wkt = pyproj.CRS.from_epsg(32633).to_wkt()
        kelvin = file.createVariable("temperature", "f4", ("y", "x"))
        kelvin.setncatts({"units": "K", "grid_mapping": "crs"})
        kelvin[:] = KELVIN
    found = read(tmp_path / "scene.nc").assumptions
    assert tuple(words for words in found if words.startswith("unit of")) == told


def test_a_time_of_an_unknown_product_is_told_to_be_taken_as_utc(tmp_path):
    words = "time zone assumed where the file tells none: UTC"
    for name, told in (("tower_20240728T204025.tif", 1), ("tower.tif", 0), ("ECOSTRESS_20240728.tif", 0)):
        assert read(write_tif(tmp_path / name, KELVIN, units="K")).assumptions.count(words) == told


def test_all_that_is_assumed_is_told(tmp_path):
    kelvin = KELVIN.copy()
    kelvin[0, 0] = 0
    np.savez(tmp_path / "bare.npz", data=kelvin, lat=np.arange(8) * 0.01, lon=np.arange(9) * 0.01)
    zero, units, *others = read(tmp_path / "bare.npz").assumptions
    assert {zero, units, *others} == {
        "0 K taken for no data",
        "units assumed: K",
        "reference system assumed: EPSG:4326 for latitude and longitude",
        "quantity assumed: surface temperature",
        f"sensor unknown, blur assumed: sigma {SENSORS['unknown'].psf_sigma_px:g} pixels",
    }


# --- Landsat


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("L1_METADATA_FILE", "LANDSAT_METADATA_FILE"),  # Collection 2
        ("GROUP = TIRS_THERMAL_CONSTANTS", "GROUP = LEVEL1_THERMAL_CONSTANTS"),
        ("  GROUP = RADIOMETRIC_RESCALING", "  GROUP = LEVEL1_RADIOMETRIC_RESCALING"),
    ],
)
def test_groups_of_an_mtl_may_have_any_name(old, new, tmp_path):
    path, truth = TWINS["landsat_l1"](tmp_path)
    (tmp_path / "LC80400282014193LGN00_MTL.txt").write_text(MTL.replace(old, new))
    np.testing.assert_allclose(read(path).temperature, truth, rtol=1e-6)


def test_an_mtl_from_before_2012_gives_gain_and_constants(tmp_path):
    text = ('GROUP = L1_METADATA_FILE\nSPACECRAFT_ID = "Landsat5"\nLMAX_BAND6 = 15.303\nLMIN_BAND6 = 1.238\n'
            "QCALMAX_BAND6 = 255.0\nQCALMIN_BAND6 = 1.0\nEND\n")  # fmt: skip
    (tmp_path / "LT50400282006187PAC01_MTL.txt").write_text(text)
    found = thermal_constants(read_mtl(tmp_path / "LT50400282006187PAC01_MTL.txt"), "B6", "TM")
    assert (found.mult, found.add) == pytest.approx((5.5375e-2, 1.18243), rel=2e-4)  # as later MTLs have it
    assert (found.k1, found.k2) == (607.76, 1260.56)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("odd", ["\n", " ", "A = b" + " " * 50, "=", "A", "GROUP = ", "\x1c"])
def test_a_megabyte_of_odd_text_in_an_mtl_is_read_in_no_time(odd, tmp_path):
    path = tmp_path / "LC80400282014193LGN00_MTL.txt"
    path.write_text("GROUP = X\n" + odd * ((1 << 20) // len(odd) - 20))
    assert read_mtl(path)["GROUP"].startswith("X") or odd == "GROUP = "


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("RADIANCE_MULT_BAND_10 = 3.3420E-04\n", "", "its MTL has no RADIANCE_MULT_BAND_10"),
        ("RADIANCE_ADD_BAND_10 = 0.10000\n", "", "its MTL has no RADIANCE_ADD_BAND_10"),
        ("3.3420E-04", "much", "RADIANCE_MULT_BAND_10 is 'much', a number is wanted"),
        ("3.3420E-04", "nan", "a finite number is wanted"),
        ("3.3420E-04", "-1", "are no calibration"),
        ("K1_CONSTANT_BAND_10 = 774.89\n", "", "its MTL has no K1_CONSTANT_BAND_10"),
        ("GROUP", "GRUPPE", "is no MTL: it has no groups"),
        ("END\n", "X" * (1 << 20), "is larger than 1 MiB"),
    ],
)
def test_a_broken_mtl_is_refused(old, new, match, tmp_path):
    path, _ = TWINS["landsat_l1"](tmp_path)
    (tmp_path / "LC80400282014193LGN00_MTL.txt").write_text(MTL.replace(old, new))
    with pytest.raises(UnusableInputError, match=match):
        read(path)


def test_a_landsat_band_without_its_mtl_can_be_told_by_a_rule(tmp_path):
    path = write_tif(tmp_path / "LT52240631988227CUB02_B6.TIF", np.round(KELVIN - 180).astype(np.uint8))
    scene = read(path, **rule(units="K", scale=1.0, offset=180.0))
    np.testing.assert_allclose(scene.temperature, np.round(KELVIN - 180) + 180, rtol=1e-6)
    assert (scene.sensor.name, scene.sensor.wavelength_um) == ("Landsat 4/5 TM", 11.45)


@pytest.mark.parametrize(
    ("stem", "band"), [("B6_VCID_1", "B6_VCID_1"), ("B6_VCID_2", "B6_VCID_2"), ("B61", "B6_VCID_1")]
)
def test_both_gains_of_etm_are_told_apart(stem, band, tmp_path):
    keys = band.replace("B", "BAND_", 1)
    text = MTL.replace("BAND_10", keys).replace("LANDSAT_8", "LANDSAT_7")
    (tmp_path / "LE70390282010183EDC00_MTL.txt").write_text(text)
    path = write_tif(tmp_path / f"LE70390282010183EDC00_{stem}.TIF", np.full((8, 9), 27000, np.uint16))
    expected = 1321.08 / np.log(774.89 / (27000 * 3.342e-4 + 0.1) + 1)
    np.testing.assert_allclose(read(path).temperature, expected, rtol=1e-6)


# --- MODIS, ECOSTRESS


def test_scale_and_fill_of_a_known_product_survive_an_export_that_drops_them(tmp_path):
    counts = np.where(np.isfinite(with_gap(KELVIN)), np.round(KELVIN * 50), 0).astype(np.uint16)
    path = write_tif(tmp_path / "MOD11A1.A2019305.h14v09.006_LST_Day_1km.tif", counts)
    scene = read(path)
    np.testing.assert_allclose(scene.temperature, np.where(counts > 0, counts * 0.02, np.nan), rtol=1e-6)
    assert scene.assumptions == ()


# --- NetCDF


def test_one_candidate_by_standard_name_wins_over_others_by_unit(tmp_path):
    path = small_nc(tmp_path / "a.nc", attrs={"units": "K", "standard_name": "surface_temperature"},
                  extra={"air": (KELVIN - 9, {"units": "K"})})  # fmt: skip
    np.testing.assert_array_equal(read(path).temperature, KELVIN)


def test_day_and_night_are_two_candidates_and_a_rule_decides(tmp_path):
    path = small_nc(
        tmp_path / "a.nc", name="LST_Day_1km", extra={"LST_Night_1km": (KELVIN - 9, {"units": "K"})}
    )
    with pytest.raises(
        UnusableInputError, match="may be the temperature: LST_Day_1km, LST_Night_1km; name one"
    ):
        read(path)
    np.testing.assert_array_equal(read(path, **rule(variable="LST_Night_1km")).temperature, KELVIN - 9)


@pytest.mark.parametrize("name", ["LST_uncertainty", "LST_err", "sses_bias", "quality_level", "LST_QC"])
def test_companions_of_a_temperature_are_no_candidates(name, tmp_path):
    path = small_nc(tmp_path / "a.nc", name="skin", extra={name: (KELVIN - 9, {"units": "K"})})
    np.testing.assert_array_equal(read(path).temperature, KELVIN)


def test_unsigned_counts_in_signed_numbers_are_undone(tmp_path):
    counts = np.round(KELVIN / 0.005).astype(np.uint16)  # all above 32767
    attrs = {"units": "K", "scale_factor": 0.005, "_Unsigned": "true", "_FillValue": np.int16(-1)}
    path = small_nc(tmp_path / "a.nc", data=counts.view(np.int16), attrs=attrs)
    np.testing.assert_allclose(read(path).temperature, counts * 0.005, rtol=1e-6)


@pytest.mark.parametrize("name", ["_FillValue", "_Fillvalue", "missing_value"])
def test_fill_values_are_found_under_every_spelling(name, tmp_path):
    counts = np.round(KELVIN / 0.02).astype(np.uint16)
    counts[2, 3] = 0
    path = small_nc(
        tmp_path / "a.nc", data=counts, attrs={"units": "K", "scale_factor": 0.02, name: np.uint16(0)}
    )
    np.testing.assert_array_equal(np.argwhere(np.isnan(read(path).temperature)), [[2, 3]])


def test_numbers_outside_the_valid_range_are_no_data(tmp_path):
    counts = np.round(KELVIN / 0.02).astype(np.int16)
    counts[2, 3], counts[4, 5] = 7499, 20001
    attrs = {"units": "K", "scale_factor": 0.02, "valid_range": np.array([7500, 20000], np.int16)}
    found = np.argwhere(np.isnan(read(small_nc(tmp_path / "a.nc", data=counts, attrs=attrs)).temperature))
    np.testing.assert_array_equal(found, [[2, 3], [4, 5]])


def test_a_valid_range_in_kelvin_on_packed_counts_is_meant_in_kelvin(tmp_path):
    counts = np.round(KELVIN / 0.02).astype(np.int16)
    attrs = {"units": "K", "scale_factor": 0.02, "valid_min": 200.0, "valid_max": 350.0}
    assert read(small_nc(tmp_path / "a.nc", data=counts, attrs=attrs)).valid_fraction == 1.0


def test_a_temperature_in_a_group_is_found(tmp_path):
    with netCDF4.Dataset(tmp_path / "a.h5", "w") as file:
        group = file.createGroup("SDS")
        group.createDimension("y", 8)
        group.createDimension("x", 9)
        variable = group.createVariable("LST", "f4", ("y", "x"))
        variable.units = "K"
        variable[:] = KELVIN
    scene = read(tmp_path / "a.h5")
    np.testing.assert_array_equal(scene.temperature, KELVIN)
    assert "no georeference" in scene.assumptions


def test_the_sensor_is_told_by_the_attributes_of_a_file(tmp_path):
    path = small_nc(tmp_path / "a.nc")
    with netCDF4.Dataset(path, "a") as file:
        file.platform, file.instrument = "Suomi-NPP", "VIIRS"
    scene = read(path)
    assert (scene.sensor.name, scene.facts["sensor"]) == ("VIIRS M-bands", "attributes")


# --- NPZ


@pytest.mark.parametrize("key", ["data", "temperature", "lst", "bt"])
def test_the_plain_keys_of_a_picture_are_known(key, tmp_path):
    np.savez(tmp_path / "a.npz", **{key: KELVIN})
    np.testing.assert_array_equal(read(tmp_path / "a.npz").temperature, KELVIN)


def test_a_rule_names_another_key(tmp_path):
    np.savez(tmp_path / "a.npz", skin=KELVIN)
    with pytest.raises(
        UnusableInputError, match="has none of the keys data, temperature, lst, bt; it has skin"
    ):
        read(tmp_path / "a.npz")
    np.testing.assert_array_equal(read(tmp_path / "a.npz", **rule(variable="skin")).temperature, KELVIN)


@pytest.mark.parametrize(("key", "flag"), [("mask", True), ("valid", False)])
def test_mask_is_true_where_there_is_no_data_and_valid_where_there_is(key, flag, tmp_path):
    flags = np.full(KELVIN.shape, not flag)
    flags[2, 3] = flag
    np.savez(tmp_path / "a.npz", data=KELVIN, **{key: flags})
    np.testing.assert_array_equal(np.argwhere(np.isnan(read(tmp_path / "a.npz").temperature)), [[2, 3]])


def test_sensor_quantity_and_time_come_from_their_keys_or_the_meta(tmp_path):
    np.savez(tmp_path / "a.npz", data=KELVIN, meta='{"sensor": "TIRS", "quantity": "brightness_temperature"}',
             time=np.datetime64("2024-05-10T21:44:50"))  # fmt: skip
    scene = read(tmp_path / "a.npz")
    assert (scene.sensor.name, scene.quantity) == ("Landsat 8 TIRS", "brightness_temperature")
    assert scene.ref.acquired == "2024-05-10T21:44:50Z"


def test_numbers_of_either_byte_order_are_the_same(tmp_path):
    np.savez(tmp_path / "a.npz", data=KELVIN.astype(">f4"))
    np.testing.assert_array_equal(read(tmp_path / "a.npz").temperature, KELVIN)


def test_a_constant_scene_compresses_well_and_is_no_bomb(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", data=np.full((1000, 1000), 300.0, np.float32))
    assert read(tmp_path / "a.npz").valid_fraction == 1.0

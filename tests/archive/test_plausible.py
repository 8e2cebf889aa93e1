"""What cannot be ground, sea or cloud-free does not pass for it: ranges, masks, flags, files cut short."""

import h5py
import netCDF4
import numpy as np
import pytest

from pipeline.archive.formats.cf_flags import unusable
from pipeline.archive.product_rules import check_rules
from pipeline.errors import UnusableInputError
from pipeline.settings import ProductRule
from tests.archive.finding import find, read, settings_for
from tests.archive.twins import UTM, landscape, write_tif

GROUND = landscape(40, 50).astype(np.float32)


def with_share(values, share, kelvin):
    """The first pixels replaced by another temperature."""
    changed = values.copy()
    changed.reshape(-1)[: int(share * changed.size)] = kelvin
    return changed


def jittered(share, kelvin):
    """As `with_share`, each pixel a little different."""
    changed = with_share(GROUND, share, kelvin)
    return changed + np.random.default_rng(0).random(changed.shape, dtype=np.float32)


def test_a_little_too_cold_is_no_data_and_told(tmp_path):
    scene = read(write_tif(tmp_path / "one.tif", jittered(0.005, 170), units="K"))
    assert (~scene.valid).sum() == 10
    assert "10 pixels below 180 K taken for no data" in scene.assumptions
    assert not any(words.startswith("alarm") for words in scene.assumptions)


def test_more_of_it_is_an_alarm_and_much_of_it_refused(tmp_path):
    scene = read(write_tif(tmp_path / "one.tif", jittered(0.1, 170), units="K"))
    assert "alarm: 10.0% of the valid pixels lay outside 180-360 K" in scene.assumptions
    much = write_tif(tmp_path / "much.tif", jittered(0.3, 170), units="K")
    with pytest.raises(UnusableInputError, match=r"30.0% of its valid pixels lie outside 180-360 K"):
        read(much)
    ranges = {"plausible": {"surface_k": (160, 360)}}
    assert read(much, **ranges).valid.all()


def test_fires_stay_on_land_and_not_in_the_sea(tmp_path):
    burning = jittered(0.005, 600)
    assert read(write_tif(tmp_path / "land.tif", burning, units="K")).valid.all()
    sea = (ProductRule(pattern="*", quantity="sea_surface_temperature"),)
    path = write_tif(tmp_path / "sea.tif", jittered(0.3, 380), units="K")
    with pytest.raises(UnusableInputError, match=r"outside 268-313 K, where a sea surface temperature"):
        read(path, products=sea)
    cooler = np.where(burning > 500, 600, 290 + burning % 5).astype(np.float32)
    scene = read(write_tif(tmp_path / "cool.tif", cooler, units="K"), products=sea)
    assert (~scene.valid).sum() == 10


def test_a_collar_of_one_temperature_is_no_data(tmp_path):
    scene = read(write_tif(tmp_path / "one.tif", with_share(GROUND, 0.15, 200.0), units="K"))
    assert (~scene.valid).sum() == 300
    assert "alarm: 15.0% of the valid pixels lay outside 180-360 K" in scene.assumptions


def test_a_flat_lake_is_no_collar(tmp_path):
    flat = np.clip(GROUND, np.quantile(GROUND, 0.3), None)
    assert read(write_tif(tmp_path / "one.tif", flat, units="K")).valid.all()


def test_a_rule_says_the_range(tmp_path):
    path = write_tif(tmp_path / "one.tif", GROUND, units="K")
    middle = float(np.median(GROUND))
    rule = ProductRule(pattern="*", valid_min_k=middle, valid_max_k=middle + 2)
    scene = read(path, products=(rule,))
    np.testing.assert_array_equal(scene.valid, (middle <= GROUND) & (middle + 2 >= GROUND))


LANDSAT = "LC08_L2SP_008059_20191201_20200825_02_T1_ST_B10.TIF"
ECOSTRESS = "ECOv002_L2T_LSTE_34366_004_11SPS_20240728T204025_0712_01_LST.tif"
MODIS = "MOD11A1.061_LST_Day_1km_doy2019305_aid0001.tif"


@pytest.mark.parametrize(
    ("name", "mask", "bad", "good"),
    [
        (LANDSAT, LANDSAT.replace("ST_B10", "QA_PIXEL"), (1, 2, 4, 8, 9, 22280), (0, 16, 21824, 128)),
        (ECOSTRESS, ECOSTRESS.replace("LST.tif", "cloud.tif"), (1,), (0,)),
        (ECOSTRESS, ECOSTRESS.replace("LST.tif", "QC.tif"), (2, 3, 15), (0, 1, 17)),
        (MODIS, MODIS.replace("LST_Day_1km", "QC_Day"), (2, 3, 66), (0, 1, 65)),
    ],
)
def test_a_quality_band_beside_a_scene_is_read(name, mask, bad, good, tmp_path):
    path = write_tif(tmp_path / name, GROUND, units="K")
    alone = find(path)
    numbers = np.resize(np.array([*bad, *good], dtype=np.uint16), GROUND.shape)
    write_tif(tmp_path / mask, numbers)
    ref = find(path)
    assert [part.rpartition("/")[2] for part in ref.files] == [name, mask]
    assert ref.digest != alone.digest
    scene = read(path)
    np.testing.assert_array_equal(scene.valid, np.isin(numbers, good))
    assert scene.facts["mask"] == f"{mask} beside it"


def test_a_mask_of_another_size_is_refused(tmp_path):
    path = write_tif(tmp_path / LANDSAT, GROUND, units="K")
    write_tif(tmp_path / LANDSAT.replace("ST_B10", "QA_PIXEL"), np.zeros((8, 8), np.uint16))
    with pytest.raises(UnusableInputError, match=r"its mask .*QA_PIXEL.TIF is \(8, 8\) pixels of uint16"):
        read(path)


def test_a_rule_names_a_mask_and_its_bits(tmp_path):
    path = write_tif(tmp_path / "one_lst.tif", GROUND, units="K")
    numbers = np.resize(np.arange(8, dtype=np.uint8), GROUND.shape)
    write_tif(tmp_path / "one_flags.tif", numbers)
    rule = ProductRule(pattern="*_lst.tif", mask=("_lst", "_flags"), mask_bits=(1,), mask_values=(4,))
    np.testing.assert_array_equal(read(path, products=(rule,)).valid, np.isin(numbers, (0, 1, 5)))
    check_rules(settings_for(path, products=(rule,)))


def abi(path, name, flags, **attrs):
    path = path / name
    variable = "LST" if "LST" in name else "CMI"
    with netCDF4.Dataset(path, "w") as file:
        for side, size in zip(("y", "x"), GROUND.shape, strict=True):
            file.createDimension(side, size)
        made = file.createVariable(variable, "f4", ("y", "x"))
        made.units = "K"
        made[:] = GROUND
        quality = file.createVariable("DQF", flags.dtype, ("y", "x"))
        quality.setncatts(attrs)
        quality[:] = flags
    return path


def test_the_flags_of_abi_land_surface_temperature_mean_what_their_file_says(tmp_path):
    flags = np.resize(np.array([0, 1, 2, 5, 16, 256], dtype=np.uint16), GROUND.shape)
    meanings = "valid_inputs invalid_due_to_not_clear degraded_view over_water cold_air"
    masks = np.array([1, 1, 4, 16, 256], dtype=np.uint16)
    values = np.array([0, 1, 4, 16, 256], dtype=np.uint16)
    path = abi(
        tmp_path, "OR_ABI-L2-LSTC-M6_G16_s20210011200000.nc", flags,
        flag_meanings=meanings, flag_masks=masks, flag_values=values,
    )  # fmt: skip
    scene = read(path)
    assert scene.quantity == "surface_temperature"
    np.testing.assert_array_equal(scene.valid, np.isin(flags, (0, 2, 16, 256)))


def test_flags_of_abi_brightness_count_also_without_words(tmp_path):
    flags = np.resize(np.arange(5, dtype=np.uint8), GROUND.shape)
    path = abi(tmp_path, "OR_ABI-L2-CMIPF-M6C13_G16_s20210011200000.nc", flags)
    np.testing.assert_array_equal(read(path).valid, flags < 2)
    words = "good_pixel_qf conditionally_usable_pixel_qf out_of_range_pixel_qf no_value_pixel_qf bad_qf"
    told = unusable(flags, {"flag_meanings": words, "flag_values": np.arange(5, dtype=np.uint8)})
    np.testing.assert_array_equal(told, flags >= 2)


@pytest.mark.parametrize(
    "attrs",
    [
        {},
        {"flag_meanings": "good bad"},
        {"flag_meanings": "good bad", "flag_values": np.zeros(3, np.uint8)},
        {"flag_meanings": "x " * 300, "flag_values": np.arange(300)},
        {"flag_meanings": "good bad", "flag_masks": np.array([0.5, 1.5])},
    ],
)
def test_flags_without_meanings_say_nothing(attrs):
    assert unusable(np.zeros((2, 2), np.uint8), attrs) is None


def test_the_quality_of_viirs_tiles_is_read(tmp_path):
    path = tmp_path / "VNP21A1D.A2021001.h09v05.002.h5"
    quality = np.resize(np.array([0, 1, 2, 3, 64, 66], dtype=np.uint16), GROUND.shape)
    with h5py.File(path, "w") as file:
        fields = file.create_group("HDFEOS/SWATHS/VIIRS/Data Fields")
        fields.create_dataset("LST_1KM", data=GROUND).attrs["units"] = "K"
        fields.create_dataset("QC", data=quality)
    np.testing.assert_array_equal(read(path).valid, quality & 3 < 2)


@pytest.mark.parametrize("form", ["NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA"])
@pytest.mark.parametrize("unlimited", [True, False])
def test_a_classic_netcdf_cut_short_is_refused_and_a_whole_one_is_read(form, unlimited, tmp_path):
    path = tmp_path / "one.nc"
    with netCDF4.Dataset(path, "w", format=form) as file:
        file.title = "a title"
        for side, size in (("time", None if unlimited else 1), ("y", 40), ("x", 50)):
            file.createDimension(side, size)
        for name, kind in (("time", "f8"), ("LST", "f4")):
            sides = ("time", "y", "x") if name == "LST" else ("time",)
            file.createVariable(name, kind, sides)
        file["time"].units, file["LST"].units = "seconds since 2020-01-01", "K"
        file["time"][0], file["LST"][0] = 1, GROUND
    assert read(path).valid.all()
    content = path.read_bytes()
    path.write_bytes(content[:-4000])
    with pytest.raises(UnusableInputError, match=rf"is cut short: .*the file has {len(content) - 4000}"):
        read(path)


@pytest.mark.parametrize("missing", [1, 20, 150])
def test_a_geotiff_that_was_cut_behind_its_pixels_is_refused(missing, tmp_path):
    path = write_tif(tmp_path / "one.tif", GROUND, units="K")
    content = path.read_bytes()
    path.write_bytes(content[:-missing])
    with pytest.raises(UnusableInputError, match=rf"is cut short: .*the file has {len(content) - missing}"):
        read(path)


def test_a_crs_without_a_transform_asks_for_one(tmp_path):
    path = tmp_path / "one.npz"
    np.savez(path, data=GROUND, units="K")
    rule = ProductRule(pattern="*", crs="EPSG:32611")
    with pytest.raises(UnusableInputError, match=r"gives a crs, but nothing gives a transform; add it there"):
        read(path, products=(rule,))
    placed = rule.model_copy(update={"transform": tuple(float(term) for term in tuple(UTM)[:6])})
    scene = read(path, products=(placed,))
    assert scene.grid.transform == UTM
    assert scene.facts["transform"] == "[[archive.products]] *"


def test_a_transform_may_be_said_alone(tmp_path):
    path = tmp_path / "one.npz"
    np.savez(path, data=GROUND, units="K", crs="EPSG:4326")
    placed = ProductRule(pattern="*", transform=(0.1, 0.0, 10.0, 0.0, -0.1, 50.0))
    assert read(path, products=(placed,)).grid.transform.c == 10.0

"""What a product says of its own pixels: clouds and errors, by flag, uncertainty and a person's rule."""

import numpy as np
import pytest

from pipeline.archive.product_rules import rule_identity
from pipeline.errors import UnusableInputError
from pipeline.settings import ProductRule
from tests.archive.finding import find, read, settings_for
from tests.archive.twins import LAT, LON, degrees, landscape, write_nc, write_tif

GROUND = landscape(40, 50).astype(np.float32)
LANDSAT = "LC08_L2SP_008059_20191201_20200825_02_T1_ST_B10.TIF"
ECOSTRESS = "ECOv002_L2T_LSTE_34366_004_11SPS_20240728T204025_0712_01_LST.tif"
CAREFUL = ProductRule(pattern="*", most_uncertain_k=2.0)


def spread(*numbers, kind):
    """Some numbers over all pixels."""
    return np.resize(np.array(numbers, dtype=kind), GROUND.shape)


def grid_nc(path, name, data=GROUND, **extra):
    rows, columns = ("lat", degrees(40, 40.0, -0.01), LAT), ("lon", degrees(50, 5.0, 0.01), LON)
    attrs = {"units": "K"}
    return write_nc(path, data, rows=rows, columns=columns, attrs=attrs, extra=extra, name=name)


@pytest.mark.parametrize(
    ("name", "beside", "numbers"),
    [
        (LANDSAT, "ST_QA", spread(-9999, 0, 150, 200, 201, 900, kind=np.int16)),
        (ECOSTRESS, "LST_err", spread(np.nan, 0, 1.5, 2.0, 2.1, 9, kind=np.float32)),
    ],
)
def test_pixels_that_their_product_calls_more_uncertain_than_a_rule_allows_are_no_data(
    name, beside, numbers, tmp_path
):
    path = write_tif(tmp_path / name, GROUND, units="K")
    alone = find(path)
    write_tif(tmp_path / name.replace("ST_B10", beside).replace("_LST.", f"_{beside}."), numbers)
    assert find(path).digest == alone.digest  # no pixel depends on it unless a rule says so
    assert read(path).valid.all()
    scene = read(path, products=(CAREFUL,))
    np.testing.assert_array_equal(
        scene.valid, np.resize([False, True, True, True, False, False], GROUND.shape)
    )
    assert scene.facts["mask"] == "[[archive.products]] *, most_uncertain_k 2"
    assert find(path, products=(CAREFUL,)).digest != alone.digest


def test_an_uncertainty_that_is_not_there_is_asked_for(tmp_path):
    path = write_tif(tmp_path / LANDSAT, GROUND, units="K")
    with pytest.raises(
        UnusableInputError, match="most_uncertain_k wants the ST_QA or LST_err of its product"
    ):
        read(path, products=(CAREFUL,))
    path = grid_nc(tmp_path / "one.nc", "LST")
    with pytest.raises(UnusableInputError, match="most_uncertain_k wants one of LST_uncertainty, LST_err"):
        read(path, products=(CAREFUL,))


def test_the_uncertainty_in_a_netcdf_counts_in_kelvin(tmp_path):
    packed = spread(0, 100, 101, -1, kind=np.int16)
    told = {"scale_factor": 0.02, "_FillValue": np.int16(-1), "units": "K"}
    path = grid_nc(tmp_path / "one.nc", "LST", LST_uncertainty=(packed, told))
    assert read(path).valid.all()
    np.testing.assert_array_equal(
        read(path, products=(CAREFUL,)).valid, np.resize([True, True, False, False], GROUND.shape)
    )


@pytest.mark.parametrize(
    ("flags", "clear"),
    [
        ({"bayes_in": (0, 1, 2, 3, 4)}, (1, 1, 0, 0, 1)),
        ({"confidence_in": (0, 8, 16384, 16392, 1024)}, (1, 1, 0, 0, 1)),
        ({"bayes_in": (0, 2, 0, 2, 0), "confidence_in": (16384, 0, 0, 0, 16384)}, (1, 0, 1, 0, 1)),
    ],
)
def test_clouds_over_land_are_no_data_of_slstr(flags, clear, tmp_path):
    extra = {name: (spread(*numbers, kind=np.uint16), {}) for name, numbers in flags.items()}
    path = grid_nc(tmp_path / "S3A_SL_2_LST____20240521T101500_grid.nc", "LST", **extra)
    np.testing.assert_array_equal(read(path).valid, np.resize(np.array(clear, bool), GROUND.shape))


def test_sea_of_low_quality_is_no_data_of_slstr(tmp_path):
    quality = spread(0, 1, 2, 5, kind=np.int8)
    path = grid_nc(
        tmp_path / "S3A_SL_2_WST____20240521T101500_grid.nc",
        "sea_surface_temperature",
        landscape(40, 50, low_k=280.0, high_k=300.0).astype(np.float32),
        quality_level=(quality, {}),
    )
    np.testing.assert_array_equal(read(path).valid, quality >= 2)


@pytest.mark.parametrize(
    ("name", "beside"),
    [
        (
            "ECO_L2_LSTE.002_LST_doy2023205231732_aid0001.tif",
            "ECO_L2_LSTE.002_QC_doy2023205231732_aid0001.tif",
        ),
        (
            "ECO2LSTE.001_SDS_LST_doy2019278182133_aid0001.tif",
            "ECO2LSTE.001_SDS_QC_doy2019278182133_aid0001.tif",
        ),
        ("VNP21A1D.002_LST_1KM_doy2023001_aid0001.tif", "VNP21A1D.002_QC_doy2023001_aid0001.tif"),
    ],
)
def test_the_quality_of_a_subset_is_read_beside_it(name, beside, tmp_path):
    path = write_tif(tmp_path / name, GROUND, units="K")
    write_tif(tmp_path / beside, spread(0, 1, 2, 3, 67, 65, kind=np.uint16))
    scene = read(path)
    np.testing.assert_array_equal(
        scene.valid, np.resize([True, True, False, False, False, True], GROUND.shape)
    )
    assert scene.facts["mask"] == f"{beside} beside it"


def test_a_rule_names_the_mask_in_a_netcdf_and_its_bits(tmp_path):
    flags = spread(0, 1, 2, 3, 4, 6, kind=np.uint8)
    path = grid_nc(tmp_path / "one.nc", "LST", LST_flags=(flags, {}))
    rule = ProductRule(pattern="*", mask=("LST", "LST_flags"), mask_bits=(1,), mask_values=(4,))
    assert read(path).valid.all()
    np.testing.assert_array_equal(read(path, products=(rule,)).valid, np.isin(flags, (0, 1)))
    other = rule.model_copy(update={"mask": ("LST", "clouds")})
    with pytest.raises(UnusableInputError, match="has no clouds of its picture's size to mask it by"):
        read(path, products=(other,))
    assert (
        len({rule_identity(path, settings_for(path, products=(each,))) for each in (rule, other, CAREFUL)})
        == 3
    )

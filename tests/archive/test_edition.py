"""Day or night, level, collection and version: each mission's name, the file's words, and the sun."""

import netCDF4
import numpy as np
import pytest
from affine import Affine
from pyproj import CRS

from pipeline.archive.edition import edition_of
from pipeline.figures import EDITION
from pipeline.grid import Grid
from tests.archive.finding import read
from tests.archive.twins import TWINS, landscape, small_nc, write_tif

NOWHERE = Grid(None, None, 8, 9)


def told(stem, variable="band 1", words=None):
    return edition_of(stem, variable, words or {}, NOWHERE, None)[0]


@pytest.mark.parametrize(
    ("stem", "level", "collection", "version", "day_or_night"),
    [
        ("ECOv002_L2T_LSTE_34366_004_11SPS_20240728T204025_0712_01_LST", "L2T", "002", "0712_01", None),
        ("ECO_L2_LSTE.002_LST_doy2023183080644_aid0001", "L2", "002", None, None),
        ("ECO2LSTE.001_SDS_LST_doy2019278182133_NYC", "L2", "001", None, None),
        ("LC08_L2SP_008059_20191201_20200825_02_T1_ST_B10", "L2SP", "02_T1", None, None),
        ("MOD11A1.A2019305.h14v09.006_LST_Night_1km", "L3", "006", None, "night"),
        ("MYD11A1.061_LST_Day_1km_doy2020001_aid0001", "L3", "061", None, "day"),
        ("MOD11_L2.A2019305.0150.061", "L2", "061", None, None),
        ("VNP21A1D.A2020001.h08v05.002", "L3", "002", None, "day"),
        ("S3A_SL_2_LST____20190810T101112_x", "L2", None, None, None),
        ("OR_ABI-L2-CMIPC-M6C13_G16_s20200011801", "L2", None, None, None),
        ("20190805135001-JPL-L2P_GHRSST-SSTskin-MODIS_T-N-v02.0-fv01.0", "L2P", None, "01.0", "night"),
        ("20200101090000-JPL-L4_GHRSST-SSTfnd-MUR-GLOB-v02.0-fv04.1", "L4", None, "04.1", None),
        ("field_day_3", None, None, None, None),
    ],
)
def test_a_mission_s_name_tells_its_edition(stem, level, collection, version, day_or_night):
    wanted = zip(EDITION, (day_or_night, level, collection, version), strict=True)
    assert told(stem) == {name: value for name, value in wanted if value is not None}


def test_the_words_in_a_file_tell_what_its_name_does_not():
    words = {"processing_level": "NASA L2", "product_version": "2014.0", "DayNightFlag": "Night"}
    assert told("scene", words=words) == {
        "source_level": "L2",
        "source_version": "2014.0",
        "day_or_night": "night",
    }
    assert told("scene", words={"DayNightFlag": "Both", "processing_level": "raw", "build_id": ""}) == {}
    assert told("scene", "LST_Day_1km") == {"day_or_night": "day"}
    assert told("scene", "LST Daily nighttime temperature") == {"day_or_night": "night"}
    mtl = {"DATA_TYPE": "L1TP", "COLLECTION_NUMBER": "01"}
    assert told("LE07_039028_20100702_B6_VCID_1", words=mtl) == {
        "source_level": "L1TP",
        "source_collection": "01",
    }


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [("20240728T204025", "day"), ("20240728T084025", "night"), ("20240728", None)],
)
def test_the_sun_tells_day_or_night_where_the_file_does_not(tmp_path, stamp, expected):
    path = write_tif(tmp_path / f"scene_{stamp}.tif", landscape(8, 9).astype(np.float32), units="K")
    scene = read(path)  # in California
    assert scene.edition.get("day_or_night") == expected
    assert scene.facts.get("day_or_night") == ("elevation of the sun" if expected else None)


def test_a_scene_that_lies_on_both_sides_of_the_horizon_is_neither():
    half = Grid(CRS.from_epsg(4326).to_wkt(), Affine(1, 0, -90, 0, -1, 45), 90, 180)
    assert edition_of("scene", "", {}, half, "2024-03-20T12:00:00Z")[0] == {}  # 90 W to 90 E at noon
    dusk = Grid(CRS.from_epsg(4326).to_wkt(), Affine(1, 0, 60, 0, -1, 45), 90, 60)
    assert edition_of("scene", "", {}, dusk, "2024-03-20T12:00:00Z")[0] == {}
    assert edition_of("scene", "", {}, dusk, "2024-03-20T19:00:00Z")[0] == {"day_or_night": "night"}


def test_readers_hand_over_the_words_of_their_files(tmp_path):
    path, _ = TWINS["landsat_l1"](tmp_path)
    mtl = next(tmp_path.glob("*_MTL.txt"))
    mtl.write_text(mtl.read_text().replace("DATE_ACQUIRED", 'DATA_TYPE = "L1T"\n    DATE_ACQUIRED'))
    assert (read(path).edition["source_level"], read(path).facts["source_level"]) == ("L1T", "DATA_TYPE")
    tagged = write_tif(
        tmp_path / "a.tif", landscape(8, 9).astype(np.float32), units="K", tags={"build_id": "0710"}
    )
    assert read(tagged).edition == {"source_version": "0710"}
    packed = small_nc(tmp_path / "b.nc")
    with netCDF4.Dataset(packed, "a") as file:
        file.processing_level = "L3C"
        file.product_version = "2<script>\n"
    assert read(packed).edition == {"source_level": "L3C", "source_version": "2<script>"}

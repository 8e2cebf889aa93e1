"""What file names tell."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.archive.names import acquired_in_name, landsat_name, parse_time, scene_id


@pytest.mark.parametrize(
    ("name", "acquired"),
    [
        ("LC08_L2SP_008059_20191201_20200825_02_T1_ST_B10", ("2019-12-01T00:00:00Z", False)),
        ("LC80400282014193LGN00_B10_crop", ("2014-07-12T00:00:00Z", False)),
        ("LE07_039028_20100702_B6_VCID_1_crop", ("2010-07-02T00:00:00Z", False)),
        ("LT05_CU_001001_20060706_20210502_02_ST_B6", ("2006-07-06T00:00:00Z", False)),
        ("ECO_L2_LSTE.002_LST_doy2023183080644_aid0001", ("2023-07-02T08:06:44Z", True)),
        ("ECOv002_L2T_LSTE_34366_004_11SPS_20240728T204025_0712_01_LST", ("2024-07-28T20:40:25Z", True)),
        ("MOD11A1.A2019305.h14v09.006_LST_Day_1km", ("2019-11-01T00:00:00Z", False)),
        ("VNP21.A2019305.1148.001", ("2019-11-01T11:48:00Z", True)),
        ("OR_ABI-L2-CMIPM2-M3C01_G16_s20172661340312_e20172661340369", ("2017-09-23T13:40:31Z", True)),
        ("G16_ABI_C08_6.2um_BT_K_20170711T1817_crop1024_geos", ("2017-07-11T18:17:00Z", True)),
        ("20240510090000-JPL-L3S_GHRSST-SSTskin", ("2024-05-10T09:00:00Z", True)),
        ("scene_2024-05-10T21:44:50", ("2024-05-10T21:44:50Z", True)),
        ("scene_2024-05-10", ("2024-05-10T00:00:00Z", False)),
        ("AST_08_00307062005183512_20240510", ("2024-05-10T00:00:00Z", False)),
        ("ECOSTRESS_LA_2023205_CFpacked", ("2023-07-24T00:00:00Z", False)),
        ("scene_20230231", None),
        ("scene_2023366T000000", None),
        ("scene_99991231", None),
        ("crop512", None),
        ("1234567890123456789012", None),
    ],
)  # fmt: skip
def test_the_time_in_a_name_is_understood(name, acquired):
    assert acquired_in_name(name) == acquired


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2024-05-10T21:44:50Z", "2024-05-10T21:44:50Z"),
        ("2024-05-10T23:44:50+02:00", "2024-05-10T21:44:50Z"),
        ("20190805T135001Z", "2019-08-05T13:50:01Z"),
        ("2017-09-23T13:40:31.2Z", "2017-09-23T13:40:31Z"),
        ("21-MAY-2024 21:59:06.433140", "2024-05-21T21:59:06Z"),
        ("2024:05:10 21:44:50", "2024-05-10T21:44:50Z"),
        ("2024-05-10", "2024-05-10T00:00:00Z"),
        ("0001-01-01T00:00:00Z", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_a_time_in_text_is_understood(text, time):
    assert parse_time(text) == time


def test_old_and_new_landsat_names_of_one_scene_are_the_same():
    assert landsat_name("LC80400282014193LGN00_B10.TIF") == landsat_name(
        "LC08_L1TP_040028_20140712_20170304_01_T1_MTL.txt"
    )


@given(st.text(max_size=300), st.text("0123456789abcdef", min_size=64, max_size=64))
def test_a_scene_id_is_always_a_safe_file_name(stem, digest):
    made = scene_id(stem, digest)
    assert 1 <= len(made) <= 128
    assert made.isascii()
    assert made[0] not in ".-"
    assert not set(made) & set("/\\ \0\n\t:*?\"'<>|$;&`")
    assert made.endswith(f"-{digest[:8]}")


@given(st.text(max_size=60))
def test_no_name_breaks_the_search_for_a_time(name):
    found = acquired_in_name(name)
    assert found is None or parse_time(found[0]) == found[0]

"""Every scene once, whatever its name; nothing half-written, hidden, or outside the archive."""

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from pipeline.archive.discover import discover
from pipeline.archive.walk import LINKED_FOLDER
from pipeline.errors import SettingsError
from pipeline.settings import ArchiveSettings, ProductRule
from tests.archive.finding import settings_for
from tests.archive.twins import MTL, TWINS, landscape, write_tif


def picture(path, seed=0):
    """A small scene whose content depends on the seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kelvin = landscape(8, 9) + np.random.default_rng(seed).normal(0, 0.1, (8, 9))
    return write_tif(path, kelvin.astype(np.float32), units="K")


def names(found, root):
    return [str(Path(ref.files[0]).relative_to(root)) for ref in found.scenes]


def set_age(path, age_s):
    moment = time.time() - age_s
    os.utime(path, (moment, moment))


def test_scenes_are_found_in_every_folder_in_the_order_of_their_paths(tmp_path):
    for index, name in enumerate(("b/two.tif", "a/deep/one.TIF", "c.tiff")):
        picture(tmp_path / name, index)
    (tmp_path / "notes.txt").write_text("no scene")
    found = discover(settings_for(tmp_path))
    assert names(found, tmp_path) == ["a/deep/one.TIF", "b/two.tif", "c.tiff"]
    assert found.refused == found.waiting == found.duplicates == []


def test_a_single_file_is_an_archive_too_however_young(tmp_path):
    path = picture(tmp_path / "one.tif")
    picture(tmp_path / "two.tif", 2)
    found = discover(ArchiveSettings(root=path))
    assert [ref.files for ref in found.scenes] == [(str(path),)]


def test_an_archive_that_does_not_exist_is_a_wrong_setting(tmp_path):
    with pytest.raises(SettingsError, match=r"archive\.root .*nowhere does not exist"):
        discover(settings_for(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"pattern": "/data/*.tif"}, "'/data/.*: the path below the archive root is wanted, without a slash"),
        (
            {"sensor": "TIRS-3"},
            r"\[\[archive\.products\]\] '\*': sensor: no sensor 'TIRS-3'; known: TIRS, TIRS-2",
        ),
        ({"units": "furlong"}, r"\[\[archive\.products\]\] '\*': units: .* found 'furlong'"),
        ({"crs": "EPSG:99999999"}, r"\[\[archive\.products\]\] '\*': crs: .*99999999' is not understood"),
    ],
)
def test_a_rule_that_can_never_work_is_a_wrong_setting_and_no_fault_of_the_files(told, message, tmp_path):
    rules = (ProductRule(**{"pattern": "*", **told}),)
    with pytest.raises(SettingsError, match=message):
        discover(settings_for(tmp_path, products=rules))


@pytest.mark.parametrize("age_s", [0, 100, -100])
def test_a_young_file_waits(age_s, tmp_path):
    set_age(picture(tmp_path / "one.tif"), age_s)
    found = discover(ArchiveSettings(root=tmp_path, settle_s=200))
    assert found.scenes == []
    assert "200 s of rest are wanted" in found.waiting[0][1]


@pytest.mark.parametrize("age_s", [201, 1e7, -201, -1e9])
def test_a_settled_file_is_taken_even_where_another_clock_runs_ahead(age_s, tmp_path):
    set_age(picture(tmp_path / "one.tif"), age_s)
    assert len(discover(ArchiveSettings(root=tmp_path, settle_s=200)).scenes) == 1


@pytest.mark.parametrize("end", [".part", ".tmp", ".filepart", ".crdownload", "~", ".PART"])
def test_a_file_that_says_it_is_being_written_waits(end, tmp_path):
    picture(tmp_path / "one.tif").rename(tmp_path / f"one.tif{end}")
    found = discover(settings_for(tmp_path))
    assert found.scenes == []
    assert found.waiting == [
        (str(tmp_path / f"one.tif{end}"), "its name says that it is still being written")
    ]


def test_hidden_files_and_folders_are_passed_over_in_silence(tmp_path):
    picture(tmp_path / ".hidden.tif")
    picture(tmp_path / ".tmp-scene" / "one.tif", 1)
    found = discover(settings_for(tmp_path))
    assert (found.scenes, found.refused, found.waiting) == ([], [], [])


def test_our_own_products_are_no_input(tmp_path):
    picture(tmp_path / "product" / "scene_x4.tif")
    (tmp_path / "product" / "scene_x4.zarr").mkdir()
    (tmp_path / "product" / "MANIFEST.json").write_text("{}")
    assert discover(settings_for(tmp_path)).scenes == []


def test_one_content_under_ten_names_is_one_scene_the_first_by_name(tmp_path):
    first = picture(tmp_path / "a0.tif")
    for index in range(1, 10):
        shutil.copy(first, tmp_path / f"a{index}.tif")
    found = discover(settings_for(tmp_path))
    assert names(found, tmp_path) == ["a0.tif"]
    assert found.duplicates == [(str(tmp_path / f"a{index}.tif"), str(first)) for index in range(1, 10)]


def test_ten_contents_under_one_name_are_ten_scenes_with_ids_of_their_own(tmp_path):
    for index in range(10):
        picture(tmp_path / str(index) / "same.tif", index)
    found = discover(settings_for(tmp_path))
    assert len({ref.scene_id for ref in found.scenes}) == 10


def test_the_digest_is_that_of_the_content_alone(tmp_path):
    first = picture(tmp_path / "one" / "a.tif")
    (tmp_path / "two").mkdir()
    shutil.copy(first, tmp_path / "two" / "b.tif")
    digests = [discover(settings_for(tmp_path / name)).scenes[0].digest for name in ("one", "two")]
    assert digests[0] == digests[1]
    assert len(digests[0]) == 64


def test_an_mtl_is_a_companion_and_part_of_the_content(tmp_path):
    path, _ = TWINS["landsat_l1"](tmp_path)
    before = discover(settings_for(tmp_path)).scenes[0]
    assert before.files == (str(path), str(tmp_path / "LC80400282014193LGN00_MTL.txt"))
    (tmp_path / "LC80400282014193LGN00_MTL.txt").write_text(MTL.replace("3.3420E-04", "3.3421E-04"))
    assert discover(settings_for(tmp_path)).scenes[0].digest != before.digest


def test_a_companion_is_found_by_the_scene_whatever_the_names(tmp_path):
    path, _ = TWINS["landsat_l1"](tmp_path)
    for name in (
        "LC08_L1TP_040028_20140712_20170304_01_T1_MTL.txt",
        "LC08_L1TP_040029_20140712_20170304_01_T1_MTL.txt",
    ):
        (tmp_path / name).write_text(MTL)
    new = path.rename(tmp_path / "LC08_L1TP_040028_20140712_20170304_01_T1_B10.TIF")
    assert (
        discover(settings_for(tmp_path))
        .scenes[0]
        .files[1]
        .endswith("LC08_L1TP_040028_20140712_20170304_01_T1_MTL.txt")
    )
    (tmp_path / "LC08_L1TP_040028_20140712_20170304_01_T1_MTL.txt").unlink()
    files = discover(settings_for(tmp_path)).scenes[0].files
    assert files == (str(new), str(tmp_path / "LC80400282014193LGN00_MTL.txt"))


def test_a_scene_waits_for_its_companion_to_settle(tmp_path):
    path, _ = TWINS["landsat_l1"](tmp_path)
    set_age(path, 1000)
    found = discover(ArchiveSettings(root=tmp_path, settle_s=200))
    assert found.scenes == []
    assert "LC80400282014193LGN00_MTL.txt: changed 0 s ago" in found.waiting[0][1]


def test_of_an_ecostress_tile_only_the_newest_build_counts(tmp_path):
    stem = "ECOv002_L2T_LSTE_34366_004_11SPS_20240728T204025"
    for seed, edition in enumerate(("0712_01", "0712_02", "0711_09")):
        picture(tmp_path / f"{stem}_{edition}_LST.tif", seed)
    other = picture(tmp_path / f"{stem.replace('11SPS', '11SPT')}_0710_01_LST.tif", 9)
    found = discover(settings_for(tmp_path))
    newest = tmp_path / f"{stem}_0712_02_LST.tif"
    assert [ref.files[0] for ref in found.scenes] == [str(newest), str(other)]
    assert found.duplicates == []
    assert found.left_out == [
        (str(tmp_path / f"{stem}_{edition}_LST.tif"), f"an older edition of {newest.name}")
        for edition in ("0711_09", "0712_01")
    ]


@pytest.mark.parametrize(
    ("since", "until", "taken"),
    [
        (None, None, ["20200101", "20210615", "20230301", "undated"]),
        ("2021-06-15", None, ["20210615", "20230301", "undated"]),
        (None, "2021-06-15", ["20200101", "20210615", "undated"]),
        ("2021-01-01", "2021-12-31", ["20210615", "undated"]),
    ],
)
def test_a_period_takes_the_scenes_of_its_days_and_the_undated(since, until, taken, tmp_path):
    for seed, day in enumerate(("20200101", "20210615", "20230301", "undated")):
        picture(tmp_path / f"scene_{day}.tif", seed)
    found = discover(settings_for(tmp_path, since=since, until=until))
    assert names(found, tmp_path) == [f"scene_{day}.tif" for day in taken]
    assert len(found.scenes) + len(found.left_out) == 4


def test_a_scene_outside_the_period_is_listed_with_the_bound_that_leaves_it_out(tmp_path):
    for seed, day in enumerate(("20200101", "20210615", "20230301")):
        picture(tmp_path / f"scene_{day}.tif", seed)
    found = discover(settings_for(tmp_path, since="2021-01-01", until="2021-12-31"))
    assert found.left_out == [
        (str(tmp_path / "scene_20200101.tif"), "acquired 2020-01-01, before archive.since 2021-01-01"),
        (str(tmp_path / "scene_20230301.tif"), "acquired 2023-03-01, after archive.until 2021-12-31"),
    ]


def test_of_two_unreadable_files_of_one_name_and_content_the_second_is_a_duplicate(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "broken.tif").write_bytes(b"no picture")
    found = discover(settings_for(tmp_path))
    assert [ref.files for ref, _ in found.refused] == [(str(tmp_path / "a" / "broken.tif"),)]
    assert found.duplicates == [(str(tmp_path / "b" / "broken.tif"), str(tmp_path / "a" / "broken.tif"))]


def test_every_file_with_the_name_of_a_scene_is_in_exactly_one_list(tmp_path):
    stem = "ECOv002_L2T_LSTE_34366_004_11SPS_20240728T204025"
    for seed, edition in enumerate(("0712_01", "0712_02")):
        picture(tmp_path / f"{stem}_{edition}_LST.tif", seed)
    picture(tmp_path / f"{stem}_0712_02_cloud.tif", 2)
    picture(tmp_path / "old" / "scene_20200101.tif", 3)
    for folder in ("b", "c"):
        picture(tmp_path / folder / "same.tif", 4)
        (tmp_path / folder / "broken.nc").write_bytes(b"no picture")
        (tmp_path / folder / "broken.hdf").write_bytes(b"\x0e\x03\x13\x01 HDF4")
    picture(tmp_path / "new.tif", 5).rename(tmp_path / "new.tif.part")
    set_age(picture(tmp_path / "young.tif", 6), 0)
    (tmp_path / "nowhere.tif").symlink_to(tmp_path / "gone.tif")
    os.mkfifo(tmp_path / "pipe.tif")
    wanted = sorted(str(path) for path in tmp_path.rglob("*") if not path.is_dir())
    for path in wanted:
        if "young" not in path and "nowhere" not in path:
            set_age(path, 1000)
    found = discover(ArchiveSettings(root=tmp_path, settle_s=200, since="2021-01-01"))
    listed = [ref.files[0] for ref in found.scenes] + [ref.files[0] for ref, _ in found.refused]
    listed += [path for path, _ in [*found.waiting, *found.duplicates, *found.left_out]]
    assert sorted(listed) == wanted
    assert all((found.scenes, found.refused, found.waiting, found.duplicates, found.left_out))


@pytest.mark.parametrize("day", ["20210615", "June", "2021-6-15", "2021-06-15T00:00:00Z"])
def test_a_period_bounded_by_no_date_is_a_wrong_setting(day, tmp_path):
    with pytest.raises(SettingsError, match=r"archive\.until: a date \(YYYY-MM-DD\) is wanted, found"):
        discover(settings_for(tmp_path, until=day))


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("ECOv002_L2T_LSTE_34366_004_11SPS_20240728T204025_0712_01_cloud.tif", "cloud"),
        ("ECOv002_L2T_LSTE_34366_004_11SPS_20240728T204025_0712_01_LST_err.tif", "LST_err"),
        ("ECOv002_L2T_LSTE_34366_004_11SPS_20240728T204025_0712_01_EmisWB.tif", "EmisWB"),
        ("ECOv002_L2T_STARS_11SPS_20240728T204025_0712_01_NDVI.tif", "NDVI"),
        ("ECO_L2_LSTE.002_QC_doy2023183080644_aid0001.tif", "QC"),
        ("ECO_L2_LSTE.002_LST_err_doy2023183080644_aid0001.tif", "LST_err"),
        ("LC08_L2SP_008059_20191201_20200825_02_T1_ST_QA.TIF", "ST_QA"),
        ("LC08_L2SP_008059_20191201_20200825_02_T1_QA_PIXEL.TIF", "QA_PIXEL"),
        ("LC08_L2SP_008059_20191201_20200825_02_T1_SR_B4.TIF", "SR_B4"),
        ("LC08_L1TP_008059_20191201_20200825_02_T1_B4.TIF", "B4"),
        ("LC80400282014193LGN00_BQA.TIF", "BQA"),
        ("MOD11A1.A2019305.h14v09.006_QC_Day.tif", "QC_Day"),
        ("MOD11A1.061_Emis_31_doy2019305_aid0001.tif", "Emis_31"),
        ("VNP21A1D.001_QC_doy2019305_aid0001.tif", "QC"),
    ],
)
def test_a_layer_beside_a_temperature_is_refused_by_its_name(name, layer, tmp_path):
    picture(tmp_path / name)
    found = discover(settings_for(tmp_path))
    assert found.scenes == []
    assert found.refused[0][1] == f"is no temperature: it holds the layer {layer} of its product"


@pytest.mark.parametrize(
    "name",
    [
        "ECO_L2_LSTE.002_LST_doy2023183080644_aid0001.tif",
        "ECO2LSTE.001_SDS_LST_doy2019305120000_aid0001.tif",
        "MOD11A1.061_LST_Day_1km_doy2019305_aid0001.tif",
        "VNP21A1D.001_LST_1KM_doy2019305_aid0001.tif",
        "LT05_CU_001001_20060706_20210502_02_ST_B6.TIF",
        "LE07_L1TP_039028_20100702_20160915_01_T1_B6_VCID_1.TIF",
        "water_temperature.tif",
        "cloud_free_lst.tif",
    ],
)
def test_a_temperature_is_no_layer_beside_one(name, tmp_path):
    picture(tmp_path / name)
    assert discover(settings_for(tmp_path)).refused == []


def test_a_rule_is_believed_against_a_layer_name(tmp_path):
    picture(tmp_path / "LC08_L2SP_008059_20191201_20200825_02_T1_ST_TRAD.TIF")
    rules = (ProductRule(pattern="*ST_TRAD*", units="K"),)
    assert len(discover(settings_for(tmp_path, products=rules)).scenes) == 1


def test_unchanged_files_are_not_read_again(tmp_path):
    path = picture(tmp_path / "one.tif")
    known = discover(settings_for(tmp_path)).known
    size, mtime_ns, _, _, reader = known[str(path)]
    told = discover(settings_for(tmp_path), known={str(path): (size, mtime_ns, "ab" * 32, None, reader)})
    assert told.scenes[0].digest == "ab" * 32
    younger = {str(path): (size, mtime_ns - 1, "ab" * 32, None, reader)}
    changed = discover(settings_for(tmp_path), known=younger)
    assert changed.known == known


def test_a_link_out_of_the_archive_is_not_followed_and_one_inside_is(tmp_path):
    outside = picture(tmp_path / "outside" / "secret.tif")
    archive = tmp_path / "archive"
    inside = picture(archive / "real.tif", 1)
    (archive / "escape.tif").symlink_to(outside)
    (archive / "alias.tif").symlink_to(inside)
    found = discover(settings_for(archive))
    assert [ref.files[0] for ref in found.scenes] == [str(archive / "alias.tif")]
    assert found.waiting == [
        (str(archive / "escape.tif"), "a link that leads out of the archive is not followed")
    ]


def test_a_linked_folder_is_not_followed_and_is_reported(tmp_path):
    picture(tmp_path / "outside" / "one.tif")
    archive = tmp_path / "archive"
    archive.mkdir()
    (archive / "2023").symlink_to(tmp_path / "outside")
    found = discover(settings_for(archive))
    assert found.scenes == []
    assert found.waiting == [(str(archive / "2023"), LINKED_FOLDER)]


def test_a_name_that_is_no_text_waits_for_another_name_and_spoils_no_other_scene(tmp_path):
    picture(tmp_path / "one.tif")
    picture(tmp_path / "two.tif", 1).rename(tmp_path / os.fsdecode(b"bad\xff.tif"))
    found = discover(settings_for(tmp_path))
    assert names(found, tmp_path) == ["one.tif"]
    assert found.waiting == [(str(tmp_path / "bad?.tif"), "its name or its folder's is not UTF-8; rename it")]


def test_links_that_run_in_circles_end(tmp_path):
    picture(tmp_path / "one.tif")
    (tmp_path / "again").symlink_to(tmp_path)
    (tmp_path / "a.tif").symlink_to(tmp_path / "b.tif")
    (tmp_path / "b.tif").symlink_to(tmp_path / "a.tif")
    found = discover(settings_for(tmp_path))
    assert names(found, tmp_path) == ["one.tif"]
    reasons = [reason[:19] for _, reason in found.waiting]
    assert reasons == ["cannot be followed:", LINKED_FOLDER[:19], "cannot be followed:"]


def test_pipes_and_folders_with_the_name_of_a_scene_are_no_scenes(tmp_path):
    os.mkfifo(tmp_path / "pipe.tif")
    (tmp_path / "folder.tif").mkdir()
    found = discover(settings_for(tmp_path))
    assert found.scenes == []
    assert found.waiting == [(str(tmp_path / "pipe.tif"), "is no regular file")]


def test_two_walks_find_the_same(tmp_path):
    for index in range(5):
        picture(tmp_path / f"{index}.tif", index % 3)
    assert discover(settings_for(tmp_path)) == discover(settings_for(tmp_path))


def test_an_unchanged_file_is_not_opened_again_and_a_changed_one_is(tmp_path):
    path = tmp_path / "scene.npz"
    np.savez(path, temperature=np.full((8, 8), 290, np.float32), units="K")
    before = path.stat()
    known = discover(settings_for(tmp_path)).known
    known[str(path)] = (*known[str(path)][:3], "2020-01-01T00:00:00Z", known[str(path)][4])
    path.write_bytes(b"x" * before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert [ref.reader for ref in discover(settings_for(tmp_path), known).scenes] == ["npz"]
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns - 1))
    assert [ref.reader for ref, _ in discover(settings_for(tmp_path), known).refused] == ["none"]

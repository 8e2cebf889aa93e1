"""OUT may have been changed by others: nothing leads out of it, and every odd file ends in one line."""

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import rasterio

from pipeline.errors import DamagedProductError, SettingsError
from pipeline.nights.night import plan_night
from pipeline.process import process_scene
from pipeline.products import layout
from pipeline.products.publish import read_manifest, sweep, verify
from pipeline.products.records import find_record, read_record, read_records
from pipeline.products.store.zarr_store import open_store
from pipeline.settings_sources import load_settings
from tests.products.known import stage_product

PLACES = ("{recipe}", "{recipe}/2023", "{recipe}/2023/07", "{recipe}/records", "{recipe}/reports", ".scratch")


@pytest.fixture
def settings(tmp_path):
    archive = tmp_path / "archive"
    archive.mkdir()
    pixels = (290 + np.random.default_rng(0).random((48, 48))).astype(np.float32)
    np.savez(archive / "one_20230714T101500.npz", data=pixels, units="K")
    roots = (f"archive.root={archive}", f"output.root={tmp_path / 'out'}", "archive.settle_s=0")
    return load_settings(assignments=[*roots, "recipe.detail=none", "recipe.scale=2"], environment={})


@pytest.mark.parametrize("place", PLACES)
def test_nothing_is_written_through_a_planted_link(place, settings, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    link = settings.output.root / place.format(recipe=settings.recipe.label)
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)

    def whole_night():
        for ref in plan_night(settings).todo:
            process_scene(ref, settings)
        layout.reports_folder(settings.output.root, settings.recipe.label)

    with pytest.raises(SettingsError, match=r"is a link, and below OUT none is followed; remove it"):
        whole_night()
    assert list(outside.rglob("*")) == []


def test_what_lies_behind_a_link_is_not_swept(settings, tmp_path):
    left = tmp_path / "outside" / "07" / ".tmp-one"
    left.mkdir(parents=True)
    os.utime(left, (0, 0))
    recipe = settings.output.root / settings.recipe.label
    recipe.mkdir(parents=True)
    (recipe / "2023").symlink_to(tmp_path / "outside")
    assert sweep(settings.output.root, settings.recipe.label, 10) == []
    assert left.is_dir()


def product(folder, **files):
    """A folder whose manifest lists what it holds, as somebody would make who plants one."""
    listed = {}
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        listed[path.relative_to(folder).as_posix()] = [len(content), hashlib.sha256(content).hexdigest()]
    folder.mkdir(exist_ok=True)
    (folder / "MANIFEST.json").write_text(json.dumps({"content_digest": "0" * 64, "files": listed}))
    return folder


def test_a_raster_in_place_of_a_geotiff_is_opened_by_no_other_driver(tmp_path):
    real = tmp_path / "real.tif"
    with rasterio.open(real, "w", driver="GTiff", width=8, height=8, count=1, dtype="uint8",
                       transform=rasterio.Affine(1, 0, 0, 0, -1, 8)) as file:  # fmt: skip
        file.write(np.ones((1, 8, 8), np.uint8))
    verify(product(tmp_path / "good", x_dot_tif=real.read_bytes()))
    band = f"<VRTRasterBand dataType='Byte' band='1'><SimpleSource><SourceFilename>{real}</SourceFilename>"
    ends = "</SimpleSource></VRTRasterBand></VRTDataset>"
    grid = "<GeoTransform>0, 1, 0, 8, 0, -1</GeoTransform>"
    text = f"<VRTDataset rasterXSize='8' rasterYSize='8'>{grid}{band}{ends}"
    with rasterio.open(text) as opened:
        assert opened.driver == "VRT"  # GDAL would take it
    with pytest.raises(DamagedProductError, match=r"bad: x\.tif does not open"):
        verify(product(tmp_path / "bad", x_dot_tif=text.encode()))


ODD = {
    "a list": "[1, 2]",
    "no object": "3",
    "nested": "[" * 100_000,
    "nested objects": '{"a":' * 100_000,
    "files a list": '{"files": [1]}',
    "a number for a list": '{"files": {"x.tif": 3}}',
    "a text for a size": '{"files": {"x.tif": ["big", "0"]}}',
    "a number for a digest": '{"content_digest": 3, "files": {}}',
    "inputs a number": '{"inputs": 7, "files": {}}',
    "5000 digits": '{"files": {"x.tif": [' + "9" * 5000 + ', "0"]}}',
    "no text": "\udcff",
    "empty": "",
}


@pytest.mark.parametrize("content", ODD.values(), ids=list(ODD))
def test_an_odd_manifest_or_record_is_one_line(content, tmp_path):
    folder = tmp_path / "one"
    folder.mkdir()
    for name, read in (
        ("MANIFEST.json", read_manifest),
        ("MANIFEST.json", verify),
        ("record.json", read_record),
    ):
        (folder / name).write_bytes(content.encode("utf-8", "surrogateescape"))
        with pytest.raises(DamagedProductError, match=rf"^one: {name}") as error:
            read(folder)
        assert str(error.value).isprintable()
        assert len(str(error.value)) < 400


def test_an_odd_record_is_left_out_of_all_records(tmp_path):
    folder = layout.records_folder(tmp_path, "base-x2-00000000")
    folder.mkdir(parents=True)
    for number, content in enumerate(ODD.values()):
        (folder / f"odd{number}.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    os.mkfifo(folder / "pipe.json")
    assert read_records(tmp_path, "base-x2-00000000") == []
    assert find_record(tmp_path, "base-x2-00000000", "pipe") is None


def test_a_pipe_in_place_of_a_manifest_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "MANIFEST.json")
    with pytest.raises(DamagedProductError, match=r"MANIFEST.json cannot be read: is no regular file"):
        verify(tmp_path)


def test_a_store_whose_reference_system_names_a_grid_is_not_opened(tmp_path):
    staging, _ = stage_product(tmp_path)
    (described,) = staging.glob("*.zarr/zarr.json")
    store = described.parent
    open_store(store).close()
    for json_file in store.rglob("zarr.json"):
        text = json_file.read_text()
        json_file.write_text(text.replace("WGS 84", "+nadgrids=/pipe"))
    with pytest.raises(DamagedProductError, match=r"its reference system names files for PROJ to open"):
        open_store(store)


def test_a_process_of_ours_asks_no_network_for_grids_whatever_the_user_has_set():
    asked = "import flows, pyproj.network; print(pyproj.network.is_network_enabled())"
    user = {**os.environ, "PROJ_NETWORK": "ON"}
    for words, answer in ((asked, "False"), (asked.replace("flows, ", ""), "True")):
        command = [sys.executable, "-c", words]
        assert subprocess.run(command, env=user, capture_output=True, text=True).stdout.strip() == answer


ARRAY = {
    "zarr_format": 3, "node_type": "array", "shape": [4, 4], "data_type": "float32", "fill_value": 0.0,
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2, 2]}},
    "chunk_key_encoding": {"name": "default"}, "codecs": [{"name": "bytes"}], "attributes": {},
}  # fmt: skip


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"shape": [1 << 40, 1 << 40]},
        {"shape": "many"},
        {"shape": [4]},
        {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [0, 0]}}},
        {"codecs": [{"name": "pickle"}]},
        {"data_type": "object"},
        {"attributes": 3},
        {"node_type": "other"},
    ],
)  # fmt: skip
def test_an_odd_store_is_damaged_in_one_line(changed, tmp_path):
    group = {"zarr_format": 3, "node_type": "group", "attributes": {}}
    folder = product(
        tmp_path / "one",
        x_dot_zarr__zarr_dot_json=json.dumps(group).encode(),
        x_dot_zarr__t__zarr_dot_json=json.dumps(ARRAY | changed).encode(),
    )
    with pytest.raises(DamagedProductError, match=r"x\.zarr") as error:
        verify(folder)
    assert str(error.value).isprintable()

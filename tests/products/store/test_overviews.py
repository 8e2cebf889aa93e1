"""Coarser levels of a store: means of energy, flags by rule, each in its place, and none that got lost."""

import dataclasses
import json

import numpy as np
import odc.geo.xr  # noqa: F401 - registers the accessor
import pytest
import rasterio
import xarray as xr
import zarr

from pipeline.errors import DamagedProductError
from pipeline.products.store.overviews import mean_kelvin, worst_flags
from pipeline.products.store.zarr_store import check_complete, open_store
from pipeline.products.views.cog import write_cogs
from pipeline.radiometry import brightness_temperature, spectral_radiance
from tests.products.known import make_context, make_enhancement, write_known

NAME = "surface_temperature"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "a.zarr"
    write_known(make_enhancement(shape=(35, 51)), path)  # 140 x 204 pixels in chunks of 64
    return path


def level(store, factor):
    return xr.open_zarr(store, group=f"overviews/{factor}", decode_coords="all").load()


def test_levels_are_halved_until_one_chunk_holds_all(store):
    assert {name for name, _ in zarr.open_group(store)["overviews"].groups()} == {"2", "4"}
    assert level(store, 2)[NAME].shape == (70, 102)
    assert level(store, 4)[NAME].shape == (35, 51)


def test_kelvin_and_uncertainty_are_means_and_flags_are_the_worst(store):
    fine, coarse = open_store(store).load(), level(store, 2)
    for name in (NAME, f"{NAME}_uncertainty"):
        blocks = fine[name].values.astype(np.float64).reshape(70, 2, 102, 2)
        wanted = xr.DataArray(blocks, dims=("y", "b", "x", "c")).mean(("b", "c"))  # of pixels with data
        np.testing.assert_allclose(coarse[name], wanted, atol=1e-4)
    flags = fine.quality_flag.values.astype(int).reshape(70, 2, 102, 2)
    highest = np.where(flags == 1, -1, flags).max(axis=(1, 3))
    np.testing.assert_array_equal(coarse.quality_flag, np.where(highest < 0, 1, highest))
    assert coarse.quality_flag.dtype == np.uint8
    np.testing.assert_array_equal(np.isnan(coarse[NAME]), coarse.quality_flag == 1)


def test_every_level_has_its_place(store):
    fine = open_store(store)
    for factor in (2, 4):
        coarse = level(store, factor)
        ours, theirs = fine.odc.geobox, coarse.odc.geobox
        assert theirs.crs == ours.crs
        np.testing.assert_allclose((theirs.affine.c, theirs.affine.f), (ours.affine.c, ours.affine.f))
        assert theirs.affine.a == factor * ours.affine.a
        attributes = coarse.attrs
        assert attributes["proj:code"] == "EPSG:32633"
        np.testing.assert_allclose(attributes["spatial:transform"], tuple(theirs.affine)[:6])
        assert attributes["spatial:shape"] == list(coarse[NAME].shape)
        assert coarse.time.values == fine.time.values


def test_the_layout_names_every_level(store):
    about = json.loads((store / "overviews" / "zarr.json").read_text())["attributes"]
    layout = about["multiscales"]["layout"]
    assert [entry["asset"] for entry in layout] == ["2", "4"]
    assert layout[1]["derived_from"] == "2"
    assert layout[1]["transform"] == {"scale": [2.0, 2.0]}
    assert {one["name"] for one in about["zarr_conventions"]} == {"multiscales", "spatial", "proj"}


def test_the_root_is_what_it_is_without_them(store):
    root = xr.open_zarr(store)
    assert set(root.data_vars) == {NAME, f"{NAME}_uncertainty", "quality_flag"}
    assert not {"multiscales", "zarr_conventions"} & set(root.attrs)
    assert xr.open_datatree(store / "overviews", engine="zarr")["4"][NAME].shape == (35, 51)


def test_a_product_of_one_chunk_has_none(tmp_path):
    write_known(make_enhancement(shape=(16, 16)), tmp_path / "a.zarr")
    assert "overviews" not in zarr.open_group(tmp_path / "a.zarr")


def test_a_lost_chunk_of_a_level_is_named(tmp_path):
    path = tmp_path / "a.zarr"
    write_known(make_enhancement(shape=(35, 51)), path)
    (path / "overviews" / "2" / NAME / "c" / "1" / "0").unlink()
    with pytest.raises(DamagedProductError, match=f"chunk overviews/2/{NAME}/c/1/0 is missing"):
        check_complete(path)


def test_radiance_is_averaged_where_that_is_the_domain():
    kelvin = np.array([[250.0, 340.0], [250.0, 340.0]], np.float32)
    energy = spectral_radiance(kelvin.astype(np.float64), 10.9).mean()
    wanted = float(brightness_temperature(np.array([energy]), 10.9)[0])
    assert wanted > 300
    assert float(mean_kelvin(kelvin, 10.9)[0, 0]) == pytest.approx(wanted, abs=1e-3)
    assert float(mean_kelvin(kelvin, None)[0, 0]) == 295
    assert np.isnan(mean_kelvin(np.full((2, 2), np.nan, np.float32), 10.9)).all()


def test_geotiff_and_store_have_the_same_overviews_in_radiance_too(tmp_path):
    enhancement = make_enhancement(shape=(40, 40))
    sensor = dataclasses.replace(enhancement.scene.sensor, wavelength_um=10.9)
    scene = dataclasses.replace(enhancement.scene, sensor=sensor, quantity="brightness_temperature")
    enhancement = dataclasses.replace(enhancement, scene=scene, figures={"domain": "radiance"})
    context = make_context(enhancement, tmp_path)
    write_cogs(context.files.store, context)
    name = "toa_brightness_temperature"
    coarse = level(context.files.store, 2)
    files = {name: context.files.temperature_cog, "quality_flag": context.files.quality_cog}
    for variable, path in files.items():
        with rasterio.open(path, overview_level=0) as raster:
            np.testing.assert_array_equal(raster.read(1), coarse[variable])
    fine = open_store(context.files.store)[name].values
    energy = spectral_radiance(fine[100:102, 100:102].astype(np.float64), 10.9).mean()
    wanted = float(brightness_temperature(np.array([energy]), 10.9)[0])
    assert float(coarse[name][50, 50]) == pytest.approx(wanted, abs=1e-4)


def test_no_data_counts_only_where_a_block_has_nothing_else():
    flags = np.array([[1, 1, 0, 1], [1, 1, 3, 1], [2, 4, 1, 0]], np.uint8)
    np.testing.assert_array_equal(worst_flags(flags, 2), [[1, 3], [4, 0]])

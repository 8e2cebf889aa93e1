import hashlib
import json
import shutil
import threading
import time

import cloudpickle
import dask
import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import DamagedProductError
from pipeline.grid import Grid, Window
from pipeline.products.store.unsharp import Unsharp
from pipeline.products.store.zarr_store import (
    aligned_tile_px,
    check_complete,
    open_store,
    temperature_name,
    write_tile,
)
from pipeline.scene import FLAG_MEANINGS, Enhancement, Pixels
from tests.products.known import SENSOR, Counted, fine_pixels, make_enhancement, write_known


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def whole(enhancement):
    height, width = enhancement.scene.grid.shape
    return fine_pixels(enhancement.scene.temperature, enhancement.scale, Window(0, 0, height, width))


def test_the_store_holds_the_computed_pixels(tmp_path):
    enhancement = make_enhancement()
    write_known(enhancement, tmp_path / "a.zarr")
    truth = whole(enhancement)
    with open_store(tmp_path / "a.zarr") as store:
        np.testing.assert_array_equal(store["surface_temperature"], truth.temperature)
        np.testing.assert_array_equal(store["surface_temperature_uncertainty"], truth.uncertainty)
        np.testing.assert_array_equal(store["quality_flag"], truth.flag)
        assert store["surface_temperature"].dtype == np.float32
        assert store["quality_flag"].dtype == np.uint8


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("tile_px", [16, 17, 48, 500])
def test_any_tile_size_and_worker_count_give_the_same_bytes(tmp_path, tile_px, workers):
    write_known(make_enhancement(shape=(70, 50)), tmp_path / "a.zarr")
    write_known(make_enhancement(shape=(70, 50)), tmp_path / "b.zarr", tile_px=tile_px, workers=workers)
    assert contents(tmp_path / "a.zarr") == contents(tmp_path / "b.zarr")


def test_figures_do_not_depend_on_workers(tmp_path):
    one = write_known(make_enhancement(shape=(70, 50)), tmp_path / "a.zarr", workers=1)
    many = write_known(make_enhancement(shape=(70, 50)), tmp_path / "b.zarr", workers=4)
    assert one.figures() == many.figures()


def test_each_tile_is_computed_once(tmp_path):
    enhancement = make_enhancement(shape=(70, 50))
    summary = write_known(enhancement, tmp_path / "a.zarr")
    assert summary.tiles == len(enhancement.compute.asked) == 5 * 4
    assert set(enhancement.compute.asked.values()) == {1}
    assert sum(window.height * window.width for window in enhancement.compute.asked) == 70 * 50


@given(
    tile_px=st.integers(1, 600),
    chunk_px=st.integers(64, 1024),
    scale=st.sampled_from([2, 3, 4, 8, 16]),
)
def test_tiles_cover_whole_chunks(tile_px, chunk_px, scale):
    aligned = aligned_tile_px(tile_px, chunk_px, scale)
    assert aligned >= tile_px
    assert aligned * scale % chunk_px == 0


@settings(max_examples=15, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    scale=st.sampled_from([2, 3, 4]),
    tile=st.integers(1, 50),
)
def test_scenes_of_any_size_are_written_completely(tmp_path_factory, height, width, scale, tile):
    path = tmp_path_factory.mktemp("store") / "a.zarr"
    enhancement = make_enhancement(shape=(height, width), scale=scale, holes=False)
    write_known(enhancement, path, tile_px=tile)
    with open_store(path) as store:
        np.testing.assert_array_equal(store["surface_temperature"], whole(enhancement).temperature)


@pytest.mark.parametrize("scheduler", ["synchronous", dask.get])
def test_another_scheduler_writes_the_same(tmp_path, scheduler):
    write_known(make_enhancement(), tmp_path / "a.zarr")
    write_known(make_enhancement(), tmp_path / "b.zarr", scheduler=scheduler)
    assert contents(tmp_path / "a.zarr") == contents(tmp_path / "b.zarr")


def test_a_tile_can_travel_to_another_process_and_write_there(tmp_path):
    enhancement = make_enhancement(shape=(40, 40))
    write_known(enhancement, tmp_path / "a.zarr")
    before = contents(tmp_path / "a.zarr")
    group = zarr.open_group(tmp_path / "a.zarr", mode="r+")
    names = ("surface_temperature", "surface_temperature_uncertainty", "quality_flag")
    arrays = tuple(group[name].with_config({"write_empty_chunks": True}) for name in names)
    travelled = cloudpickle.loads(cloudpickle.dumps((write_tile, enhancement, arrays)))
    for name in names:
        shutil.rmtree(tmp_path / "a.zarr" / name / "c")
    for window in enhancement.compute.asked:
        travelled[0](*travelled[1:], window)
    assert contents(tmp_path / "a.zarr") == before


def test_progress_counts_every_tile(tmp_path):
    seen = []
    write_known(
        make_enhancement(shape=(40, 40)),
        tmp_path / "a.zarr",
        progress=lambda done, of: seen.append((done, of)),
    )
    assert seen == [(number, 9) for number in range(1, 10)]


def test_after_an_error_no_tile_runs_on(tmp_path):
    enhancement = make_enhancement(shape=(30, 20))
    running, lock = {"tiles": 0}, threading.Lock()

    def fail_beside_another(window):
        with lock:
            if running["tiles"]:
                raise RuntimeError("no more memory")
            running["tiles"] += 1
        time.sleep(1)
        running["tiles"] -= 1
        return enhancement.compute(window)

    broken = Enhancement(enhancement.scene, 4, fail_beside_another, {})
    with pytest.raises(RuntimeError, match="no more memory"):
        write_known(broken, tmp_path / "a.zarr")
    assert running["tiles"] == 0


def test_nan_and_the_no_data_flag_mean_the_same(tmp_path):
    write_known(make_enhancement(), tmp_path / "a.zarr")
    with open_store(tmp_path / "a.zarr") as store:
        missing = np.isnan(store["surface_temperature"].values)
        assert missing.any()
        np.testing.assert_array_equal(missing, store["quality_flag"].values == 1)


@pytest.mark.parametrize("value", [0, 1])
def test_a_flag_that_contradicts_the_pixels_is_refused(tmp_path, value):
    enhancement = make_enhancement()

    def contradict(window):
        pixels = enhancement.compute(window)
        return Pixels(pixels.temperature, pixels.uncertainty, np.full_like(pixels.flag, value))

    broken = Enhancement(enhancement.scene, 4, contradict, {})
    with pytest.raises(
        ValueError, match=r"pixels of the tile at row .* are flagged no_data with a temperature"
    ):
        write_known(broken, tmp_path / "a.zarr")


def test_pixels_of_the_wrong_type_are_refused(tmp_path):
    enhancement = make_enhancement()

    def doubled(window):
        pixels = enhancement.compute(window)
        # Past the check of types that stands at the door while tests run.
        object.__setattr__(pixels, "temperature", pixels.temperature.astype(np.float64))
        return pixels

    broken = Enhancement(enhancement.scene, 4, doubled, {})
    with pytest.raises(ValueError, match=r"temperature of the tile at row .* is .* float64"):
        write_known(broken, tmp_path / "a.zarr")


def test_an_existing_store_is_not_overwritten(tmp_path):
    write_known(make_enhancement(), tmp_path / "a.zarr")
    with pytest.raises(FileExistsError, match=r"a.zarr exists already"):
        write_known(make_enhancement(), tmp_path / "a.zarr")


def test_the_summary_is_the_stores(tmp_path):
    enhancement = make_enhancement()
    summary = write_known(enhancement, tmp_path / "a.zarr")
    truth = whole(enhancement)
    kelvin = truth.temperature.astype(np.float64)
    assert summary.min_k == np.nanmin(kelvin)
    assert summary.max_k == np.nanmax(kelvin)
    assert summary.mean_k == pytest.approx(np.nanmean(kelvin), abs=1e-9)
    assert summary.valid_fraction == np.isfinite(kelvin).mean()
    blocks = kelvin.reshape(24, 4, 20, 4).mean(axis=(1, 3)) - enhancement.scene.temperature
    assert summary.block_bias_k == pytest.approx(np.nanmean(blocks), abs=1e-9)
    assert summary.block_rms_k == pytest.approx(np.sqrt(np.nanmean(blocks**2)), abs=1e-9)
    assert summary.flag_fractions["fallback"] == (truth.flag == 3).mean()
    assert sum(summary.flag_fractions.values()) == pytest.approx(1)


def test_a_scene_without_data_has_figures_that_say_so(tmp_path):
    enhancement = make_enhancement()
    enhancement.scene.temperature[:] = np.nan
    summary = write_known(enhancement, tmp_path / "a.zarr")
    assert summary.valid_fraction == 0
    assert np.isnan([summary.min_k, summary.mean_k, summary.max_k, summary.block_bias_k]).all()
    check_complete(tmp_path / "a.zarr")


def test_attributes_follow_cf(tmp_path):
    write_known(make_enhancement(), tmp_path / "a.zarr", institution="An institute")
    with open_store(tmp_path / "a.zarr") as store:
        kelvin, flag = store["surface_temperature"], store["quality_flag"]
        sigma = store["surface_temperature_uncertainty"]
        assert (kelvin.attrs["standard_name"], kelvin.attrs["units"]) == ("surface_temperature", "K")
        assert kelvin.attrs["ancillary_variables"].split() == [sigma.name, flag.name]
        assert sigma.attrs["standard_name"] == "surface_temperature standard_error"
        assert "Errors of neighbors are not independent" in sigma.attrs["comment"]
        assert flag.attrs["flag_values"] == list(FLAG_MEANINGS)
        assert flag.attrs["flag_meanings"].split() == list(FLAG_MEANINGS.values())
        assert store.attrs["institution"] == "An institute"
        assert store.attrs["input_files"] == "demo.npz"
        assert json.loads(store.attrs["provenance"]) == {"recipe": {"scale": 4}, "seed": 0}
        assert store["time"].values == np.datetime64("2024-07-28T20:40:25")


@pytest.mark.parametrize("quantity", ["brightness_temperature", "sea_surface_temperature"])
def test_the_variable_is_named_by_its_quantity(tmp_path, quantity):
    scene = make_enhancement().scene
    scene = type(scene)(scene.ref, SENSOR, quantity, scene.grid, scene.temperature)
    write_known(Enhancement(scene, 4, Counted(scene.temperature, 4), {}), tmp_path / "a.zarr")
    with open_store(tmp_path / "a.zarr") as store:
        name = temperature_name(store)
        assert name == {"brightness_temperature": "toa_brightness_temperature"}.get(quantity, quantity)
        assert store[name].attrs["standard_name"] == name


def test_metadata_is_plain_json_and_knows_no_folder(tmp_path):
    write_known(make_enhancement(), tmp_path / "a.zarr")
    for path in (tmp_path / "a.zarr").rglob("zarr.json"):
        text = path.read_text()
        assert json.loads(text, parse_constant=pytest.fail)
        assert str(tmp_path) not in text
        assert "archive/" not in text


def test_words_from_files_are_escaped(tmp_path):
    enhancement = make_enhancement()
    scene = enhancement.scene
    scene = type(scene)(
        scene.ref,
        SENSOR,
        scene.quantity,
        scene.grid,
        scene.temperature,
        assumptions=("units\x1b[31m assumed\n: K",),
    )
    write_known(Enhancement(scene, 4, enhancement.compute, {}), tmp_path / "a.zarr")
    with open_store(tmp_path / "a.zarr") as store:
        assert store.attrs["input_assumptions"] == "units assumed : K"


def test_plain_open_zarr_finds_kelvin_coordinates_and_the_reference_system(tmp_path):
    write_known(make_enhancement(), tmp_path / "a.zarr")
    with xr.open_zarr(tmp_path / "a.zarr") as store:
        assert {"x", "y", "time", "spatial_ref"} <= set(store.coords)
        assert set(store.data_vars) == {
            "surface_temperature",
            "surface_temperature_uncertainty",
            "quality_flag",
        }


def test_a_scene_without_a_place_gets_none(tmp_path):
    enhancement = make_enhancement((None, None), acquired=None)
    write_known(enhancement, tmp_path / "a.zarr")
    with xr.open_zarr(tmp_path / "a.zarr", decode_coords="all") as store:
        assert list(store.coords) == []
        assert store.attrs["georeferenced"] == "false"
        assert "grid_mapping" not in store["surface_temperature"].encoding


@pytest.mark.parametrize("name", ["surface_temperature", "quality_flag"])
def test_a_missing_chunk_is_named(tmp_path, name):
    write_known(make_enhancement(), tmp_path / "a.zarr")
    (tmp_path / "a.zarr" / name / "c" / "1" / "0").unlink()
    with pytest.raises(DamagedProductError, match=f"a.zarr: chunk {name}/c/1/0 is missing"):
        check_complete(tmp_path / "a.zarr")


def test_a_flipped_bit_is_an_error_and_never_a_temperature(tmp_path):
    write_known(make_enhancement(), tmp_path / "a.zarr")
    chunk = tmp_path / "a.zarr" / "surface_temperature" / "c" / "0" / "0"
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(bytes(content))
    with (
        open_store(tmp_path / "a.zarr") as store,
        pytest.raises(RuntimeError, match=r"Zstd|zstd|checksum|corrupt"),
    ):
        np.asarray(store["surface_temperature"])


def test_chunks_of_nothing_but_nan_are_written(tmp_path):
    enhancement = make_enhancement(shape=(40, 40))
    enhancement.scene.temperature[:16, :16] = np.nan
    write_known(enhancement, tmp_path / "a.zarr")
    array = zarr.open_array(tmp_path / "a.zarr" / "surface_temperature", mode="r")
    assert array.nchunks_initialized == array.nchunks == 9


def test_the_sharpened_variable_exists_only_on_request(tmp_path):
    write_known(make_enhancement(), tmp_path / "a.zarr")
    write_known(make_enhancement(), tmp_path / "b.zarr", sharpened=Unsharp())
    with open_store(tmp_path / "a.zarr") as plain, open_store(tmp_path / "b.zarr") as both:
        assert "sharpened" not in plain
        assert "standard_name" not in both["sharpened"].attrs
        np.testing.assert_array_equal(plain["surface_temperature"], both["surface_temperature"])


def test_the_grid_of_a_store_is_the_refined_one():
    enhancement = make_enhancement(scale=8)
    assert enhancement.grid == Grid(
        enhancement.scene.grid.crs_wkt, enhancement.grid.transform, 24 * 8, 20 * 8
    )


@pytest.mark.parametrize("acquired", ["2024-07-28T20:40:25Z", "2019-11-01T00:00:00Z"])
def test_a_date_alone_has_bounds_of_a_day(tmp_path, acquired):
    write_known(make_enhancement(acquired=acquired), tmp_path / "a.zarr")
    with open_store(tmp_path / "a.zarr") as store:
        alone = acquired.endswith("T00:00:00Z")
        assert ("time_bounds" in store.coords) == alone
        assert store.time.attrs["units_metadata"] == "leap_seconds: none"
        if alone:
            days = store.time_bounds.values.astype("datetime64[D]").astype(str).tolist()
            assert days == ["2019-11-01", "2019-11-02"]
            assert store.attrs["time_coverage_end"] == "2019-11-02T00:00:00Z"

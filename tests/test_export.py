"""A product in other programs' forms: the same numbers, with the types that each form wants."""

import warnings

import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray
from PIL import Image
from rio_cogeo.cogeo import cog_validate
from typer.testing import CliRunner

from flows.cli import app
from pipeline.desk.cube import open_products
from pipeline.errors import SettingsError
from pipeline.products.publish import publish
from tests.products.known import make_enhancement, manifest_of, stage_product


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    enhancement = make_enhancement()
    staging, final = stage_product(tmp_path_factory.mktemp("out"), enhancement)
    return publish(staging, final, manifest_of(enhancement))


@pytest.fixture(scope="module")
def store(folder):
    return xarray.open_zarr(next(folder.glob("*.zarr"))).load()


def export(folder, path, *options):
    result = CliRunner().invoke(app, ["export", str(folder), "--out", str(path), *options])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return path


def test_netcdf_has_the_pixels_and_the_types_of_cf(folder, store, tmp_path):
    path = export(folder, tmp_path / "a.nc")
    with xarray.open_dataset(path) as made:
        np.testing.assert_array_equal(made.surface_temperature, store.surface_temperature)
        np.testing.assert_array_equal(made.quality_flag, store.quality_flag)
        assert made.quality_flag.dtype == np.uint8
        assert made.quality_flag.attrs["flag_values"].dtype == np.uint8
        assert made.surface_temperature.attrs["actual_range"].dtype == np.float32
        assert made.rio.crs.to_epsg() == 32633
        np.testing.assert_array_equal(made.x, store.x)
        assert set(made.coords) == {
            "time",
            "y",
            "x",
            "spatial_ref",
        }  # nothing that a cube says of its products


def test_a_part_says_its_own_place_and_range(folder, store, tmp_path):
    ends = ("lon_min", "lat_min", "lon_max", "lat_max")
    west, south, east, north = (store.attrs[f"geospatial_{end}"] for end in ends)
    box = f"--box={west},{south},{(west + east) / 2},{(south + north) / 2}"
    with xarray.open_dataset(export(folder, tmp_path / "a.nc", box), decode_coords="all") as made:
        kelvin = made.surface_temperature.values
        assert 0 < kelvin.size < store.surface_temperature.size / 3
        ends = made.surface_temperature.attrs["actual_range"]
        assert ends.tolist() == [np.nanmin(kelvin), np.nanmax(kelvin)]
        assert made.attrs["geospatial_lat_max"] < north - (north - south) / 3
        assert made.spatial_ref.attrs["long_name"]
        for name in ("x", "y"):
            assert made[name].attrs["standard_name"] == f"projection_{name}_coordinate"
        assert made.time.attrs["standard_name"] == "time"
        assert "_FillValue" not in made.x.encoding
        assert not [name for name in made.attrs if ":" in name]
    cube = open_products(folder, box=tuple(float(edge) for edge in box.removeprefix("--box=").split(",")))
    np.testing.assert_allclose(cube.attrs["spatial:transform"], tuple(cube.odc.geobox.affine)[:6])


def test_the_store_itself_can_be_written_as_netcdf(store, tmp_path):
    store.to_netcdf(tmp_path / "plain.nc")
    with xarray.open_dataset(tmp_path / "plain.nc") as made:
        np.testing.assert_array_equal(made.surface_temperature, store.surface_temperature)


def test_a_clip_fills_flags_with_no_data_and_not_with_good(store):
    warnings.filterwarnings("ignore", message="Use `@` matmul")  # rioxarray composes transforms with *
    wider = store.quality_flag.rio.write_crs(32633).rio.pad_box(
        float(store.x.min()) - 100, float(store.y.min()) - 100, float(store.x.max()), float(store.y.max())
    )
    assert int(wider.values[-1, 0]) == 1


def test_a_geotiff_is_cloud_optimized_and_in_place(folder, store, tmp_path):
    path = export(folder, tmp_path / "a.tif", "--to", "cog")
    assert cog_validate(path)[0]
    with rasterio.open(path) as made:
        np.testing.assert_array_equal(made.read(1), store.surface_temperature)
        np.testing.assert_array_equal(made.read(2), store.surface_temperature_uncertainty)
        assert made.crs.to_epsg() == 32633
        assert made.descriptions == ("surface_temperature", "surface_temperature_uncertainty")


def test_a_table_has_a_row_for_every_pixel_with_data(folder, store, tmp_path):
    path = export(folder, tmp_path / "a.csv", "--to", "csv", "--mask-sigma", "0.115", "--flags", "0")
    table = pd.read_csv(path)
    kept = (store.surface_temperature_uncertainty <= 0.115) & (store.quality_flag == 0)
    assert len(table) == int(kept.sum())
    row = table.iloc[7]
    there = store.surface_temperature.sel(x=row.x, y=row.y, method="nearest")
    assert row.surface_temperature == pytest.approx(float(there), abs=1e-4)


def test_a_picture_is_transparent_where_there_is_no_data(folder, store, tmp_path):
    with Image.open(export(folder, tmp_path / "a.png", "--to", "png")) as picture:
        alpha = np.asarray(picture.convert("RGBA"))[..., 3]
        ends_k = [float(picture.text[name]) for name in ("vmin_K", "vmax_K")]
    height, width = store.surface_temperature.shape
    np.testing.assert_array_equal(alpha[:height, :width] > 0, np.isfinite(store.surface_temperature))
    assert (alpha[height:] == 255).all()  # the legend
    assert alpha.shape[0] > height + 40
    np.testing.assert_allclose(ends_k, np.nanpercentile(store.surface_temperature, [2, 98]), atol=1e-3)


def test_mistakes_are_said_in_a_line(folder, tmp_path):
    path = export(folder, tmp_path / "a.nc")
    with pytest.raises(SettingsError, match="exists already"):
        export(folder, path)
    with pytest.raises(SettingsError, match="west,south,east,north"):
        export(folder, tmp_path / "b.nc", "--box", "3,2,1,0")
    with pytest.raises(SettingsError, match="0,x: numbers"):
        export(folder, tmp_path / "b.nc", "--flags", "0,x")

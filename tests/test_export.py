"""A product in other programs' forms: the same numbers, with the types that each form wants."""

import math
import warnings

import matplotlib
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
from pipeline.desk.map_picture import map_figure, round_length
from pipeline.errors import SettingsError
from pipeline.products.publish import publish
from tests.products.known import make_enhancement, manifest_of, stage_product

# Ground length of a scene's pixel along its row: a degree of longitude at 34.09 N is 92.3 km.
GROUND_M = {"north up": 70, "south up": 70, "rotated": math.hypot(60, 15), "geographic": 92_260 / 1200}


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


def test_a_picture_has_every_pixel_in_its_color_and_no_data_in_white(folder, store, tmp_path):
    kelvin = store.surface_temperature.values
    with Image.open(export(folder, tmp_path / "a.png", "--to", "png")) as picture:
        colors = np.asarray(picture.convert("RGB"))
        low_k, high_k = (float(picture.text[name]) for name in ("vmin_K", "vmax_K"))
        left, top, width, height = (int(word) for word in picture.text["map_px"].split(","))
    np.testing.assert_allclose((low_k, high_k), np.nanpercentile(kelvin, [2, 98]), atol=1e-3)
    times = height // kelvin.shape[0]
    assert (height, width) == (times * kelvin.shape[0], times * kelvin.shape[1])
    upper = slice(times, 8 * height // 10)  # below stands the scale bar, around lies the frame
    shown = colors[top : top + height, left : left + width][upper, times:-times]
    wanted = matplotlib.colormaps["turbo"]((kelvin - low_k) / (high_k - low_k), bytes=True)[..., :3]
    wanted[np.isnan(kelvin)] = 255
    fine = wanted.repeat(times, 0).repeat(times, 1)[upper, times:-times]
    assert np.isnan(kelvin).any()
    assert (np.abs(fine.astype(int) - shown).max(axis=-1) <= 3).mean() > 0.999  # ends are rounded in the text


@pytest.mark.parametrize("grid", ["north up", "south up", "rotated", "geographic"])
def test_a_picture_tells_coordinates_length_moment_and_kelvin(grid, tmp_path):
    enhancement = make_enhancement(grid)
    staging, final = stage_product(tmp_path, enhancement)
    cube = open_products(publish(staging, final, manifest_of(enhancement))).isel(time=0)
    figure, _ = map_figure(cube)
    figure.draw_without_rendering()
    axes, legend = figure.axes
    assert legend.get_xlabel() == "surface temperature (K)"
    assert axes.get_title() == "2024-07-28 20:40 UTC"
    corners = enhancement.grid.corners()
    words, edges, bar = {
        "north up": ("x (km, EPSG:32633)", [x / 1000 for x, _ in corners[:2]], "200 m"),
        "south up": ("x (km, EPSG:32633)", [x / 1000 for x, _ in corners[:2]], "200 m"),
        "rotated": ("column (pixels)", [0, cube.sizes["x"]], "500 m"),
        "geographic": ("longitude (degrees east)", [x for x, _ in corners[:2]], "200 m"),
    }[grid]
    assert axes.get_xlabel() == words
    assert axes.get_xlim() == pytest.approx(edges)
    if grid != "rotated":
        unit = 1 if grid == "geographic" else 1000
        assert axes.get_ylim() == pytest.approx([corners[2][1] / unit, corners[0][1] / unit])
    assert [text.get_text() for text in axes.texts] == [bar]
    left, right = axes.lines[0].get_xdata()
    width_m = cube.sizes["x"] / 4 * GROUND_M[grid]
    assert (right - left) * width_m == pytest.approx(float(bar.split()[0]), rel=0.01)


def test_a_picture_tells_a_day_where_only_the_day_is_known(tmp_path):
    enhancement = make_enhancement(acquired="2024-07-28T00:00:00Z")
    staging, final = stage_product(tmp_path, enhancement)
    figure, _ = map_figure(open_products(publish(staging, final, manifest_of(enhancement))).isel(time=0))
    assert figure.axes[0].get_title() == "2024-07-28"


@pytest.mark.parametrize(("most", "length"), [(999, 500), (1000, 1000), (4.9, 2), (0.3, 0.2)])
def test_a_scale_bar_has_a_round_length(most, length):
    assert round_length(most) == pytest.approx(length)


def test_a_picture_is_a_pdf_where_that_is_wanted(folder, tmp_path):
    assert export(folder, tmp_path / "a.pdf", "--to", "pdf").read_bytes()[:5] == b"%PDF-"


def test_mistakes_are_said_in_a_line(folder, tmp_path):
    path = export(folder, tmp_path / "a.nc")
    with pytest.raises(SettingsError, match="exists already"):
        export(folder, path)
    with pytest.raises(SettingsError, match="west,south,east,north"):
        export(folder, tmp_path / "b.nc", "--box", "3,2,1,0")
    with pytest.raises(SettingsError, match="0,x: numbers"):
        export(folder, tmp_path / "b.nc", "--flags", "0,x")

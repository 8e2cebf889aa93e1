"""Products as one Dataset: pixels stay where they are on the Earth, and holes stay holes."""

from dataclasses import replace

import numpy as np
import pytest
import xarray
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import CRS, Transformer

from pipeline.desk.cube import open_products
from pipeline.desk.degrees import with_degrees
from pipeline.errors import DamagedProductError, UnusableInputError
from pipeline.products.publish import publish
from tests.products.known import GEOGRAPHIC, UTM, make_enhancement, manifest_of, stage_product

ORIGIN = Affine(70, 0, 399960, 0, -70, 5300040)


def publish_enhancement(enhancement, out):
    staging, final = stage_product(out, enhancement)
    return publish(staging, final, manifest_of(enhancement))


def place(
    out, *, move=(0.0, 0.0), day="2024-07-28T20:40:25Z", digest="0123abcd", crs=UTM, base=ORIGIN, **facts
):
    """Publish a product whose lattice is moved by parts of a scene pixel (columns, rows)."""
    transform = ORIGIN @ Affine.translation(*move)
    enhancement = make_enhancement((UTM, transform), acquired=day, scene_id=f"demo-{digest}", **facts)
    return publish_enhancement(enhancement, out)


def outline_degrees(cube):
    to_degrees = Transformer.from_crs(32633, 4326, always_xy=True)
    return to_degrees.transform_bounds(*cube.odc.geobox.boundingbox.bbox)


def test_one_product_is_the_store_itself(tmp_path):
    folder = place(tmp_path)
    cube = open_products(folder)
    (store,) = folder.glob("*.zarr")
    alone = xarray.open_zarr(store)
    np.testing.assert_array_equal(cube.surface_temperature[0], alone.surface_temperature)
    np.testing.assert_array_equal(cube.quality_flag[0], alone.quality_flag)
    assert cube.quality_flag.dtype == np.uint8
    assert cube.surface_temperature.chunks is not None
    assert str(cube.time.values[0]).startswith("2024-07-28T20:40:25")


def test_dates_on_one_lattice_are_moved_by_whole_pixels(tmp_path):
    place(tmp_path)
    place(tmp_path, move=(3.25, -2.5), day="2024-08-01T00:00:00Z", digest="1123abcd")  # 13 and 10 fine pixels
    cube = open_products(tmp_path)
    assert cube.resampled.values.tolist() == [False, False]
    first, second = cube.surface_temperature.values
    assert np.isfinite(first).sum() == np.isfinite(second).sum()
    np.testing.assert_array_equal(second[0:96, 13:93], first[10:106, 0:80])


def test_parts_of_a_pixel_are_resampled_and_said(tmp_path):
    place(tmp_path, holes=False)
    place(tmp_path, move=(0.1, 0.0), day="2024-08-01T00:00:00Z", digest="1123abcd", holes=False)
    cube = open_products(tmp_path)
    assert cube.resampled.values.tolist() == [False, True]
    first, second = cube.surface_temperature.values
    both = np.isfinite(first) & np.isfinite(second)
    assert both.sum() > 0.9 * first.size
    assert np.abs(first - second)[both].max() < 1.0
    assert np.isfinite(second).sum() == (cube.quality_flag.values[1] != 1).sum()


def test_another_reference_system_lands_at_the_same_place(tmp_path):
    place(tmp_path, holes=False)
    cube = open_products(tmp_path)
    degrees = GeoBox.from_bbox(outline_degrees(cube), crs="EPSG:4326", resolution=0.0002)
    turned = open_products(tmp_path, like=degrees)
    assert bool(turned.resampled[0])
    row, column = 48, 40
    x, y = float(cube.x[column]), float(cube.y[row])
    longitude, latitude = Transformer.from_crs(32633, 4326, always_xy=True).transform(x, y)
    there = turned.surface_temperature[0].sel(x=longitude, y=latitude, method="nearest")
    assert float(there) == pytest.approx(float(cube.surface_temperature[0, row, column]), abs=0.6)


def test_masks_leave_flags_alone(tmp_path):
    place(tmp_path)
    cube = open_products(tmp_path, flags=[0], most_sigma_k=0.12)
    kept = np.isfinite(cube.surface_temperature.values)
    assert set(np.unique(cube.quality_flag.values[kept])) == {0}
    assert cube.surface_temperature_uncertainty.values[kept].max() <= 0.12 + 1e-6
    assert 3 in cube.quality_flag.values


def test_days_and_boxes_choose(tmp_path):
    place(tmp_path)
    place(tmp_path, day="2024-08-01T00:00:00Z", digest="1123abcd")
    place(tmp_path, day=None, digest="2123abcd")
    assert open_products(tmp_path).sizes["time"] == 3
    assert np.isnat(open_products(tmp_path).time.values[-1])
    assert open_products(tmp_path, since="2024-08-01").scene_id.values.tolist() == ["demo-1123abcd"]
    assert open_products(tmp_path, until="2024-07-31").scene_id.values.tolist() == ["demo-0123abcd"]
    west, south, east, north = outline_degrees(open_products(tmp_path))
    middle = (west + east) / 2, (south + north) / 2
    part = open_products(tmp_path, box=(west, south, *middle))
    assert 0.2 < part.surface_temperature[0].size / open_products(tmp_path).surface_temperature[0].size < 0.35
    with pytest.raises(UnusableInputError, match="no product touches the box"):
        open_products(tmp_path, box=(0, 0, 1, 1))
    with pytest.raises(UnusableInputError, match="no product there within these days"):
        open_products(tmp_path, since="2030-01-01")


def test_what_cannot_be_put_together_is_said_in_a_line(tmp_path):
    with pytest.raises(UnusableInputError, match="no product there"):
        open_products(tmp_path)
    enhancement = make_enhancement((None, None))
    folder = publish_enhancement(enhancement, tmp_path)
    with pytest.raises(UnusableInputError, match="no place on the Earth"):
        open_products(folder)
    sea = replace(make_enhancement().scene, quantity="sea_surface_temperature")
    publish_enhancement(replace(make_enhancement(), scene=sea), tmp_path / "both")
    place(tmp_path / "both", digest="1123abcd")
    with pytest.raises(UnusableInputError, match="one quantity is wanted, found sea_surface_t"):
        open_products(tmp_path / "both")
    with pytest.raises(UnusableInputError, match="air_temperature is wanted, found sea_surface_t"):
        open_products(tmp_path / "both", quantity="air_temperature")
    chosen = open_products(tmp_path / "both", quantity="surface_temperature")
    assert chosen.scene_id.values.tolist() == ["demo-1123abcd"]
    assert "sea_surface_temperature" not in chosen


def test_degrees_are_rows_and_columns_too_whether_pixels_were_moved_or_resampled(tmp_path):
    step = 1 / 1200
    for move, day, digest in ((0.0, "2024-07-28", "0123abcd"), (0.1, "2024-08-01", "1123abcd")):
        grid = GEOGRAPHIC, Affine(step, 0, -118.3 + move * step, 0, -step, 34.1)
        named = {"acquired": f"{day}T20:40:25Z", "scene_id": f"demo-{digest}"}
        publish_enhancement(make_enhancement(grid, holes=False, **named), tmp_path)
    cube = open_products(tmp_path)
    assert cube.resampled.values.tolist() == [False, True]
    assert cube.surface_temperature.dims == ("time", "y", "x")
    assert cube.odc.geobox.crs.epsg == 4326
    first, second = cube.surface_temperature.values
    both = np.isfinite(first) & np.isfinite(second)
    assert both.sum() > 0.9 * first.size
    assert float(cube.x[0]) == pytest.approx(-118.3 + step / 8, abs=1e-9)


def test_of_many_products_a_damaged_one_is_named_and_left_out(tmp_path, caplog):
    place(tmp_path)
    for digest, damage in (("1123abcd", "record.json"), ("2123abcd", "*.zarr/surface_temperature/c/0/0")):
        folder = place(tmp_path, day="2024-08-01T00:00:00Z", digest=digest)
        next(folder.glob(damage)).unlink()
        with pytest.raises(DamagedProductError, match=r"record\.json cannot be read|c/0/0 is missing"):
            open_products(folder)
    with caplog.at_level("WARNING"):
        assert open_products(tmp_path).scene_id.values.tolist() == ["demo-0123abcd"]
    assert "demo-1123abcd: record.json cannot be read" in caplog.text
    assert "chunk surface_temperature/c/0/0 is missing; left out, `redo --damaged`" in caplog.text


GEOSTATIONARY = CRS.from_user_input("+proj=geos +h=35786023 +lon_0=-75 +sweep=x +ellps=GRS80").to_wkt()


@pytest.mark.parametrize(
    "grid",
    [
        (UTM, Affine(60, 20, 399960, 15, -55, 5300040)),
        (GEOSTATIONARY, Affine(2004, 0, -1.4e6, 0, -2004, 4.1e6)),
    ],
    ids=["rotated", "geostationary"],
)
def test_rotated_and_geostationary_products_have_longitude_and_latitude_on_request(tmp_path, grid):
    cube = with_degrees(open_products(publish_enhancement(make_enhancement(grid), tmp_path)))
    row, column = 30, 50
    x, y = cube.odc.geobox.affine @ (column + 0.5, row + 0.5)
    wanted = Transformer.from_crs(grid[0], "OGC:CRS84", always_xy=True).transform(x, y)
    assert cube.longitude.dims == cube.latitude.dims == ("y", "x")
    np.testing.assert_allclose((cube.longitude[row, column], cube.latitude[row, column]), wanted, rtol=1e-9)

"""What an analyst's tools find in the store and in the GeoTIFF: the same pixels at the same place."""

import numpy as np
import odc.geo.xr  # noqa: F401 - registers the accessor
import pytest
import rasterio
import rioxarray
import xarray as xr
from affine import Affine
from pyproj import CRS
from rio_cogeo import cog_validate

from pipeline.products.store.zarr_store import open_store
from pipeline.products.views.cog import write_cogs
from tests.products.known import GRIDS, make_context, make_enhancement

# Their own use of the affine library, not ours.
pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")
CASES = [(name, scale) for name in GRIDS for scale in (2, 4, 8, 16)]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[0]}, x{case[1]}")
def product(request, tmp_path_factory):
    grid, scale = request.param
    enhancement = make_enhancement(grid, scale=scale)
    context = make_context(enhancement, tmp_path_factory.mktemp("product"))
    write_cogs(context.files.store, context)
    return context


def outer_corners(transform, shape):
    height, width = shape
    return np.array([transform @ corner for corner in [(0, 0), (width, 0), (width, height), (0, height)]])


def assert_same_place(product, crs, transform, shape):
    scene = product.enhancement.scene.grid
    assert shape == (scene.height * product.enhancement.scale, scene.width * product.enhancement.scale)
    assert CRS.from_user_input(crs) == CRS.from_wkt(scene.crs_wkt)
    np.testing.assert_allclose(
        outer_corners(transform, shape), np.array(scene.corners()), rtol=1e-9, err_msg="outer corners moved"
    )
    fine = scene.transform @ Affine.scale(1 / product.enhancement.scale)
    np.testing.assert_allclose(tuple(transform)[:6], tuple(fine)[:6], rtol=1e-9, atol=1e-12)


def test_rasterio_finds_the_geotiff_in_place(product):
    with rasterio.open(product.files.temperature_cog) as raster:
        assert_same_place(product, raster.crs.to_wkt(), raster.transform, raster.shape)


def test_rioxarray_finds_the_store_in_place(product):
    with xr.open_zarr(product.files.store, decode_coords="all") as store:
        kelvin = store["surface_temperature"]
        assert_same_place(product, kelvin.rio.crs.to_wkt(), kelvin.rio.transform(), kelvin.rio.shape)
        assert np.isnan(kelvin.rio.encoded_nodata)


def test_rioxarray_finds_the_geotiff_in_place(product):
    with rioxarray.open_rasterio(product.files.temperature_cog) as raster:
        assert_same_place(product, raster.rio.crs.to_wkt(), raster.rio.transform(), raster.rio.shape)


def test_odc_geo_finds_the_store_in_place(product):
    with xr.open_zarr(product.files.store, decode_coords="all") as store:
        box = store["surface_temperature"].odc.geobox
        assert_same_place(product, box.crs.to_wkt(), box.transform, tuple(box.shape))


def test_geotiff_and_store_hold_the_same_pixels(product):
    names = {
        "surface_temperature": product.files.temperature_cog,
        "surface_temperature_uncertainty": product.files.uncertainty_cog,
        "quality_flag": product.files.quality_cog,
    }
    with open_store(product.files.store) as store:
        for name, path in names.items():
            with rasterio.open(path) as raster:
                np.testing.assert_array_equal(raster.read(1), store[name])


def test_the_geotiffs_are_strictly_valid(product):
    for path in (product.files.temperature_cog, product.files.uncertainty_cog, product.files.quality_cog):
        assert cog_validate(path, strict=True) == (True, [], [])


def test_centers_of_fine_pixels_average_to_the_center_of_the_coarse_one(product):
    grid, scale = product.enhancement.grid, product.enhancement.scale
    rows, columns = np.mgrid[:scale, :scale] + 0.5
    fine = np.array(
        [grid.transform @ (column, row) for column, row in zip(columns.flat, rows.flat, strict=True)]
    )
    coarse = product.enhancement.scene.grid.transform @ (0.5, 0.5)
    np.testing.assert_allclose(fine.mean(axis=0), coarse, rtol=1e-12)

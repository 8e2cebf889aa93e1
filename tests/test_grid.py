"""Grids: edges stay, pixels split."""

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS

from pipeline.grid import Grid, Window, crs_code, crs_name, tile_windows

TRANSFORMS = {
    "north-up": Affine(70, 0, 600_000, 0, -70, 3_700_000),
    "south-up": Affine(70, 0, 600_000, 0, 70, 3_600_000),
    "rotated": Affine.translation(600_000, 3_700_000) @ Affine.rotation(17) @ Affine.scale(70, -70),
    "geographic": Affine(0.000629, 0, -180.0, 0, -0.000629, 34.4),
}


@pytest.mark.parametrize("scale", [2, 4, 8, 16])
@pytest.mark.parametrize("kind", TRANSFORMS)
def test_refining_keeps_the_outer_corners(kind, scale):
    grid = Grid("EPSG:32611", TRANSFORMS[kind], 37, 52)
    np.testing.assert_allclose(grid.refine(scale).corners(), grid.corners(), rtol=1e-12)


@pytest.mark.parametrize("scale", [2, 4, 8, 16])
@pytest.mark.parametrize("kind", ["north-up", "south-up", "geographic"])
def test_fine_centers_average_to_the_coarse_center(kind, scale):
    grid = Grid("EPSG:32611", TRANSFORMS[kind], 37, 52)
    fine = grid.refine(scale)
    for coarse_centers, fine_centers in (
        (grid.center_x(), fine.center_x()),
        (grid.center_y(), fine.center_y()),
    ):
        np.testing.assert_allclose(fine_centers.reshape(-1, scale).mean(1), coarse_centers, rtol=1e-12)


def test_a_crop_keeps_its_place():
    grid = Grid("EPSG:32611", TRANSFORMS["rotated"], 40, 40)
    assert grid.crop(3, 5, 10, 10).corners()[0] == pytest.approx(grid.transform @ (5, 3))


def test_a_rotated_grid_has_no_one_dimensional_coordinates():
    with pytest.raises(ValueError, match="without rotation"):
        Grid("EPSG:32611", TRANSFORMS["rotated"], 4, 4).center_x()


def test_a_transform_without_area_is_refused():
    with pytest.raises(ValueError, match="has no area"):
        Grid("EPSG:32611", Affine(0, 0, 5, 0, 0, 5), 4, 4)


@given(height=st.integers(1, 60), width=st.integers(1, 60), tile_px=st.integers(1, 70))
def test_tiles_cover_every_pixel_once(height, width, tile_px):
    count = np.zeros((height, width), int)
    for window in tile_windows((height, width), tile_px):
        count[window.slices] += 1
    assert (count == 1).all()


@given(row=st.integers(0, 30), column=st.integers(0, 30), halo_px=st.integers(0, 20))
def test_a_window_is_found_again_inside_its_halo(row, column, halo_px):
    pixels = np.arange(40 * 40).reshape(40, 40)
    window = Window(row, column, 10, 10)
    outer = window.grow(halo_px, (40, 40))
    inner = pixels[outer.slices][window.within(outer).slices]
    np.testing.assert_array_equal(inner, pixels[window.slices])


@pytest.mark.parametrize("form", ["WKT2_2019", "WKT1_GDAL"])
@pytest.mark.parametrize("code", [4326, 32611, 3857, 5041])
def test_a_registered_reference_system_is_called_by_its_code_however_it_is_written(code, form):
    wkt = CRS.from_epsg(code).to_wkt(form)
    assert crs_code(wkt) == crs_name(wkt) == f"EPSG:{code}"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R=6371007.181 +units=m", "Sinusoidal"),
        ("+proj=geos +h=35786023 +lon_0=-75 +sweep=x +ellps=GRS80", "Geostationary Satellite (Sweep X)"),
        ("+proj=longlat +R=6371007.181", "Geographic 2D CRS"),
    ],
)
def test_a_reference_system_without_a_code_is_called_by_its_projection(text, name):
    wkt = CRS.from_user_input(text).to_wkt()
    assert (crs_code(wkt), crs_name(wkt)) == (None, name)

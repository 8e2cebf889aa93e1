import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS

from pipeline.grid import Grid
from pipeline.products.store import georeference
from tests.products.known import GEOGRAPHIC, GRIDS, UTM

GEOSTATIONARY = CRS.from_proj4("+proj=geos +h=35786023 +lon_0=-75 +sweep=x +ellps=GRS80").to_wkt()
SINUSOIDAL = CRS.from_proj4("+proj=sinu +R=6371007.181 +units=m").to_wkt()


@pytest.mark.parametrize("name", GRIDS)
def test_the_gdal_transform_is_the_grids(name):
    crs, transform = GRIDS[name]
    mapping = georeference.grid_mapping(Grid(crs, transform, 24, 20).refine(8))
    terms = [float(term) for term in mapping["GeoTransform"].split()]
    assert Affine.from_gdal(*terms) == transform @ Affine.scale(1 / 8)


@pytest.mark.parametrize("name", GRIDS)
def test_the_conventions_state_transform_shape_and_box(name):
    grid = Grid(*GRIDS[name], 24, 20)
    stated = georeference.convention_attributes(grid)
    assert Affine(*stated["spatial:transform"]) == grid.transform
    assert stated["spatial:shape"] == [24, 20]
    corners = np.array(grid.corners())
    assert stated["spatial:bbox"] == [*corners.min(0), *corners.max(0)]


def test_a_reference_system_with_a_code_is_named_by_authority_and_code():
    assert georeference.crs_attributes(UTM) == {"proj:code": "EPSG:32633"}
    assert georeference.crs_attributes(CRS.from_epsg(32633).to_wkt("WKT1_GDAL")) == {
        "proj:code": "EPSG:32633"
    }


@pytest.mark.parametrize("wkt", [SINUSOIDAL, GEOSTATIONARY])
def test_a_reference_system_without_a_code_is_spelled_out(wkt):
    named = georeference.crs_attributes(wkt)
    assert list(named) == ["proj:wkt2"]
    assert CRS.from_wkt(named["proj:wkt2"]) == CRS.from_wkt(wkt)


@pytest.mark.parametrize(
    ("wkt", "name"), [(SINUSOIDAL, "Sinusoidal"), (GEOSTATIONARY, "Geostationary Satellite (Sweep X)")]
)
def test_a_reference_system_without_a_name_is_called_by_its_projection(wkt, name):
    said = georeference.grid_mapping(Grid(wkt, Affine.identity(), 4, 4))
    assert said["long_name"] == name
    assert not {"unknown", "undefined"} & set(map(str, said.values()))
    assert CRS.from_cf(said) == CRS.from_wkt(wkt)


def test_nothing_is_invented_for_a_scene_without_a_place():
    grid = Grid(None, None, 24, 20)
    assert georeference.grid_mapping(grid) is None
    assert georeference.coordinates(grid) == {}
    assert georeference.convention_attributes(grid) == {}
    assert georeference.footprint(grid) is None


def test_a_rotated_grid_has_no_one_dimensional_coordinates():
    assert georeference.coordinates(Grid(*GRIDS["rotated"], 24, 20)) == {}


@pytest.mark.parametrize(("wkt", "unit"), [(UTM, "m"), (GEOGRAPHIC, "degrees_east")])
def test_coordinates_name_their_axis_and_unit(wkt, unit):
    _, described = georeference.coordinates(Grid(wkt, Affine(1, 0, 0, 0, -1, 0), 2, 2))["x"]
    assert (described["axis"], described["units"]) == ("X", unit)


@given(
    west=st.floats(-180, 180),
    south=st.floats(-80, 70),
    size=st.floats(0.01, 9),
    south_up=st.booleans(),
)
def test_a_footprint_is_closed_counterclockwise_and_as_large_as_the_scene(west, south, size, south_up):
    step = size / 10
    transform = (
        Affine(step, 0, west, 0, step, south) if south_up else Affine(step, 0, west, 0, -step, south + size)
    )
    outline = georeference.footprint(Grid(GEOGRAPHIC, transform, 10, 10))
    parts = getattr(outline, "geoms", [outline])
    assert outline.is_valid
    assert all(part.exterior.is_ccw for part in parts)
    assert outline.area == pytest.approx(size**2, rel=1e-2, abs=1e-4)
    assert all(-180 <= part.bounds[0] < part.bounds[2] <= 180 for part in parts)


@pytest.mark.parametrize(
    ("west", "wanted", "parts"),
    [(175, (175, -175), 2), (180, (-180, -170), 1), (170, (170, 180), 1), (200, (-160, -150), 1)],
)
def test_a_scene_near_the_antimeridian_is_cut_only_where_it_crosses(west, wanted, parts):
    outline = georeference.footprint(Grid(GEOGRAPHIC, Affine(1, 0, west, 0, -1, 5), 10, 10))
    west, _, east, _ = georeference.bounds_degrees(outline)
    assert len(getattr(outline, "geoms", [outline])) == parts
    assert (west, east) == wanted


@pytest.mark.parametrize("west", [-180, 0])
def test_a_globe_goes_all_around(west):
    outline = georeference.footprint(Grid(GEOGRAPHIC, Affine(1, 0, west, 0, -1, 90), 180, 360))
    assert georeference.bounds_degrees(outline) == (-180, -90, 180, 90)


def test_a_scene_around_the_pole_reaches_it():
    grid = Grid(CRS.from_epsg(3413).to_wkt(), Affine(1000, 0, -5e5, 0, -1000, 5e5), 1000, 1000)
    outline = georeference.footprint(grid)
    assert outline.is_valid
    assert georeference.bounds_degrees(outline) == pytest.approx((-180, 83.48, 180, 90), abs=0.01)


def test_a_full_disk_has_no_outline_on_the_globe():
    grid = Grid(GEOSTATIONARY, Affine(1e5, 0, -5.5e6, 0, -1e5, 5.5e6), 110, 110)
    assert georeference.footprint(grid) is None


def test_a_sinusoidal_tile_is_where_it_is():
    tile = 1111950.519667
    grid = Grid(SINUSOIDAL, Affine(tile / 1200, 0, -4 * tile, 0, -tile / 1200, 0), 1200, 1200)
    west, south, east, north = georeference.bounds_degrees(georeference.footprint(grid))
    assert (round(south), round(north)) == (-10, 0)
    assert (round(west, 1), round(east, 1)) == (-40.6, -30.0)

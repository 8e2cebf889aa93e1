"""Where a scene lies: every way a file can say it, and none that it does not say."""

import math

import h5py
import netCDF4
import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from pipeline.archive.placement import crs_from_text, gsd_m, transform_from_centers
from pipeline.errors import UnusableInputError
from pipeline.settings import ProductRule
from tests.archive.finding import read
from tests.archive.twins import LAT, LON, UTM, degrees, landscape, small_nc, write_tif

KELVIN = landscape(8, 9).astype(np.float32)


@given(
    a=st.floats(0.0005, 1000),
    e=st.floats(-1000, 1000).filter(lambda step: abs(step) > 0.0005),
    c=st.floats(-1e6, 1e6),
    f=st.floats(-1e6, 1e6),
)
def test_centers_give_back_the_corners_they_were_made_of(a, e, c, f):
    x, y = c + a * (np.arange(9) + 0.5), f + e * (np.arange(8) + 0.5)
    found = transform_from_centers(x, y, slack=1e-9 * max(abs(c), abs(f), 1))
    np.testing.assert_allclose(tuple(found)[:6], (a, 0, c, 0, e, f), rtol=1e-5, atol=1e-6)


def test_float32_coordinates_are_even_within_their_rounding():
    x = degrees(2000, -118.7, 0.00063).astype(np.float32)
    slack = float(np.finfo(np.float32).eps) * 119
    found = transform_from_centers(x.astype(float), degrees(9, 34.0, -0.00063), slack)
    assert found.a == pytest.approx(0.00063, rel=1e-5)


def test_longitudes_across_the_date_line_go_on():
    x = (degrees(9, 179.6, 0.1) + 180) % 360 - 180
    assert transform_from_centers(x, degrees(8, 0.0, -0.1)).a == pytest.approx(0.1)


def test_a_mercator_pixel_shrinks_toward_the_poles():
    crs = pyproj.CRS.from_epsg(3857)
    y_60 = pyproj.Transformer.from_crs(4326, 3857, always_xy=True).transform(0, 60)[1]
    spacing = gsd_m(crs, Affine(100, 0, 0, 0, -100, y_60 + 50), (1, 1))
    assert spacing == pytest.approx((50, 50), rel=0.01)


def test_degrees_become_meters_at_the_center():
    spacing = gsd_m(pyproj.CRS.from_epsg(4326), Affine(0.01, 0, 10, 0, -0.01, 60.005), (1, 1))
    assert spacing == pytest.approx((1114.1, 557.8), rel=2e-3)  # WGS 84 at 60 degrees north


def test_feet_become_meters():
    spacing = gsd_m(pyproj.CRS.from_epsg(2263), Affine(100, 0, 9.8e5, 0, -100, 2e5), (4, 4))
    assert spacing == pytest.approx((30.48, 30.48), rel=1e-4)


def test_no_grid_has_no_spacing():
    assert all(math.isnan(spacing) for spacing in gsd_m(None, None, (4, 4)))


@pytest.mark.parametrize("text", ["EPSG:32633", "epsg:4326", "+proj=utm +zone=33 +datum=WGS84", "OGC:CRS84"])
def test_plain_reference_systems_are_understood(text):
    assert crs_from_text(text) == pyproj.CRS.from_user_input(text)


@pytest.mark.parametrize("transform", [
    UTM, Affine(70, 0, 6e5, 0, 70, 3.7e6), UTM @ Affine.rotation(30), Affine(30, 5, 6e5, 7, -60, 3.7e6),
], ids=["north-up", "south-up", "rotated", "sheared"])  # fmt: skip
def test_a_geotiff_keeps_its_orientation(transform, tmp_path):
    scene = read(write_tif(tmp_path / "a.tif", KELVIN, transform=transform, units="K"))
    np.testing.assert_allclose(tuple(scene.grid.transform)[:6], tuple(transform)[:6], rtol=1e-12)
    np.testing.assert_array_equal(scene.temperature, KELVIN)


def test_pixel_is_point_and_pixel_is_area_lie_at_the_same_place(tmp_path):
    area = read(write_tif(tmp_path / "a.tif", KELVIN, units="K", tags={"AREA_OR_POINT": "Area"}))
    point = read(write_tif(tmp_path / "b.tif", KELVIN, units="K", tags={"AREA_OR_POINT": "Point"}))
    assert area.grid == point.grid


def test_a_raster_without_any_grid_is_taken_and_that_is_told(tmp_path):
    scene = read(write_tif(tmp_path / "a.tif", KELVIN, crs=None, transform=None, units="K"))
    assert (scene.grid.crs_wkt, scene.grid.transform) == (None, None)
    assert "no georeference" in scene.assumptions
    assert all(math.isnan(spacing) for spacing in scene.gsd_m)


def test_a_raster_without_any_grid_is_refused_where_the_setting_says_so(tmp_path):
    path = write_tif(tmp_path / "a.tif", KELVIN, crs=None, transform=None, units="K")
    with pytest.raises(
        UnusableInputError, match=r"no georeference, and archive\.allow_ungeoreferenced is off"
    ):
        read(path, allow_ungeoreferenced=False)


def test_a_rule_supplies_the_reference_system_a_file_lacks(tmp_path):
    path = write_tif(tmp_path / "a.tif", KELVIN, crs=None, units="K")
    bare = read(path)
    assert "no reference system" in bare.assumptions
    scene = read(path, products=(ProductRule(pattern="*.tif", crs="EPSG:32611"),))
    assert pyproj.CRS.from_wkt(scene.grid.crs_wkt).to_epsg() == 32611
    assert scene.facts["crs"] == "[[archive.products]] *.tif"
    assert scene.grid.transform == bare.grid.transform


def test_a_rule_s_bounds_are_the_edges_of_the_outer_pixels(tmp_path):
    path = write_tif(tmp_path / "a.tif", KELVIN, crs=None, transform=None, units="K")
    height, width = KELVIN.shape
    edges = (5e5, 4e6, 5e5 + 70 * width, 4e6 + 60 * height)
    scene = read(path, products=(ProductRule(pattern="*", crs="EPSG:32611", bounds=edges),))
    assert tuple(scene.grid.transform)[:6] == (70, 0, 5e5, 0, -60, 4e6 + 60 * height)
    assert scene.facts["transform"] == "[[archive.products]] *"
    assert scene.gsd_m == pytest.approx((60, 70))
    with pytest.raises(UnusableInputError, match="gives a crs, but nothing gives a transform; add it there"):
        read(path, products=(ProductRule(pattern="*", crs="EPSG:32611"),))


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"bounds": (5.0, 0.0, 1.0, 1.0)}, "xmin, ymin, xmax, ymax are wanted"),
        ({"bounds": (0, 0, 1, 1), "transform": (1, 0, 0, 0, -1, 0)}, "transform and bounds say the same"),
    ],
)
def test_bounds_that_hold_nothing_or_contradict_are_a_wrong_setting(told, said):
    with pytest.raises(ValueError, match=said):
        ProductRule(pattern="*", **told)


def test_latitude_and_longitude_without_a_mapping_are_wgs84_and_that_is_told(tmp_path):
    scene = read(small_nc(tmp_path / "a.nc"))
    assert "reference system assumed: EPSG:4326 for latitude and longitude" in scene.assumptions
    np.testing.assert_allclose(tuple(scene.grid.transform)[:6], (0.1, 0, 4.95, 0, -0.1, 40.05), rtol=1e-9)


def test_names_alone_tell_latitude_and_longitude(tmp_path):
    path = small_nc(tmp_path / "a.nc", rows=("Latitude", degrees(8, 40.0, -0.1), {}),
                  columns=("Longitude", degrees(9, 5.0, 0.1), {}))  # fmt: skip
    assert read(path).grid.transform.a == pytest.approx(0.1)


def test_columns_by_rows_are_turned_to_rows_by_columns(tmp_path):
    path = small_nc(tmp_path / "a.nc", data=np.ascontiguousarray(KELVIN.T),
                  rows=("lon", degrees(9, 5.0, 0.1), LON),
                  columns=("lat", degrees(8, 40.0, -0.1), LAT))  # fmt: skip
    scene = read(path)
    np.testing.assert_array_equal(scene.temperature, KELVIN)
    assert scene.grid.shape == (8, 9)
    assert (scene.grid.transform.a, scene.grid.transform.e) == pytest.approx((0.1, -0.1))


@pytest.mark.parametrize(("unit", "factor"), [("m", 1.0), ("km", 1000.0)])
def test_projected_coordinates_come_in_meters(unit, factor, tmp_path):
    path = small_nc(
        tmp_path / "a.nc",
        rows=("y", degrees(8, 3.7e6, -70.0) / factor, {"units": unit}),
        columns=("x", degrees(9, 6e5, 70.0) / factor, {"units": unit}),
        attrs={"units": "K", "grid_mapping": "utm"},
        grid_mapping=("utm", {"crs_wkt": pyproj.CRS.from_epsg(32611).to_wkt()}),
    )  # fmt: skip
    scene = read(path)
    assert scene.gsd_m == pytest.approx((70, 70))
    assert scene.grid.transform.c == pytest.approx(6e5 - 35)
    assert pyproj.CRS.from_wkt(scene.grid.crs_wkt).to_epsg() == 32611


def test_a_rotated_grid_of_gdal_is_understood(tmp_path):
    turned = UTM @ Affine.rotation(20)
    a, b, c, d, e, f = tuple(turned)[:6]
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as file:
        file.createDimension("y", 8)
        file.createDimension("x", 9)
        file.createVariable("spatial_ref", "i4").setncatts(
            {"crs_wkt": pyproj.CRS.from_epsg(32611).to_wkt(), "GeoTransform": f"{c} {a} {b} {f} {d} {e}"}
        )
        variable = file.createVariable("LST", "f4", ("y", "x"))
        variable.units, variable.grid_mapping = "K", "spatial_ref"
        variable[:] = KELVIN
    np.testing.assert_allclose(tuple(read(tmp_path / "a.nc").grid.transform)[:6], tuple(turned)[:6])


STRUCT = """GROUP=GridStructure
GROUP=GRID_1
GridName="VIIRS_Grid_Daily_1km_LST21"
XDim=9
YDim=8
UpperLeftPointMtrs=(-4447802.078667,0.000000)
LowerRightMtrs=(-4439462.449769,-7413.003465)
Projection=HE5_GCTP_SNSOID
ProjParams=(6371007.181000,0,0,0,0,0,0,0,0,0,0,0,0)
END_GROUP=GRID_1
END_GROUP=GridStructure
END
"""


def viirs(path, metadata=STRUCT):
    """A tile in the shape of VNP21A1D: HDF-EOS5, counts of 0.02 K, a misspelled fill attribute."""
    counts = np.round(KELVIN / 0.02).astype(np.uint16)
    counts[0, 0] = 0
    with h5py.File(path, "w") as file:
        file["HDFEOS INFORMATION/StructMetadata.0"] = np.bytes_(metadata)
        fields = file.create_group("HDFEOS/GRIDS/VIIRS_Grid_Daily_1km_LST21/Data Fields")
        fields["LST_1KM"] = counts
        fields["LST_1KM"].attrs.update({"scale_factor": 0.02, "units": "K", "_Fillvalue": np.uint16(0)})
        fields["QC"] = np.zeros_like(counts)
    return path, np.where(counts > 0, counts * 0.02, np.nan)


def test_a_viirs_tile_lies_on_the_grid_of_its_struct_metadata(tmp_path):
    path, truth = viirs(tmp_path / "VNP21A1D.A2019305.h14v09.001.2019306000000.h5")
    scene = read(path)
    np.testing.assert_allclose(scene.temperature, truth, rtol=1e-6)
    assert scene.gsd_m == pytest.approx((926.625433, 926.625433), rel=1e-6)
    assert scene.grid.transform.c == -4447802.078667
    assert pyproj.CRS.from_wkt(scene.grid.crs_wkt).coordinate_operation.method_name == "Sinusoidal"
    assert (scene.sensor.name, scene.ref.acquired) == ("VIIRS M-bands", "2019-11-01T00:00:00Z")


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("HE5_GCTP_SNSOID", "HE5_GCTP_GEO", "projection HE5_GCTP_GEO is not read"),
        ("-4439462.449769", "-9999999.9", "no sensible corners"),
        ("UpperLeftPointMtrs", "Nothing", "have no UpperLeftPointMtrs of 2 numbers"),
        ("LST21", "other", "has no metadata"),
    ],
)
def test_an_hdf_eos_grid_that_is_not_understood_is_refused(old, new, match, tmp_path):
    path, _ = viirs(tmp_path / "VNP21A1D.A2019305.h14v09.001.h5", STRUCT.replace(old, new))
    with pytest.raises(UnusableInputError, match=match):
        read(path)


def two_dimensional(path, lat, lon):
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("nj", 8)
        file.createDimension("ni", 9)
        for name, values, unit in (("lat", lat, "degrees_north"), ("lon", lon, "degrees_east")):
            variable = file.createVariable(name, "f8", ("nj", "ni"))
            variable.units = unit
            variable[:] = values
        variable = file.createVariable("LST", "f4", ("nj", "ni"))
        variable.units = "K"
        variable[:] = KELVIN
    return path


def test_a_grid_written_out_at_length_is_a_grid(tmp_path):
    lon, lat = np.meshgrid(degrees(9, 5.0, 0.1), degrees(8, 40.0, -0.1))
    assert read(two_dimensional(tmp_path / "a.nc", lat, lon)).grid.transform.e == pytest.approx(-0.1)


def test_coordinates_that_bend_are_a_swath(tmp_path):
    lon, lat = np.meshgrid(degrees(9, 5.0, 0.1), degrees(8, 40.0, -0.1))
    with pytest.raises(UnusableInputError, match="is a swath: latitude and longitude are given per pixel"):
        read(two_dimensional(tmp_path / "a.nc", lat + 0.01 * lon, lon))


def test_the_same_grid_through_netcdf_geotiff_and_npz_is_the_same(tmp_path):
    transform = Affine(0.1, 0, 4.95, 0, -0.1, 40.05)
    np.savez(tmp_path / "a.npz", data=KELVIN, units="K", lat=degrees(8, 40.0, -0.1), lon=degrees(9, 5.0, 0.1))
    np.savez(
        tmp_path / "b.npz",
        bt=KELVIN,
        units="K",
        crs="EPSG:4326",
        geotransform=np.array([4.95, 0.1, 0, 40.05, 0, -0.1]),
    )
    np.savez(
        tmp_path / "c.npz",
        lst=KELVIN,
        units="K",
        crs="EPSG:4326",
        transform=np.array(transform).reshape(3, 3),
    )
    tif = write_tif(tmp_path / "a.tif", KELVIN, units="K", crs="EPSG:4326", transform=transform)
    paths = [small_nc(tmp_path / "a.nc"), tif, *sorted(tmp_path.glob("*.npz"))]
    for scene in map(read, paths):
        np.testing.assert_allclose(
            tuple(scene.grid.transform)[:6], tuple(transform)[:6], rtol=1e-9, atol=1e-12
        )
        assert rasterio.crs.CRS.from_wkt(scene.grid.crs_wkt) == rasterio.crs.CRS.from_epsg(4326)

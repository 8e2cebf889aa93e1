"""Files made to harm: each ends as one printable line, and none runs, follows or swallows anything."""

import dataclasses
import io
import os
import pickle
import struct
import zipfile

import h5py
import netCDF4
import numpy as np
import pytest
import rasterio
from rasterio.control import GroundControlPoint

from pipeline.archive import read_scene
from pipeline.archive.formats.geotiff import tiff_time
from pipeline.archive.names import scene_id
from pipeline.errors import SkippedSceneError, UnreadableInputError, UnusableInputError
from tests.archive.finding import find, read, settings_for
from tests.archive.twins import LAT, LON, TWINS, UTM, degrees, landscape, write_nc, write_tif

KELVIN = landscape(8, 9).astype(np.float32)
RADIANS = {"units": "rad"}


def refused(path, match, **told):
    """The one line with which a file is refused."""
    with pytest.raises(UnusableInputError, match=match) as error:
        read(path, **told)
    line = str(error.value)
    assert line.isprintable()
    assert len(line) < 500
    return line


# --- NPZ -------------------------------------------------------------------------------------------


class Canary:
    """Runs a command when it is unpickled."""

    def __init__(self, path, call):
        self.path, self.call = str(path), call

    def __reduce__(self):
        return {
            "system": (os.system, (f"touch {self.path}",)),
            "open": (open, (self.path, "w")),
            "mkdir": (os.mkdir, (self.path,)),
            "eval": (eval, (f"open({self.path!r}, 'w')",)),
            "exec": (exec, (f"open({self.path!r}, 'w')",)),
        }[self.call]


def npy(array, **kwargs):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array), **kwargs)
    return buffer.getvalue()


def npy_with_header(header, body=b"", version=1, length=None):
    """A .npy whose header may lie."""
    text = header.encode("latin-1")
    size = len(text) if length is None else length
    return (
        b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<L", size) + text + body
    )


def zip_of(path, members, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("key", ["data", "lst", "units", "transform", "meta"])
@pytest.mark.parametrize("call", ["system", "open", "mkdir", "eval", "exec"])
def test_a_pickled_program_in_an_npz_never_runs(key, call, tmp_path):
    canary = tmp_path / "canary"
    members = {"data": KELVIN} if key not in ("data", "lst") else {}
    path = tmp_path / "bad.npz"
    np.savez(path, **members, **{key: np.array([Canary(canary, call)] * 4, dtype=object)})
    refused(path, "pickled objects, which are never unpacked")
    assert not canary.exists()


@pytest.mark.parametrize("name", ["data.npy", "data.pkl"])
def test_a_bare_pickle_inside_an_npz_never_runs(name, tmp_path):
    canary = tmp_path / "canary"
    path = zip_of(tmp_path / "bad.npz", [(name, pickle.dumps(Canary(canary, "system")))])
    refused(path, "no .npy array|plain keys")
    assert not canary.exists()


def test_a_bare_pickle_named_npz_never_runs(tmp_path):
    canary = tmp_path / "canary"
    (tmp_path / "bad.npz").write_bytes(pickle.dumps(Canary(canary, "system")))
    refused(tmp_path / "bad.npz", "is no .npz: it begins with")
    assert not canary.exists()


HEADER = "{{'descr': '{}', 'fortran_order': False, 'shape': {}, }}"


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (npy_with_header(HEADER.format("<f4", (10**9, 10**9))), "data has 1000000000000000000 elements"),
        (npy_with_header(HEADER.format("<f4", (100, 100)), b"\0" * 16), "not what the file holds"),
        (npy_with_header(HEADER.format("<f4", (-4, -4)), b"\0" * 64), "not what the file holds|plain"),
        (npy_with_header(HEADER.format("<f4", (2, 2)), b"\0" * 16, version=3), "version 3"),
        (npy_with_header(HEADER.format("<f4", (2, 2)), version=2, length=1 << 31), "header of 2147483648"),
        (npy_with_header(HEADER.format("|O", (2, 2)), b"\x80\x04."), "pickled objects"),
        (npy_with_header("__import__('os').system('touch canary')"), "no plain .npz"),
        (npy_with_header("(" * 5000 + ")" * 5000), "no plain .npz|damaged"),
        (npy_with_header(HEADER.format("<f4", (2, 2)), b"\0" * 16, length=60_000), "no plain|damaged"),
        (npy_with_header("{'descr': '<f4', 'shape': ("), "no plain .npz"),
        (npy(np.array(["a", "b"])), "holds <U1|real numbers are wanted"),
        (npy(np.zeros((4, 4), dtype=complex)), "real numbers are wanted"),
        (npy(np.zeros((4, 4), dtype=[("a", "f4")])), "real numbers are wanted"),
        (npy(np.zeros(16, dtype="f4")), r"shape \(16,\): one picture"),
        (npy(np.zeros((3, 4, 4), dtype="f4")), r"shape \(3, 4, 4\): one picture"),
        (b"\x93NUM", "is no .npy array"),
        (b"", "is no .npy array"),
    ],
)  # fmt: skip
def test_a_lying_npy_inside_an_npz_is_refused(content, match, tmp_path):
    refused(zip_of(tmp_path / "bad.npz", [("data.npy", content)]), match)


@pytest.mark.parametrize(
    "name", ["../data.npy", "/etc/data.npy", "a/data.npy", "data.txt", "data\n.npy", "..npy", "dätä.npy"]
)  # fmt: skip
def test_strange_member_names_are_refused(name, tmp_path):
    refused(zip_of(tmp_path / "bad.npz", [(name, npy(KELVIN))]), "plain keys")


def test_more_than_64_members_are_refused(tmp_path):
    members = [(f"key{index}.npy", npy(0)) for index in range(65)]
    refused(zip_of(tmp_path / "bad.npz", members), "has 65 members, 64 are allowed")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_members_of_the_same_name_are_refused(tmp_path):
    members = [("data.npy", npy(KELVIN)), ("data.npy", npy(KELVIN + 1))]
    refused(zip_of(tmp_path / "bad.npz", members), "has 2 members, 64 different ones are allowed")


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path):
    bomb = npy(np.zeros((5000, 5000), dtype=np.float32))
    refused(zip_of(tmp_path / "bad.npz", [("data.npy", bomb)]), "an empty picture or a bomb")


def test_an_npz_larger_than_allowed_is_refused_by_its_directory(tmp_path):
    path = zip_of(tmp_path / "bad.npz", [("data.npy", npy(np.random.default_rng(0).random((600, 600))))])
    refused(path, "archive.max_pixels allows 1000 pixels", max_pixels=1000)


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_strange_compression_is_refused(compression, tmp_path):
    refused(zip_of(tmp_path / "bad.npz", [("data.npy", npy(KELVIN))], compression), "strangely compressed")


def test_a_directory_that_points_before_the_file_is_refused(tmp_path):
    path, _ = TWINS["npz"](tmp_path)
    content = bytearray(path.read_bytes())
    directory = content.rfind(b"PK\x01\x02")
    content[directory + 42 : directory + 46] = struct.pack("<L", 0xFFFFFF00)
    path.write_bytes(content)
    refused(path, "points nowhere|damaged")


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9, 0.99])
def test_a_truncated_npz_is_refused(share, tmp_path):
    path, _ = TWINS["npz"](tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    refused(path, "damaged|complete|cut short|begins")


@pytest.mark.parametrize("at", range(0, 2000, 97))
def test_a_flipped_byte_in_an_npz_gives_a_scene_or_a_reason(at, tmp_path):
    path, _ = TWINS["npz"](tmp_path)
    content = bytearray(path.read_bytes())
    content[at % len(content)] ^= 0xFF
    path.write_bytes(content)
    scene_or_reason(path)


def scene_or_reason(path):
    """Nothing but our own errors may come out of a damaged file."""
    line = ""
    try:
        read(path)
    except (UnusableInputError, SkippedSceneError) as error:
        line = str(error)
    assert line.isprintable()


@pytest.mark.parametrize(
    ("told", "match"),
    [
        ({"transform": np.full(6, np.nan)}, "terms that are no numbers"),
        ({"transform": np.array([np.inf, 0, 0, 0, -1, 0])}, "terms that are no numbers"),
        ({"transform": np.zeros(6)}, "gives pixels no area"),
        ({"transform": np.zeros(5)}, "transform has 5 terms"),
        ({"transform": np.array(["a"] * 6)}, "plain"),
        ({"scale": 0.0}, "decodes nothing"),
        ({"scale": np.nan}, "decodes nothing"),
        ({"units": "furlong"}, "its unit is 'furlong'"),
        ({"units": 7}, "units is no single text"),
        ({"crs": "+proj=longlat +init=/etc/passwd"}, "is no EPSG code, WKT or plain PROJ string"),
        ({"crs": "+proj=longlat +nadgrids=/etc/passwd"}, "is no EPSG code, WKT or plain PROJ string"),
        ({"crs": "http://example.com/crs"}, "is no EPSG code, WKT or plain PROJ string"),
        ({"crs": "/etc/passwd"}, "is no EPSG code, WKT or plain PROJ string"),
        ({"crs": "EPSG:999999"}, "is not understood"),
        ({"mask": np.zeros((3, 3), bool)}, r"mask is \(3, 3\) pixels"),
        ({"mask": np.zeros((8, 9), bool), "valid": np.ones((8, 9), bool)}, "both mask .* and valid"),
        ({"x": np.arange(3.0), "y": np.arange(3.0)}, "x and y are"),
        ({"x": np.arange(9.0) ** 2, "y": np.arange(8.0)}, "columns are not evenly spaced"),
        ({"lon": np.add.outer(np.arange(8.0), np.arange(9.0)), "lat": np.zeros((8, 9))},
         "is a swath"),
        ({"bt": KELVIN}, "more than one key may be the temperature: data, bt"),
        ({"crs": "EPSG:4326", "transform": np.array([30, 0, 6e5, 0, -30, 4e6])}, "nowhere"),
    ],
)  # fmt: skip
def test_keys_that_make_no_sense_are_refused(told, match, tmp_path):
    path = tmp_path / "bad.npz"
    np.savez(path, **{"data": KELVIN, "units": "K", **told})
    refused(path, match)


# --- GeoTIFF ---------------------------------------------------------------------------------------

VRT = """<VRTDataset rasterXSize="8" rasterYSize="8"><VRTRasterBand dataType="Byte" band="1"
subClass="VRTRawRasterBand"><SourceFilename relativetoVRT="0">{}</SourceFilename></VRTRasterBand>
</VRTDataset>"""


@pytest.mark.parametrize(
    "content",
    [
        VRT.format("/etc/passwd").encode(),
        VRT.format("/vsicurl/http://127.0.0.1:9/x").encode(),
        b"<GDAL_WMS><Service name='TMS'><ServerUrl>http://127.0.0.1:9/</ServerUrl></Service></GDAL_WMS>",
        b"\x89PNG\r\n\x1a\n" + b"\0" * 64,
        b"\x89HDF\r\n\x1a\n" + b"\0" * 64,
        b"PK\x03\x04" + b"\0" * 64,
        b"%PDF-1.7",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        b"",
        b"II",
        b"\0" * 4096,
    ],
    ids=["vrt", "vrt-url", "wms", "png", "hdf5", "zip", "pdf", "lfs", "empty", "two bytes", "zeros"],
)
def test_what_is_no_tiff_is_not_opened_by_any_other_driver(content, tmp_path):
    (tmp_path / "bad.tif").write_bytes(content)
    refused(tmp_path / "bad.tif", "is no GeoTIFF")


def test_a_vrt_is_not_opened_even_to_ask_for_its_time(tmp_path):
    told = "<Metadata><MDI key='TIFFTAG_DATETIME'>2020:02:02 02:02:02</MDI></Metadata><VRTRasterBand"
    (tmp_path / "bad.tif").write_text(VRT.format("/etc/passwd").replace("<VRTRasterBand", told))
    assert tiff_time(tmp_path / "bad.tif") is None


def test_a_huge_empty_tiff_is_refused_before_it_is_read(tmp_path):
    with rasterio.open(tmp_path / "sparse.tif", "w", driver="GTiff", count=1, height=9000, width=9000,
                       dtype="uint16", sparse_ok=True, crs="EPSG:32611", transform=UTM):  # fmt: skip
        pass
    refused(tmp_path / "sparse.tif", "declares 9000 x 9000 pixels in .* bytes: an empty picture or a bomb")


@pytest.mark.parametrize("share", [0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_a_truncated_geotiff_is_refused(share, tmp_path):
    noise = np.random.default_rng(0).integers(14000, 16000, (300, 300)).astype(np.uint16)
    path = write_tif(tmp_path / "cut.tif", noise, scale=0.02, units="K")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    refused(path, "cut short or damaged|make no sense|no GeoTIFF")


@pytest.mark.parametrize("at", range(0, 480, 13))
def test_a_flipped_byte_in_a_tiff_header_gives_a_scene_or_a_reason(at, tmp_path):
    path = write_tif(tmp_path / "flip.tif", KELVIN, units="K")
    content = bytearray(path.read_bytes())
    content[at] ^= 0xFF
    path.write_bytes(content)
    scene_or_reason(path)


def tiff_directory(entries):
    """A little-endian TIFF of nothing but a directory: (tag, type, count, value)."""
    packed = b"".join(struct.pack("<HHLL", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<LH", 8, len(entries)) + packed + struct.pack("<L", 0) + b"\0" * 64


@pytest.mark.parametrize(
    ("width", "height", "told"),
    [(60_000, 60_000, {}), (2**31 - 1, 2, {}), (2**32 - 1, 2**32 - 1, {}), (20_000, 20_000, {}), (0, 0, {}),
     (100, 100, {"max_pixels": 9999})],
)  # fmt: skip
def test_huge_dimensions_in_a_tiny_tiff_are_refused(width, height, told, tmp_path):
    entries = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 16), (259, 3, 1, 1), (262, 3, 1, 1),
               (273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, max(height, 1)), (279, 4, 1, 64)]  # fmt: skip
    (tmp_path / "huge.tif").write_bytes(tiff_directory(entries))
    refused(tmp_path / "huge.tif", "pixels|damaged|make no sense", **told)


def test_sidecar_files_change_nothing(tmp_path):
    path = write_tif(tmp_path / "one.tif", KELVIN, units="K")
    before = read(path)
    band = "<PAMRasterBand band='1'><Scale>9</Scale></PAMRasterBand>"
    xml = f"<PAMDataset><SRS>EPSG:32633</SRS>{band}</PAMDataset>"
    (tmp_path / "one.tif.aux.xml").write_text(xml)
    (tmp_path / "one.tfw").write_text("1\n0\n0\n-1\n0\n0\n")
    (tmp_path / "one.tif.ovr").write_bytes(b"II*\0")
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(tmp_path / "one.tif", "r+") as file:
        file.write_mask(np.zeros(KELVIN.shape, np.uint8))
    assert (tmp_path / "one.tif.msk").exists()
    after = read(path)
    np.testing.assert_array_equal(before.temperature, after.temperature)
    assert before.grid == after.grid


def test_only_ground_control_points_are_a_swath(tmp_path):
    points = [GroundControlPoint(row, column, 10 + column, 40 - row) for row in (0, 7) for column in (0, 8)]
    with rasterio.open(tmp_path / "gcp.tif", "w", driver="GTiff", count=1, height=8, width=9, dtype="float32",
                       gcps=points, crs="EPSG:4326") as file:  # fmt: skip
        file.write(KELVIN, 1)
    refused(tmp_path / "gcp.tif", "only ground control points, no grid: a swath")


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_complex_pixels_are_refused(dtype, tmp_path):
    refused(write_tif(tmp_path / "complex.tif", KELVIN.astype(dtype)), "real numbers are wanted")


@pytest.mark.parametrize("scale", [0.0, float("inf"), float("nan")])
def test_a_scale_that_decodes_nothing_is_refused(scale, tmp_path):
    refused(write_tif(tmp_path / "scale.tif", KELVIN, scale=scale, units="K"), "decode nothing")


def test_control_characters_in_tags_do_not_reach_the_report(tmp_path):
    path = write_tif(tmp_path / "tags.tif", KELVIN, units="\x1b[31mred\x07", description="a\r\nb\x00c")
    refused(path, "is no temperature: its unit is")


# --- NetCDF ----------------------------------------------------------------------------------------


def small_nc(path, **told):
    """A good file, but for what is told."""
    good = {
        "data": KELVIN,
        "rows": ("lat", degrees(8, 40.0, -0.1), LAT),
        "columns": ("lon", degrees(9, 5.0, 0.1), LON),
        "attrs": {"units": "K"},
    }
    return write_nc(path, **{**good, **told})


def test_the_good_file_is_good(tmp_path):
    np.testing.assert_array_equal(read(small_nc(tmp_path / "good.nc")).temperature, KELVIN)


@pytest.mark.parametrize(
    ("attrs", "match"),
    [
        ({"units": "K", "scale_factor": "0.02"}, None),
        ({"units": "K", "scale_factor": "rm -rf"}, "scale_factor is 'rm -rf', a number is wanted"),
        ({"units": "K", "scale_factor": np.nan}, "a finite number is wanted"),
        ({"units": "K", "scale_factor": 0.0}, "is 0 and decodes nothing"),
        ({"units": "K", "add_offset": np.inf}, "a finite number is wanted"),
        ({"units": "\x1b]0;x\x07K"}, "is no temperature: its unit is"),
        ({"units": "K" * 100_000}, "is no temperature: its unit is"),
        ({"units": np.arange(5)}, None),
        ({"units": "K", "grid_mapping": "/etc/passwd"}, None),
        ({"units": "K", "coordinates": "http://127.0.0.1:9/x file:///etc/passwd"}, None),
        ({"units": "K", "valid_range": np.array([np.nan, np.nan])}, None),
        ({"units": "K", "valid_range": np.array([1000.0, 2000.0])}, "every pixel is fill"),
        ({"units": "K", "missing_value": "nothing"}, None),
    ],
)
def test_hostile_attributes_give_a_scene_or_a_reason(attrs, match, tmp_path):
    path = small_nc(tmp_path / "attrs.nc", attrs=attrs)
    if match is None:
        scene_or_reason(path)
    else:
        with pytest.raises((UnusableInputError, SkippedSceneError), match=match) as error:
            read(path)
        assert str(error.value).isprintable()
        assert len(str(error.value)) < 500


@pytest.mark.parametrize(
    "mapping",
    [
        {"crs_wkt": "+proj=longlat +nadgrids=@/etc/passwd"},
        {"crs_wkt": "http://127.0.0.1:9/wkt"},
        {"spatial_ref": "not a wkt"},
        {"crs_wkt": 'GEOGCS["broken'},
        {"grid_mapping_name": "flat_earth"},
        {"grid_mapping_name": "latitude_longitude", "GeoTransform": "5 1 0 40 0 -1"},
        {"grid_mapping_name": "latitude_longitude", "GeoTransform": "5.05 0.1 0 40.05 0 -0.1"},
        {"grid_mapping_name": "latitude_longitude", "GeoTransform": "nan nan nan nan nan nan"},
    ],
)
def test_hostile_grid_mappings_are_refused(mapping, tmp_path):
    path = small_nc(tmp_path / "crs.nc", grid_mapping=("crs", mapping))
    refused(path, "no EPSG code|not understood|contradicts itself|no numbers")


@pytest.mark.parametrize(
    ("told", "match"),
    [
        ({"rows": ("lat", np.full(8, np.nan), LAT)}, "too few or not finite"),
        ({"rows": ("lat", np.zeros(8), LAT)}, "rows are not evenly spaced"),
        ({"rows": ("lat", degrees(8, 40.0, 1.0) ** 2, LAT)}, "rows are not evenly spaced"),
        ({"rows": ("lat", degrees(8, 400.0, 1.0), LAT)}, "nowhere"),
        ({"rows": ("y", degrees(8, 0.0, 1.0), RADIANS), "columns": ("x", degrees(9, 0.0, 1.0), RADIANS)},
         "is in radians and no perspective_point_height"),
        ({"attrs": {}, "data": KELVIN - 273.15}, "LST has no units, float32 values 11.85 to 46.85"),
        ({"data": np.zeros((8, 9), np.int16), "attrs": {"units": "1"}}, "is no temperature: its unit is '1'"),
        ({"extra": {"BT": (KELVIN, {"units": "K"})}}, "more than one variable may be .*: LST, BT"),
    ],
)  # fmt: skip
def test_netcdf_that_makes_no_sense_is_refused(told, match, tmp_path):
    refused(small_nc(tmp_path / "bad.nc", **told), match)


def test_a_series_of_times_is_refused(tmp_path):
    with netCDF4.Dataset(tmp_path / "series.nc", "w") as file:
        for name, size in (("time", 3), ("lat", 8), ("lon", 9)):
            file.createDimension(name, size)
        file.createVariable("LST", "f4", ("time", "lat", "lon"))[:] = 300.0
    refused(tmp_path / "series.nc", r"LST has dimensions \(3, 8, 9\): one picture")


def test_huge_dimensions_in_a_tiny_netcdf_are_refused(tmp_path):
    with netCDF4.Dataset(tmp_path / "huge.nc", "w") as file:
        file.createDimension("y", 100_000)
        file.createDimension("x", 100_000)
        file.createVariable("LST", "f4", ("y", "x"), chunksizes=(100, 100), zlib=True)
    refused(tmp_path / "huge.nc", "LST has 100000 x 100000 pixels, archive.max_pixels allows")
    refused(tmp_path / "huge.nc", "an empty picture or a bomb", max_pixels=10**11)


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.8, 0.99])
def test_a_truncated_netcdf_is_refused(share, tmp_path):
    path, _ = TWINS["netcdf"](tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    refused(path, "damaged|begins with")


@pytest.mark.parametrize("at", range(0, 6000, 211))
def test_a_flipped_byte_in_a_netcdf_gives_a_scene_or_a_reason(at, tmp_path):
    path = small_nc(tmp_path / "flip.nc")
    content = bytearray(path.read_bytes())
    content[at % len(content)] ^= 0xFF
    path.write_bytes(content)
    scene_or_reason(path)


def way_out_by_link(file, other):
    file["LST"] = h5py.ExternalLink(str(other), "/LST")


def way_out_by_storage(file, other):
    file.create_dataset("LST", (8, 9), "f4", external=[(str(other), 0, 8 * 9 * 4)])


def way_out_by_view(file, other):
    layout = h5py.VirtualLayout((8, 9), "f4")
    layout[:] = h5py.VirtualSource(str(other), "LST", (8, 9))
    file.create_virtual_dataset("LST", layout)


def way_out_in_a_group(file, other):
    file["LST"] = KELVIN
    file.create_group("a/b")["c"] = h5py.ExternalLink(str(other), "/LST")


@pytest.mark.parametrize(
    "way_out", [way_out_by_link, way_out_by_storage, way_out_by_view, way_out_in_a_group]
)
def test_numbers_in_another_file_are_not_followed(way_out, tmp_path):
    other = tmp_path / ".other.h5"
    with h5py.File(other, "w") as file:
        file["LST"] = KELVIN
    with h5py.File(tmp_path / "out.nc", "w") as file:
        way_out(file, other)
    refused(tmp_path / "out.nc", "another file: not followed")


def test_groups_that_contain_each_other_end(tmp_path):
    with h5py.File(tmp_path / "ring.nc", "w") as file:
        file.create_group("a/b")
        file["a/b/again"] = file["a"]
    refused(tmp_path / "ring.nc", "nested in itself or without end")


def test_groups_without_end_are_refused(tmp_path):
    with h5py.File(tmp_path / "deep.nc", "w") as file:
        file.create_group("/".join("g" * 100))
    refused(tmp_path / "deep.nc", "nested in itself or without end")


# --- names and storage -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["x" * 240, "тепло 温度", "a b\tc", "-rf", "a;rm -rf ~", "$(id)", "%2e%2e", "con", "a'b\"c", "🔥",
     "line\nbreak", "\x1b[31m"],
)  # fmt: skip
def test_any_name_becomes_a_safe_scene_id(name, tmp_path):
    path = write_tif(tmp_path / "plain.tif", KELVIN, units="K").rename(tmp_path / f"{name}.tif")
    ref = find(path)
    assert 10 <= len(ref.scene_id) <= 128
    assert ref.scene_id[0] not in ".-"
    assert set(ref.scene_id) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
    assert read(path).temperature.shape == (8, 9)


def test_an_empty_stem_still_makes_an_id():
    assert scene_id("...", "0123456789") == "scene-01234567"


def test_a_file_that_is_damaged_since_it_was_found_is_left_for_later(tmp_path):
    path = write_tif(tmp_path / "one.tif", KELVIN, units="K")
    ref, content = find(path), path.read_bytes()
    for damaged in (content[:300], b"", b"no picture"):
        path.write_bytes(damaged)
        with pytest.raises(UnreadableInputError, match=r"one\.tif: changed since it was found"):
            read_scene(ref, settings_for(path))


def test_a_file_that_is_gone_is_worth_another_try(tmp_path):
    path = write_tif(tmp_path / "one.tif", KELVIN, units="K")
    ref = find(path)
    path.unlink()
    with pytest.raises(UnreadableInputError, match=r"one\.tif: No such file"):
        read_scene(ref, settings_for(path))


def test_a_folder_in_place_of_a_file_is_worth_another_try(tmp_path):
    path = write_tif(tmp_path / "one.tif", KELVIN, units="K")
    ref = find(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(UnreadableInputError, match=r"one\.tif: Is a directory"):
        read_scene(ref, settings_for(path))


def test_a_reference_to_a_reader_that_does_not_exist_is_refused(tmp_path):
    ref = dataclasses.replace(find(write_tif(tmp_path / "one.tif", KELVIN, units="K")), reader="none")
    with pytest.raises(UnusableInputError, match="no reader 'none'; known: landsat_l2"):
        read_scene(ref, settings_for(tmp_path))

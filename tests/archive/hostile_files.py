"""Files that have ended, stopped or filled a process, made anew: for tests that read them apart."""

import struct
import zlib

import h5py
import numpy as np
import rasterio

_UNKNOWN_FILTER, _SZIP = 32004, 4


def szip_that_divides_by_zero(path):
    """A NetCDF whose szip filter has blocks of no pixels: its decoder ends the process with SIGFPE."""
    with h5py.File(path, "w") as file:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((64, 64))
        plist.set_filter(_UNKNOWN_FILTER, h5py.h5z.FLAG_OPTIONAL, (141, 0, 32, 64))
        space = h5py.h5s.create_simple((64, 64))
        made = h5py.h5d.create(file.id, b"lst", h5py.h5t.IEEE_F32LE, space, plist)
        made.write_direct_chunk((0, 0), struct.pack("<I", 64 * 64 * 4) + b"\x55" * 500)
        h5py.Dataset(made).attrs["units"] = "K"
    # the encoder refuses such a filter, so another one's number is changed to its number
    content = path.read_bytes()
    at = content.index(struct.pack("<H", _UNKNOWN_FILTER))
    path.write_bytes(content[:at] + struct.pack("<H", _SZIP) + content[at + 2 :])
    return path


def large_and_slow(path, write_tif, side=6000):
    """A sound GeoTIFF of a few kB whose reading takes a second or so."""
    return write_tif(path, np.full((side, side), 15000, np.uint16), units="K", scale=0.02)


SOUND = 300 + np.random.default_rng(0).random((64, 64), dtype=np.float32)


def _with_picture(file):
    file.create_dataset("lst", data=SOUND).attrs["units"] = "K"


def chunk_bomb(path):
    """64 x 64 pixels in one chunk of 1.6 GB."""
    with h5py.File(path, "w") as file:
        made = file.create_dataset(
            "lst", (64, 64), maxshape=(None, None), chunks=(20_000, 20_000), dtype="f4", compression="gzip"
        )
        made.attrs["units"] = "K"
        made.id.write_direct_chunk((0, 0), zlib.compress(bytes(1_000_000)))
    return path


def coordinate_bomb(path):
    """A small picture whose latitude and longitude have a third dimension of 10000."""
    with h5py.File(path, "w") as file:
        _with_picture(file)
        for name, unit in (("lat2", "degrees_north"), ("lon2", "degrees_east")):
            made = file.create_dataset(
                name, (40_000, 64, 64), chunks=(100, 64, 64), dtype="f8", compression="gzip", fillvalue=1.0
            )
            made.attrs["units"] = unit
    return path


def axis_bomb(path):
    """A picture of two rows whose columns have a coordinate of 200 million numbers that are not stored."""
    with h5py.File(path, "w") as file:
        wide = 200_000_000
        made = file.create_dataset("lst", (2, wide), chunks=(2, 100_000), dtype="i2", compression="gzip")
        made.attrs["units"] = "K"
        made.dims[1].label = "x"
        axis = file.create_dataset("x", (wide,), chunks=(100_000,), dtype="f8", compression="gzip")
        axis.make_scale("x")
        made.dims[1].attach_scale(axis)
    return path


def picture_bomb(path):
    """361 million pixels of which a few are stored."""
    with h5py.File(path, "w") as file:
        made = file.create_dataset(
            "lst", (19_000, 19_000), chunks=(500, 500), dtype="f4", compression="gzip", fillvalue=300.0
        )
        made.attrs["units"] = "K"
        made[:500, :500] = np.random.default_rng(0).random((500, 500)) + 300
    return path


def flag_bomb(path):
    """Quality flags of an ABI picture with a third dimension of 500000."""
    with h5py.File(path, "w") as file:
        file.create_dataset("CMI", data=SOUND).attrs["units"] = "K"
        file.create_dataset("DQF", (500_000, 64, 64), chunks=(100, 64, 64), dtype="u1", compression="gzip")
    return path


def band_bomb(path):
    """A GeoTIFF that has to decode 6.7 GB to give one block of one band."""
    with rasterio.open(
        path, "w", driver="GTiff", width=5000, height=5000, count=100, dtype="float32", interleave="pixel",
        compress="deflate", tiled=True, blockxsize=4096, blockysize=4096, SPARSE_OK=True, crs="EPSG:32611",
        transform=rasterio.Affine(30, 0, 5e5, 0, -30, 5e6),
    ) as file:  # fmt: skip
        file.set_band_unit(1, "K")
    return path


def empty_bomb(path):
    """A GeoTIFF of 361 million float64 pixels in a few kB."""
    with rasterio.open(
        path, "w", driver="GTiff", width=19_000, height=19_000, count=1, dtype="float64", compress="deflate",
        SPARSE_OK=True, crs="EPSG:32611", transform=rasterio.Affine(30, 0, 5e5, 0, -30, 5e6),
    ) as file:  # fmt: skip
        file.set_band_unit(1, "K")
    return path


def npz_bomb(path):
    """Coordinates of 12 million numbers beside 64 x 64 pixels."""
    np.savez_compressed(path, data=SOUND, lat=np.zeros((3000, 4000)), lon=np.zeros(64))
    return path


BOMBS = {
    "chunk.nc": chunk_bomb,
    "coordinate.nc": coordinate_bomb,
    "axis.nc": axis_bomb,
    "picture.nc": picture_bomb,
    "OR_ABI-L2-CMIPF-M6C13_G16_s20210011200000.nc": flag_bomb,
    "band.tif": band_bomb,
    "empty.tif": empty_bomb,
    "coordinate.npz": npz_bomb,
}

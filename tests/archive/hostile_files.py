"""Files that have ended, stopped or filled a process, made anew: for tests that read them apart."""

import struct

import h5py
import numpy as np

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

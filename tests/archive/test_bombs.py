"""Small files that declare much: refused from what they declare, or read without what nobody needs."""

import json
import subprocess
import sys
import textwrap

import h5py
import numpy as np
import pytest

from pipeline.archive.bounds import allowed_bytes
from pipeline.errors import UnusableInputError
from pipeline.settings import ArchiveSettings
from tests.archive.finding import read
from tests.archive.hostile_files import BOMBS, SOUND
from tests.archive.twins import UTM

REFUSED = {"chunk.nc", "axis.nc", "picture.nc", "band.tif", "empty.tif", "coordinate.npz"}
MEASURED = """
    import json, resource, sys
    from pathlib import Path
    from pipeline.archive.apart import end_reading, read_apart
    from pipeline.archive.discover import discover
    from pipeline.settings import ArchiveSettings

    settings = ArchiveSettings(root=Path(sys.argv[1]), settle_s=0)
    told = {}
    for ref in discover(settings).scenes:
        try:
            read_apart(ref, settings)
            words = ""
        except ValueError as error:
            words = str(error)
        told[Path(ref.files[0]).name] = words
    end_reading()
    # ru_maxrss of a process that was started by a large one is that of the large one.
    (own,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    children_kb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(json.dumps([told, int(own.split()[1]) + children_kb]))
"""


@pytest.fixture(scope="module")
def bombs(tmp_path_factory):
    """What each bomb ended in, and the most memory that all of them took, in kB."""
    folder = tmp_path_factory.mktemp("bombs")
    for name, write in BOMBS.items():
        assert write(folder / name).stat().st_size < 3_000_000
    command = [sys.executable, "-c", textwrap.dedent(MEASURED), str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return json.loads(ended.stdout)


def test_no_bomb_takes_more_than_a_gigabyte(bombs):
    _, peak_kb = bombs
    assert peak_kb < 1_000_000


def test_every_bomb_that_needs_its_bulk_is_refused_in_one_line(bombs):
    told, _ = bombs
    assert set(told) == set(BOMBS)
    assert {name for name, words in told.items() if words} == REFUSED
    assert all("GB" in words or "bomb" in words for words in told.values() if words)


def test_a_larger_file_may_take_more_and_never_more_than_the_setting():
    settings = ArchiveSettings(read_memory_gb=3.0)
    assert allowed_bytes(0, settings) < allowed_bytes(1_000_000, settings) < allowed_bytes(10**9, settings)
    assert allowed_bytes(10**9, settings) == 3_000_000_000


def npz(path, **told):
    np.savez(path, data=SOUND, units="K", **told)
    return path


NAMELESS = (
    'PROJCS["x",GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],'
    'PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]],PROJECTION["Transverse_Mercator"],PARAMETER["central_meridian",3],'
    'UNIT["metre",1]]'
)
HIDDEN = NAMELESS.removesuffix("]") + ',EXTENSION["PROJ4","{}"]]'


@pytest.mark.parametrize(
    "crs",
    [
        '+proj=utm +zone=11 +nadgrids=/tmp/pipe',
        '+proj=utm +zone=11 +nadgrids=@null,/tmp/pipe',
        '+proj=pipeline +step +proj=hgridshift +grids=/tmp/pipe',
        '+init=/tmp/pipe:1',
        HIDDEN.format("+proj=utm +nadgrids=/tmp/pipe"),
        HIDDEN.format("+init=/tmp/pipe:1"),
    ],
)  # fmt: skip
def test_a_reference_system_that_opens_files_is_refused(crs, tmp_path):
    with pytest.raises(UnusableInputError, match=r"names files for PROJ to open|is no EPSG code"):
        read(npz(tmp_path / "one.npz", crs=crs, transform=list(UTM)[:6]))


def test_web_mercator_in_its_old_words_is_read(tmp_path):
    import rasterio

    wkt = rasterio.CRS.from_epsg(3857).to_wkt()
    assert "nadgrids=@null" in wkt
    assert read(npz(tmp_path / "one.npz", crs=wkt, transform=list(UTM)[:6])).grid.georeferenced


def test_a_reference_system_that_lacks_parameters_is_refused(tmp_path):
    with pytest.raises(UnusableInputError, match=r"one\.npz: reference system 'x' lacks parameters"):
        read(npz(tmp_path / "one.npz", crs=NAMELESS, transform=list(UTM)[:6]))


def test_a_number_of_five_thousand_digits_is_no_failure(tmp_path):
    scene = read(npz(tmp_path / "one.npz", meta='{"sensor": ' + "9" * 5000 + "}"))
    assert scene.valid.all()


def test_texts_of_variable_length_in_place_of_numbers_are_refused_or_unused(tmp_path):
    path = tmp_path / "one.nc"
    with h5py.File(path, "w") as file:
        file.create_dataset("lst", data=SOUND).attrs["units"] = "K"
        words = file.create_dataset("time", (1,), dtype=h5py.string_dtype())
        words[0], words.attrs["units"] = "noon", "seconds since 1970-01-01"
        file.create_dataset("DQF", (64, 64), dtype=h5py.string_dtype())
        lat = file.create_dataset("lat", (64,), dtype=h5py.vlen_dtype(np.float64))
        lat.attrs["units"] = "degrees_north"
    with pytest.raises(UnusableInputError, match=r"lat holds .*real numbers are wanted"):
        read(path)
    with h5py.File(path, "a") as file:
        del file["lat"]
    assert read(path).valid.all()


def test_what_nobody_foresaw_is_a_refusal_that_says_where(tmp_path, monkeypatch):
    from pipeline.archive import readers

    path = npz(tmp_path / "one.npz")

    class Surprised:
        claims = staticmethod(readers.READERS["npz"].claims)
        acquired = staticmethod(readers.READERS["npz"].acquired)

        def read(self, ref, settings):
            return {}["false_easting"]

    monkeypatch.setitem(readers.READERS, "npz", Surprised())
    with pytest.raises(
        UnusableInputError, match=r"one\.npz: is strange .*KeyError: 'false_easting'; test_bombs"
    ):
        read(path)

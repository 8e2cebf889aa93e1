"""Reading in a process apart: the same scenes, and no file that ends, stops or fills who reads it."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from pipeline.archive import apart, read_scene
from pipeline.archive.apart import acquired_apart, end_reading, pixels_apart, read_apart
from pipeline.archive.discover import discover
from pipeline.archive.messages import Answer
from pipeline.errors import EndedReadingError, SkippedSceneError, UnreadableInputError, UnusableInputError
from pipeline.nights.night import plan_night
from pipeline.process import process_scene
from pipeline.settings_sources import load_settings
from tests.archive.finding import find, settings_for
from tests.archive.hostile_files import large_and_slow, szip_that_divides_by_zero
from tests.archive.twins import TWINS, landscape, write_tif


@pytest.fixture(scope="module", autouse=True)
def _no_process_stays():
    yield
    end_reading()


def good(path):
    return write_tif(path, landscape(40, 50).astype(np.float32), units="K")


@pytest.mark.parametrize("twin", TWINS.values(), ids=list(TWINS))
def test_a_scene_read_apart_is_the_scene(twin, tmp_path):
    path, _ = twin(tmp_path)
    ref, settings = find(path), settings_for(path)
    here, there = read_scene(ref, settings), read_apart(ref, settings)
    np.testing.assert_array_equal(there.temperature, here.temperature)
    assert (there.grid, there.quantity, there.facts) == (here.grid, here.quantity, here.facts)
    assert there.edition == here.edition
    assert (there.assumptions, there.quantization_k) == (here.assumptions, here.quantization_k)
    np.testing.assert_equal(there.gsd_m, here.gsd_m)
    assert repr(there.sensor) == repr(here.sensor)


@pytest.mark.parametrize("twin", TWINS.values(), ids=list(TWINS))
def test_the_head_of_a_scene_tells_its_pixels(twin, tmp_path):
    path, _ = twin(tmp_path)
    ref, settings = find(path), settings_for(path)
    assert pixels_apart(ref, settings) == read_scene(ref, settings).temperature.size
    path.unlink()
    assert pixels_apart(ref, settings) == 0


def test_what_a_reading_ends_in_is_the_same_error_with_the_same_words(tmp_path):
    empty = write_tif(tmp_path / "empty.tif", np.zeros((8, 8), np.uint16), units="K", nodata=0)
    unknown = write_tif(tmp_path / "unknown.tif", np.ones((8, 8), np.uint16))
    gone = good(tmp_path / "gone.tif")
    refs = {path: find(path) for path in (empty, unknown, gone)}
    gone.unlink()
    for path, kind in (
        (empty, SkippedSceneError),
        (unknown, UnusableInputError),
        (gone, UnreadableInputError),
    ):
        told = []
        for read in (read_scene, read_apart):
            with pytest.raises(kind, match=path.name) as error:
                read(refs[path], settings_for(path))
            told.append(str(error.value))
        assert told[0] == told[1]


def test_a_decoder_that_divides_by_zero_ends_its_own_process_and_no_other(tmp_path):
    bad = szip_that_divides_by_zero(tmp_path / "bad.nc")
    with pytest.raises(EndedReadingError, match=r"^bad\.nc: its reading process was ended by SIGFPE$"):
        read_apart(find(bad), settings_for(bad))
    path = good(tmp_path / "good.tif")
    assert read_apart(find(path), settings_for(path)).valid.all()


def test_a_file_that_takes_too_long_is_given_up(tmp_path):
    path = large_and_slow(tmp_path / "slow.tif", write_tif)
    ref = find(path)
    began_s = time.monotonic()
    with pytest.raises(EndedReadingError, match=r"did not answer within 0\.05 s \(archive\.read_s\)"):
        read_apart(ref, settings_for(path, read_s=0.05))
    assert time.monotonic() - began_s < 10
    assert read_apart(ref, settings_for(path, read_s=60.0)).grid.shape == (6000, 6000)


def test_a_call_into_a_library_that_never_returns_ends_in_a_line(tmp_path, monkeypatch):
    """PROJ opens its own settings when it meets a reference system; on a pipe it waits there for ever."""
    archive, proj = tmp_path / "archive", tmp_path / "proj"
    archive.mkdir()
    proj.mkdir()
    good(archive / "scene_20230714T101500.tif")
    os.mkfifo(proj / "proj.ini")
    end_reading()
    monkeypatch.setenv("PROJ_DATA", str(proj))
    roots = (f"archive.root={archive}", f"output.root={tmp_path / 'out'}", "archive.settle_s=0")
    settings = load_settings(assignments=(*roots, "archive.read_s=1"), environment={})
    endings = []
    for _ in range(2):
        (ref,) = plan_night(settings).todo
        began_s = time.monotonic()
        record = process_scene(ref, settings)
        assert time.monotonic() - began_s < 20
        endings.append((record.status, record.reason))
    begin = "scene_20230714T101500.tif: its reading process did not answer within 1 s (archive.read_s); "
    assert endings == [
        ("failed", f"{begin}the next run tries once more"),
        ("refused", f"{begin}seen twice, so it is set aside"),
    ]
    assert apart._idle == []


def test_memory_is_bounded_by_the_setting(tmp_path):
    path = large_and_slow(tmp_path / "large.tif", write_tif)
    with pytest.raises(UnusableInputError, match=r"large\.tif: .*memory"):
        read_apart(find(path), settings_for(path, read_memory_gb=0.2))


def test_a_scene_that_ends_its_reader_fails_once_and_is_set_aside_the_second_time(tmp_path):
    archive, out = tmp_path / "archive", tmp_path / "out"
    archive.mkdir()
    szip_that_divides_by_zero(archive / "bad.nc")
    roots = (f"archive.root={archive}", f"output.root={out}", "archive.settle_s=0", "recipe.detail=none")
    settings = load_settings(assignments=roots, environment={})
    endings = []
    for _ in range(2):
        (ref,) = plan_night(settings).todo
        record = process_scene(ref, settings)
        endings.append((record.status, record.reason))
    begin = "bad.nc: its reading process was ended by SIGFPE; "
    assert endings == [
        ("failed", f"{begin}the next run tries once more"),
        ("refused", f"{begin}seen twice, so it is set aside"),
    ]
    assert plan_night(settings).todo == ()


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_file_beside_a_scene_is_never_opened(kind, tmp_path):
    write_tif(tmp_path / "LC80400282014193LGN00_B10.TIF", np.full((8, 8), 20000, np.uint16))
    beside = tmp_path / "LC80400282014193LGN00_MTL.txt"
    {
        "pipe": lambda: os.mkfifo(beside),
        "device": lambda: beside.symlink_to("/dev/zero"),
        "folder": beside.mkdir,
    }[kind]()
    ((_, reason),) = discover(settings_for(tmp_path)).waiting
    assert reason == "LC80400282014193LGN00_MTL.txt is no regular file, or larger than archive.max_file_gb"


def test_a_file_without_end_is_left_out_unread(tmp_path):
    path = tmp_path / "endless.tif"
    path.touch()
    os.truncate(path, 1 << 40)
    began_s = time.monotonic()
    ((_, reason),) = discover(settings_for(tmp_path)).left_out
    assert reason == "has 1099.5 GB, archive.max_file_gb allows 64"
    assert time.monotonic() - began_s < 2


def test_a_time_is_looked_for_once_and_a_name_that_tells_it_starts_no_process(tmp_path):
    end_reading()
    path = good(tmp_path / "scene_20230714T101500.tif")
    assert find(path).acquired == "2023-07-14T10:15:00Z"
    assert apart._idle == []
    bare = good(tmp_path / "bare.tif")
    found = discover(settings_for(bare))
    assert len(apart._idle) == 1
    end_reading()
    again = discover(settings_for(bare), found.known)
    assert apart._idle == []
    assert again.scenes == found.scenes


def test_a_file_that_ends_who_looks_for_its_time_is_undated(tmp_path):
    bad = szip_that_divides_by_zero(tmp_path / "bad.nc")
    assert acquired_apart(find(bad), settings_for(bad, read_s=0.001)) is None


@pytest.mark.parametrize("said", [b"", b"{}x", b'{"shape": [1, 2, 3]}', b'{"facts": 3}', b"[]"])
def test_an_answer_that_is_none_is_seen(said):
    with pytest.raises(ValueError, match=r"JSON|Expecting|validation|Extra data|no scene"):
        Answer.from_bytes(said).scene(None, np.zeros((1, 1), np.float32))


KILLED = """
    import signal
    import sys
    from pathlib import Path
    from pipeline.archive.apart import read_apart
    from pipeline.archive.discover import discover
    from pipeline.settings import ArchiveSettings

    signal.signal(signal.SIGINT, signal.default_int_handler)  # unheard where the tests run in the background
    settings = ArchiveSettings(root=Path(sys.argv[1]), settle_s=0)
    (ref,) = discover(settings).scenes
    print("reading", flush=True)
    read_apart(ref, settings)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_who_is_killed_while_it_reads_leaves_no_process_behind(how, tmp_path):
    path = large_and_slow(tmp_path / "slow.tif", write_tif)
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as asking:
        asking.stdout.readline()
        server = awaited(lambda: children(asking.pid))
        reader = awaited(lambda: children(server))
        os.kill(reader, signal.SIGSTOP)  # as a decoder that never comes back
        asking.send_signal(how)
    assert awaited(lambda: not (running(server) or running(reader)))


def awaited(condition, limit_s=20.0):
    deadline_s = time.monotonic() + limit_s
    while time.monotonic() < deadline_s:
        if found := condition():
            return found
        time.sleep(0.005)
    return condition()


def children(pid):
    """A child of a process, 0 where it has none."""
    try:
        return int((Path(f"/proc/{pid}/task/{pid}/children").read_text().split() or [0])[0])
    except OSError:
        return 0


def running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False

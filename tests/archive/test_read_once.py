"""A scene's bytes are read when it is found, when it is decoded and when its product is published."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.archive import read_scene
from pipeline.archive.discover import discover
from pipeline.files import digests_of
from tests.archive.finding import settings_for
from tests.archive.twins import MTL, write_tif

COUNTER = Path("/proc/self/io")
pytestmark = pytest.mark.skipif(not COUNTER.exists(), reason="this system does not count bytes that are read")


def bytes_read():
    """All that this process has read until now, by Python and by every library."""
    return int(COUNTER.read_text().split()[1])


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """A Landsat band of 8 MB that does not compress, and its MTL."""
    folder = tmp_path_factory.mktemp("archive")
    counts = np.random.default_rng(0).integers(20_000, 40_000, (2000, 2000)).astype(np.uint16)
    write_tif(folder / "LC80400282014193LGN00_B10.TIF", counts)
    (folder / "LC80400282014193LGN00_MTL.txt").write_text(MTL)
    return folder


@pytest.mark.parametrize(
    ("step", "times"), [("found", 1), ("found again", 0), ("decoded", 1), ("published", 1)]
)
def test_every_step_reads_a_scene_once_at_most(step, times, archive):
    settings = settings_for(archive)
    found = discover(settings)
    (ref,) = found.scenes
    size = sum(Path(file).stat().st_size for file in ref.files)
    steps = {
        "found": lambda: discover(settings),
        "found again": lambda: discover(settings, found.known),
        "decoded": lambda: read_scene(ref, settings),
        "published": lambda: digests_of([Path(file) for file in ref.files]),
    }
    before = bytes_read()
    steps[step]()
    assert (bytes_read() - before) / size == pytest.approx(times, abs=0.1)

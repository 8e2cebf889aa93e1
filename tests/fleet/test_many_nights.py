"""Nights that overlap publish every scene once, and each report adds up."""

import pytest

from tests.fleet.many_nights import at_once, faults
from tests.fleet.tiny import write_archive

SCENES = 6


@pytest.mark.slow
def test_two_nights_at_once_publish_every_scene_once(server, tmp_path):
    """`python -m tests.fleet.many_nights` does this with up to 8 nights and 50 scenes."""
    archive, out = write_archive(tmp_path / "archive", SCENES), tmp_path / "out"
    reports = at_once(2, archive, out, server.client)
    assert faults(reports, archive, out, SCENES) == []

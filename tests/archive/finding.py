"""One file in, one scene or one reason out: the short way through the archive for tests."""

from pipeline.archive import read_scene
from pipeline.archive.discover import discover
from pipeline.errors import UnusableInputError
from pipeline.settings import ArchiveSettings


def settings_for(path, **told):
    return ArchiveSettings(root=path, settle_s=0, **told)


def find(path, **told):
    """The one reference that a file becomes; a file that discovery refuses is refused here."""
    found = discover(settings_for(path, **told))
    if found.refused:
        raise UnusableInputError(f"{path.name}: {found.refused[0][1]}")
    assert len(found.scenes) == 1, found
    return found.scenes[0]


def read(path, **told):
    """The scene in a file."""
    return read_scene(find(path, **told), settings_for(path, **told))

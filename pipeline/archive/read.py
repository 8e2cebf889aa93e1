"""From a scene's name to its kelvin, or to the one line that says why not.

A scene is read as it was found: if its files hold other bytes by now, the read is
refused and the next discovery takes the new content.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.archive.names import clean
from pipeline.archive.readers import READERS
from pipeline.errors import SkippedSceneError, UnreadableInputError, UnusableInputError
from pipeline.files import digest_of
from pipeline.scene import Scene, SceneRef
from pipeline.settings import ArchiveSettings


def read_scene(ref: SceneRef, settings: ArchiveSettings) -> Scene:
    """A scene in kelvin on its grid.

    Raises:
        UnusableInputError: If this content will never be a scene; one line that begins with the file's name.
        SkippedSceneError: If it was understood and every pixel is fill.
        UnreadableInputError: If storage refuses, or the files changed since they were found: try again later.
    """
    name = clean(Path(ref.files[0]).name)
    if ref.reader not in READERS:
        raise UnusableInputError(f"{name}: no reader {clean(ref.reader)!r}; known: {', '.join(READERS)}")
    try:
        # Every byte is read here, so a failing disk shows as such before a decoder calls it a damaged file.
        found = digest_of([Path(file) for file in ref.files])
        if ref.digest and found != ref.digest:
            raise UnreadableInputError(
                f"{name}: changed since it was found; the next run takes it as it is now"
            )
        return READERS[ref.reader].read(ref, settings)
    except (UnusableInputError, SkippedSceneError) as error:
        raise type(error)(f"{name}: {error}") from error
    except UnreadableInputError:
        raise
    except OSError as error:
        raise UnreadableInputError(f"{name}: {clean(error.strerror or error)}") from error

"""From a scene's name to its kelvin, or to the one line that says why not.

What is wrong with a scene is said of the bytes that were found: if its files hold others by
now, the next discovery takes the new content. Whoever publishes compares the digest once more.
"""

from __future__ import annotations

import traceback
from pathlib import Path

from pipeline.archive.readers import READERS
from pipeline.errors import SkippedSceneError, UnreadableInputError, UnusableInputError
from pipeline.files import digest_of
from pipeline.scene import Scene, SceneRef
from pipeline.settings import ArchiveSettings
from pipeline.text import shortened

# Errors of a reader that meets something unexpected: the scene is refused, and the message names the place in
# the code for whoever mends the reader.
_STRANGE = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


def read_scene(ref: SceneRef, settings: ArchiveSettings) -> Scene:
    """A scene in kelvin on its grid.

    Raises:
        UnusableInputError: If this content will never be a scene; one line that begins with the file's name.
        SkippedSceneError: If it was understood and every pixel is fill.
        UnreadableInputError: If storage refuses, or the files changed since they were found: try again later.
    """
    name = shortened(Path(ref.files[0]).name)
    if ref.reader not in READERS:
        raise UnusableInputError(f"{name}: no reader {shortened(ref.reader)!r}; known: {', '.join(READERS)}")
    try:
        try:
            return READERS[ref.reader].read(ref, settings)
        except (UnusableInputError, SkippedSceneError):
            _refuse_changed(ref)
            raise
    except (UnusableInputError, SkippedSceneError) as error:
        raise type(error)(f"{name}: {error}") from error
    except UnreadableInputError as error:
        raise UnreadableInputError(f"{name}: {error}") from error
    except OSError as error:
        raise UnreadableInputError(f"{name}: {shortened(error.strerror or error)}") from error
    except _STRANGE as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(last.filename).name} line {last.lineno}"
        said = f"{type(error).__name__}: {shortened(error, 80)}"
        raise UnusableInputError(
            f"{name}: is strange in a way that was not foreseen ({said}; {place})"
        ) from error


def acquired(ref: SceneRef) -> str | None:
    """When a scene was taken, UTC, ISO 8601 with Z; None where nothing tells it.

    Raises:
        UnusableInputError: If the file cannot be opened.
        UnreadableInputError: If storage refuses.
    """
    name = shortened(Path(ref.files[0]).name)
    try:
        return READERS[ref.reader].acquired([Path(file) for file in ref.files])
    except (UnusableInputError, *_STRANGE):
        return None  # reading the scene will say what is wrong
    except OSError as error:
        raise UnreadableInputError(f"{name}: {shortened(error.strerror or error)}") from error


def _refuse_changed(ref: SceneRef) -> None:
    """Raises where a file was written to since it was found, or where the disk fails.

    A decoder takes both for a damaged file, which would be refused for good.
    """
    if ref.digest and digest_of([Path(file) for file in ref.files]) != ref.digest:
        raise UnreadableInputError("changed since it was found; the next run takes it as it is now")

"""Where a training's state waits for the next run of its scene.

It is named by content and recipe, never by a run, so that any node goes on from it. The
surprise: states are taken into memory ten times as often as they are written, because SIGTERM
comes in the middle of a step, where the training itself has no whole state to give.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.files import write_bytes
from pipeline.products import layout
from pipeline.scene import SceneRef
from pipeline.settings import Settings
from pipeline.superres.training.state import Checkpoint

log = logging.getLogger(__name__)


class KeptTraining:
    """The newest state of one scene's training, in memory and in its file; changes itself.

    Attributes:
        checkpoint: What the training is given.
    """

    def __init__(self, ref: SceneRef, settings: Settings) -> None:
        self._path, self._every_s = checkpoint_path(ref, settings), settings.run.checkpoint_s
        self._newest: bytes | None = None
        self._taken_s = self._written_s = time.monotonic()
        recipe = f"{settings.recipe.digest}:{ref.digest}"
        self.checkpoint = Checkpoint(self._read, self._take, self._is_due, recipe=recipe)

    def flush(self) -> None:
        """Write the newest state, if it is not on the disk yet."""
        if self._newest is not None:
            write_bytes(self._path, self._newest)
            self._newest, self._written_s = None, time.monotonic()

    @contextmanager
    def flushed(self) -> Iterator[None]:
        """However the block ends, the newest state is on the disk."""
        try:
            yield
        finally:
            self._flush_if_possible()

    def _read(self) -> bytes | None:
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:  # another user's, or a bad sector: a state costs time, never a scene
            log.warning("training starts anew: %s", error)
            return None

    def _take(self, state: bytes) -> None:
        self._newest, self._taken_s = state, time.monotonic()
        if self._taken_s - self._written_s >= self._every_s:
            self._flush_if_possible()

    def _flush_if_possible(self) -> None:
        """Write; a full disk, or one that is read-only, costs only the time that a killed run loses."""
        try:
            self.flush()
        except OSError as error:
            self._written_s = time.monotonic()  # not again at once
            log.warning("the training's state was not kept: %s", error)

    def _is_due(self) -> bool:
        return time.monotonic() - self._taken_s >= self._every_s / 10


def checkpoint_path(ref: SceneRef, settings: Settings) -> Path:
    """The file of `KeptTraining`."""
    root = settings.run.scratch or settings.output.root
    return layout.scratch_folder(root, settings.recipe.label, ref.scene_id) / "training.safetensors"

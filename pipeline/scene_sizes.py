"""How many pixels scenes have, told by the heads of their files, for forecasts.

Files are opened in the reading process (`archive.apart`), so that none can stop a plan. Sizes are used for
forecasts only: a scene is read, checked and refused elsewhere.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path

from pipeline.archive.apart import pixels_apart
from pipeline.files import read_small, write_json
from pipeline.products.layout import scratch_root
from pipeline.scene import SceneRef
from pipeline.settings import Settings

log = logging.getLogger(__name__)

PATIENCE_S = 30.0  # the median of those that were looked at stands for the others
_REMEMBERED = "sizes.json"


def scene_pixels(refs: Sequence[SceneRef], settings: Settings) -> dict[str, int]:
    """Pixels by scene_id, as far as the heads of the files tell within `PATIENCE_S`.

    Args:
        refs: Any scenes.
        settings: Of archive and output root; where the root exists, sizes are remembered below it.
    """
    path = scratch_root(settings.output.root) / _REMEMBERED
    known, until_s = _remembered(path), time.monotonic() + PATIENCE_S
    new = [ref for ref in refs if ref.digest not in known]
    for ref in new:
        if time.monotonic() < until_s:
            known[ref.digest] = pixels_apart(ref, settings.archive)
    if new and settings.output.root.is_dir():
        try:
            write_json(path, known)
        except OSError as error:  # a cache: the next plan looks again
            log.warning("sizes are not remembered: %s", error)
    return {ref.scene_id: known[ref.digest] for ref in refs if known.get(ref.digest)}


def _remembered(path: Path) -> dict[str, int]:
    try:
        return {str(digest): int(pixels) for digest, pixels in json.loads(read_small(path)).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}

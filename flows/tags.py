"""What runs are found by on the server's pages: recipe, archive and sensor; and how they are called."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.archive.names import landsat_sensor
from pipeline.archive.sensors import sensor_in_text
from pipeline.files import text_digest
from pipeline.scene import SceneRef
from pipeline.settings import Settings


def night_tags(settings: Settings) -> list[str]:
    """Tags of a night."""
    return [
        "thermal-sr",
        f"recipe:{settings.recipe.label}",
        f"archive:{settings.archive.root.absolute().name}",
    ]


def scene_tags(ref: SceneRef, settings: Settings) -> list[str]:
    """Tags of a scene's run; the sensor is what the file's name tells, or else the reader."""
    name = Path(ref.files[0]).name
    sensor = landsat_sensor(name) or sensor_in_text(name) or ref.reader
    return [*night_tags(settings), f"sensor:{sensor}"]


def place_name(settings: Settings) -> str:
    """Of an archive and its products together: the archive's name, and eight digits that tell both apart."""
    roots = f"{settings.archive.root}\n{settings.output.root}"
    return f"{settings.archive.root.name}-{text_digest(roots)[:8]}"


def plain_name(text: str) -> str:
    """A name without characters that servers and systemd give a meaning to."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)


def scene_name(ref: SceneRef) -> str:
    """How a scene's run is called: its day, where one is known, and its name."""
    return f"{ref.acquired[:10]} {ref.scene_id}" if ref.acquired else ref.scene_id

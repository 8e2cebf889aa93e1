"""The scenes of a plan on a map: GeoJSON with an outline and what is planned for each file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shapely.geometry import mapping

from pipeline.archive.apart import read_apart
from pipeline.errors import SkippedSceneError, UnreadableInputError, UnusableInputError
from pipeline.files import write_json
from pipeline.nights.night import Plan
from pipeline.products.stac import item_files
from pipeline.products.store.georeference import footprint
from pipeline.settings import Settings


def write_map(path: Path, plan: Plan, rows: Sequence[Mapping[str, Any]], settings: Settings) -> Path:
    """Write the map; every row of the plan is a feature, without an outline where nothing tells it.

    Args:
        path: The GeoJSON file.
        plan: What was planned.
        rows: One for each file, with "scene_id"; all of it becomes the feature's properties.
        settings: Scenes to be processed are read for their outlines, which takes as long as reading them.
    """
    outlines: dict[str, Mapping[str, Any] | None] = {}
    for ref, product in plan.done:
        for item in item_files(settings.output.root / product):
            outlines[ref.scene_id] = _outline_of(item)
    for ref in plan.todo:
        try:
            outline = footprint(read_apart(ref, settings.archive).grid)
        except (UnusableInputError, SkippedSceneError, UnreadableInputError):
            continue  # the night will say what is wrong with it
        outlines[ref.scene_id] = None if outline is None else mapping(outline)
    features = [
        {"type": "Feature", "geometry": outlines.get(row["scene_id"]), "properties": dict(row)}
        for row in rows
    ]
    return write_json(path, {"type": "FeatureCollection", "features": features})


def _outline_of(item: Path) -> Mapping[str, Any] | None:
    try:
        found = json.loads(item.read_text(encoding="utf-8")).get("geometry")
    except (OSError, ValueError, AttributeError):
        return None
    return found if isinstance(found, Mapping) else None

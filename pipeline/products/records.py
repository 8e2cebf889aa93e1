"""What became of a scene: inside its product, or in a file of its own where it has none."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from pipeline.errors import DamagedProductError
from pipeline.files import read_small, write_json
from pipeline.products.layout import RECORD, record_path, records_folder
from pipeline.products.schemas import parse_object, parse_record
from pipeline.scene import Record
from pipeline.text import one_line

log = logging.getLogger(__name__)


def write_record(out: Path, recipe_label: str, record: Record) -> Path:
    """Keep the record of a scene that has no product; those that have one keep it inside.

    Raises:
        ValueError: If the record names a product.
    """
    if record.product:
        raise ValueError(f"{record.ref.scene_id}: its record belongs into its product, {record.product}")
    return write_json(record_path(out, recipe_label, record.ref.scene_id), record.to_json())


def read_records(out: Path, recipe_label: str) -> list[Record]:
    """Records of scenes without a product, by scene; one that cannot be read is reported and left out."""
    records = []
    for path in sorted(records_folder(out, recipe_label).glob("[!.]*.json")):
        try:
            records.append(parse_record(read_small(path)))
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("%s: no record of a scene: %s", path.name, one_line(error))
    return records


def find_record(out: Path, recipe_label: str, scene_id: str) -> Record | None:
    """The record of a scene without a product; None where there is none that can be read."""
    try:
        return parse_record(read_small(record_path(out, recipe_label, scene_id)))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_record(product: Path) -> Record:
    """The record inside a product.

    Raises:
        DamagedProductError: If there is none that can be read.
    """
    try:
        return parse_record(read_small(product / RECORD))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedProductError(f"{product.name}: {RECORD} cannot be read: {one_line(error)}") from error


def read_provenance(product: Path) -> dict[str, Any]:
    """How a product was made, as the record inside it says; "recipe" is there.

    Raises:
        DamagedProductError: It does not say it.
    """
    try:
        made = parse_object(read_small(product / RECORD))["provenance"]
        return {**made, "recipe": dict(made["recipe"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedProductError(
            f"{product.name}: {RECORD} does not say how it was made: {one_line(error)}"
        ) from error

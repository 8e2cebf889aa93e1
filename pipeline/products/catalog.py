"""The catalog of all products, built from what lies on the disk, any time again.

No run writes into a shared file: each scene leaves its own item and record, and the
catalog is made from them. It may be deleted; it may be made while a night runs.
"""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

import pystac

from pipeline.errors import DamagedProductError
from pipeline.figures import FIGURES
from pipeline.files import write_bytes, write_json
from pipeline.products.layout import (
    CATALOG,
    TABLE,
    published_folders,
    recipe_folders,
)
from pipeline.products.records import read_record, read_records
from pipeline.products.stac import item_files, make_item
from pipeline.products.view_context import ViewContext
from pipeline.scene import Record
from pipeline.text import table_cell

log = logging.getLogger(__name__)

_COLUMNS = ("recipe", "scene_id", "status", "reason", "acquired", "product", "finished", "seconds", "files")


def write_item(context: ViewContext, record: Record) -> Path:
    """Write the STAC item of a product whose files are all there, but the manifest."""
    return write_json(context.files.item, make_item(context, record))


def write_catalog(out: Path) -> Path:
    """Rebuild `catalog.json` (STAC, links to every item) and `catalog.csv` (every record, flat).

    Products and records of all recipes are listed; a damaged product is a row that says so.
    """
    catalog = pystac.Catalog(
        id="thermal-sr",
        title="Super-resolved thermal scenes",
        description="Temperature in kelvin with uncertainty and quality flags, one item a scene and recipe.",
        extra_fields={
            "tsr:figures": {
                figure.name: {"unit": figure.unit, "description": figure.meaning}
                for figure in FIGURES.values()
            }
        },
    )
    rows: list[dict[str, object]] = []
    for recipe in recipe_folders(out):
        published: set[str] = set()
        for product in published_folders(recipe):
            for item in item_files(product):
                link = pystac.Link(
                    rel="item",
                    target=f"./{item.relative_to(out).as_posix()}",
                    media_type="application/geo+json",
                )
                catalog.add_link(link)
            row, digest = _product_row(out, product)
            published.add(digest)
            rows.append(row)
        records = read_records(out, recipe.name)
        rows += [_row(record) for record in records if record.ref.digest not in published]
    write_bytes(out / TABLE, _table(rows).encode())
    plain: dict[str, Any] = catalog.to_dict(include_self_link=False, transform_hrefs=False)
    plain["links"] = [link for link in plain["links"] if link["rel"] != "root"]
    return write_json(out / CATALOG, plain)


def _product_row(out: Path, product: Path) -> tuple[dict[str, object], str]:
    """A product's row and the digest of its content."""
    place = product.relative_to(out).as_posix()
    try:
        record = read_record(product)
    except DamagedProductError as error:
        log.warning("%s", error)
        row = {"recipe": PurePath(place).parts[0], "scene_id": product.name, "status": "damaged"}
        return {**row, "reason": str(error), "product": place}, ""
    return {**_row(record), "product": place}, record.ref.digest


def _row(record: Record) -> dict[str, object]:
    return {
        "recipe": record.recipe,
        "scene_id": record.ref.scene_id,
        "status": record.status,
        "reason": record.reason,
        "acquired": record.ref.acquired,
        "product": record.product,
        "finished": record.finished,
        "seconds": round(sum(record.timings_s.values()), 3),
        "files": " ".join(PurePath(file).name for file in record.ref.files),
        **dict(record.figures),
    }


def _table(rows: list[dict[str, object]]) -> str:
    """All rows under one header: our columns first, then every figure that occurs, unknown ones last."""
    found = {name for row in rows for name in row} - set(_COLUMNS)
    figures = [name for name in FIGURES if name in found] + sorted(found - FIGURES.keys())
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([table_cell(name) for name in (*_COLUMNS, *figures)])
    writer.writerows(_cells(row, figures) for row in rows)
    return text.getvalue()


def _cells(row: Mapping[str, object], figures: list[str]) -> Iterator[str]:
    return (table_cell(row.get(name)) for name in (*_COLUMNS, *figures))

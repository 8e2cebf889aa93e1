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
from pipeline.files import read_small, write_bytes, write_json
from pipeline.products.layout import (
    CATALOG,
    TABLE,
    UNDATED,
    published_folders,
    recipe_folders,
)
from pipeline.products.records import read_record, read_records
from pipeline.products.schemas import parse_object
from pipeline.products.stac import item_files, make_item
from pipeline.products.view_context import ViewContext
from pipeline.scene import Record
from pipeline.text import one_line, table_cell

log = logging.getLogger(__name__)

_COLUMNS = ("recipe", "scene_id", "status", "reason", "acquired", "product", "finished", "seconds", "files")


def write_item(context: ViewContext, record: Record) -> Path:
    """Write the STAC item of a product whose files are all there, but the manifest."""
    return write_json(context.files.item, make_item(context, record))


def write_catalog(out: Path) -> Path:
    """Rebuild `catalog.json` and `undated.json` (STAC) and `catalog.csv` (every record, flat).

    Products and records of all recipes are listed; a damaged product is a row that says so, and no item.
    STAC wants a time of every item. Of a scene without a date only the widest span is known, in which every
    search in time would find it, so undated items have a catalog of their own, to which the other refers.
    """
    dated = pystac.Catalog(
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
    undated = pystac.Catalog(
        id="thermal-sr-undated",
        title="Super-resolved thermal scenes without a date",
        description="Of these it is not known when they were acquired: a search in time cannot find them.",
    )
    rows: list[dict[str, object]] = []
    for recipe in recipe_folders(out):
        published: set[str] = set()
        for product in published_folders(recipe):
            row, digest, items = _product_row(out, product)
            for name, acquired in items:
                target = f"./{product.relative_to(out).as_posix()}/{name}"
                link = pystac.Link(rel="item", target=target, media_type="application/geo+json")
                (dated if acquired else undated).add_link(link)
            published.add(digest)
            rows.append(row)
        records = read_records(out, recipe.name)
        rows += [_row(record) for record in records if record.ref.digest not in published]
    if undated.get_links("item"):
        dated.add_link(pystac.Link("related", f"./{UNDATED}", "application/json", undated.title))
    write_bytes(out / TABLE, _table(rows).encode())
    write_json(out / UNDATED, _plain(undated))
    return write_json(out / CATALOG, _plain(dated))


def _plain(catalog: pystac.Catalog) -> dict[str, Any]:
    plain: dict[str, Any] = catalog.to_dict(include_self_link=False, transform_hrefs=False)
    return plain | {"links": [link for link in plain["links"] if link["rel"] != "root"]}


def _product_row(out: Path, product: Path) -> tuple[dict[str, object], str, list[tuple[str, bool]]]:
    """A product's row, the digest of its content, and its items by name: whether they have a date."""
    place = product.relative_to(out).as_posix()
    try:
        record = read_record(product)
        items = [(item.name, _dated(item)) for item in item_files(product)]
    except DamagedProductError as error:
        log.warning("%s", error)
        row = {"recipe": PurePath(place).parts[0], "scene_id": product.name, "status": "damaged"}
        return {**row, "reason": str(error), "product": place}, "", []
    return {**_row(record), "product": place}, record.ref.digest, items


def _dated(item: Path) -> bool:
    """Whether a STAC item tells when its scene was acquired."""
    try:
        return not parse_object(read_small(item))["properties"].get("tsr:undated", False)
    except (OSError, ValueError, LookupError, AttributeError) as error:
        wrong = f"{item.parent.name}: {item.name} cannot be read: {one_line(error, 120)}"
        raise DamagedProductError(wrong) from error


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

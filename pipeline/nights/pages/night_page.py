"""The page of a night: every input and how it ended, to filter, to sort, to see on a map.

One HTML file that loads nothing. It is made from the report, and from the products that the report names:
their outlines and a small picture of each. Words from files reach it as text only.
"""

from __future__ import annotations

import base64
import io
import json
import logging
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path, PurePath
from typing import Any

from PIL import Image

from pipeline.figures import ALARM, GAIN, SKILL
from pipeline.files import write_bytes
from pipeline.page_frame import fill_page, part
from pipeline.products.product_files import ProductFiles
from pipeline.products.stac import item_files
from pipeline.text import one_line

log = logging.getLogger(__name__)

THUMBNAIL_PX = 64
MOST_ROWS = 2000  # of what a night did not work on, for each reason
MOST_THUMBNAILS = 300  # about a megabyte
_INDEX = "index.html"
# What a person does about an outcome; {scene} is its name, {file} its first file, {out} the products' folder.
_MENDS = {
    "failed": "thermal-sr redo {out} {scene}",
    "refused": "thermal-sr info {file}",
    "fell back": "thermal-sr redo {out} {scene}",
}


def write_night_page(report: Mapping[str, Any], reports: Path, out: Path) -> Path:
    """Write `night-<run>.html` beside the report, and `index.html` where no later night is there.

    Args:
        report: Plain JSON of a report.
        reports: The folder of the recipe's reports.
        out: The folder of all products.
    """
    page = night_page(report, out).encode()
    name = f"night-{report['run_id']}.html"
    for target in (name, *([_INDEX] if _newest(reports, name) else [])):
        write_bytes(reports / target, page)
    return reports / name


def night_page(report: Mapping[str, Any], out: Path) -> str:
    """The page as text."""
    data = {
        "run": one_line(report["run_id"]),
        "started": report["started"],
        "finished": report["finished"],
        "recipe": one_line(report["recipe"]),
        "found": report["found"],
        "counts": report["counts"],
        "complete": report["complete"],
        "faults": [one_line(fault) for fault in report["faults"]],
        "rows": list(_rows(report, out)),
        "coast": _coast(),
        "meanings": {"gain": GAIN.meaning, "skill": SKILL.meaning},
    }
    return fill_page("pipeline.nights.pages", "night_page", title=f"Night {report['run_id']}", data=data)


def _rows(report: Mapping[str, Any], out: Path) -> Iterator[dict[str, Any]]:
    """One row for every input, those that want a look first."""
    failed_before = {entry["scene_id"] for entry in report.get("failed_before", ())}
    ended = sorted(report["scenes"], key=lambda scene: (scene["status"] == "done", scene["ref"]["scene_id"]))
    thumbnails = MOST_THUMBNAILS
    for scene in ended:
        row = _scene_row(scene, out, again=scene["ref"]["scene_id"] in failed_before)
        if scene["product"] and thumbnails:
            row |= _picture(out / scene["product"])
            thumbnails -= 1
        yield row
    for outcome, key in (("handed out", "dispatched"), ("left for the next run", "left")):
        yield from ({"name": one_line(ref["scene_id"]), "outcome": outcome} for ref in report[key])
    yield from (_scene_row(scene, out) | {"outcome": "ended earlier"} for scene in report["ended_earlier"])
    more = f"listed in night-{one_line(report['run_id'])}.json"
    for outcome, key, why in (
        ("waiting", "waiting", "reason"),
        ("duplicate", "duplicates", "same_as"),
        ("left out", "left_out", "reason"),
    ):
        entries = report.get(key, ())
        for entry in entries[:MOST_ROWS]:
            name = one_line(PurePath(entry["file"]).name)
            yield {"name": name, "outcome": outcome, "reason": one_line(entry[why])}
        if len(entries) > MOST_ROWS:
            yield {"name": f"and {len(entries) - MOST_ROWS} more", "outcome": outcome, "reason": more}
    done = report["already_done"]
    for entry in done[:MOST_ROWS]:
        row = {"name": one_line(entry["scene_id"]), "outcome": "already done"}
        yield row | _outline(out / entry["product"]) | {"page": _page_link(entry["product"])}
    if len(done) > MOST_ROWS:
        yield {"name": f"and {len(done) - MOST_ROWS} more", "outcome": "already done", "reason": more}


def _scene_row(scene: Mapping[str, Any], out: Path, *, again: bool = False) -> dict[str, Any]:
    ref, figures = scene["ref"], scene["figures"]
    row: dict[str, Any] = {
        "name": one_line(ref["scene_id"]),
        "outcome": scene["status"],
        "reason": one_line("; ".join(filter(None, (scene["reason"], ALARM.text(figures))))),
        "seconds": round(sum(scene["timings_s"].values()), 1),
        "gain": GAIN.value(figures),
        "skill": SKILL.value(figures),
        "again": again,
    }
    if mend := _MENDS.get(scene["status"]):
        first = one_line(ref["files"][0]) if ref["files"] else ""
        row["mend"] = mend.format(scene=one_line(ref["scene_id"]), file=first, out=out.name)
    if scene["product"]:
        row |= _outline(out / scene["product"]) | {"page": _page_link(scene["product"])}
    return row


def _page_link(product: str) -> str:
    """From the folder of reports to a product's page."""
    return f"../../{product}/view.html"


def _outline(product: Path) -> dict[str, Any]:
    """Where a product lies: west, south, east, north in degrees; nothing where that is not known."""
    try:
        items = item_files(product)
        box = json.loads(items[0].read_text(encoding="utf-8")).get("bbox") if items else None
        return {"box": [round(float(degrees), 3) for degrees in box]} if box and len(box) == 4 else {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        log.warning("%s: its outline cannot be read: %s", product.name, error)
        return {}


def _picture(product: Path) -> dict[str, str]:
    """A small picture of a product, as a data URL."""
    path = ProductFiles(product, "", 1).enhanced_turbo
    try:
        with Image.open(path, formats=["PNG"]) as image:
            image.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
            target = io.BytesIO()
            image.convert("RGBA").save(target, "WEBP", quality=60)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        log.debug("%s: no picture: %s", product.name, error)
        return {}
    return {"picture": "data:image/webp;base64," + base64.b64encode(target.getvalue()).decode("ascii")}


def _newest(reports: Path, name: str) -> bool:
    return all(path.name <= name for path in reports.glob("night-*.html"))


@cache
def _coast() -> list[list[float]]:
    """Rings of longitude, latitude, longitude ...; Natural Earth, public domain."""
    rings: list[list[float]] = json.loads(part("pipeline.nights.pages", "coast.json"))["rings"]
    return rings
